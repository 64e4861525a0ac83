"""Fixed search: the configs of a list, in its order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from flopwise.errors import Problem
from flopwise.registry import did_you_mean
from flopwise.space import Categorical, Parameter, Space
from flopwise.trial import Proposal, Told


class Fixed:
    """Trial n is the n-th config of the list.

    Example:
        >>> from flopwise.space import Float, Space
        >>> options = Fixed.Options(configs=[{"lr": 1e-3}, {"lr": 1e-2}])
        >>> search = Fixed(Space({"lr": Float(1e-4, 1e-1, "log")}), 0, options, {"lr": 1e-3}, None)
        >>> dict(search.ask([2])[0].config)
        {'lr': 0.01}
    """

    class Options(BaseModel):
        """``search.configs`` of a fixed search.

        Args:
            configs: Dotted key to value; in each, every key of the space that matters in it.
        """

        model_config = ConfigDict(extra="forbid", frozen=True)

        configs: list[Any] = Field(min_length=1)

    generational: ClassVar[bool] = False
    asynchronous: ClassVar[bool] = True

    def __init__(
        self, space: Space, seed: int, options: Options, centre: Mapping[str, Any], population: int | None
    ) -> None:
        self._space = space
        self._points = [space.encode(_whole(space, config)) for config in options.configs]

    @classmethod
    def check(cls, space: Space, options: Options) -> list[Problem]:
        """Every value that is not in the space, every key too many or too few, and every repetition."""
        found: list[Problem] = []
        first: dict[str, int] = {}
        for index, config in enumerate(options.configs):
            place = f"search.configs.{index}"
            wrong = list(_mistakes(space, config, place))
            found += wrong
            if not wrong and first.setdefault(_identity(space, config), index) < index:
                same = first[_identity(space, config)]
                found.append(Problem(place, f"the same as configs.{same}, so it would give the same result; drop one"))
        return found

    @classmethod
    def size(cls, space: Space, options: Options) -> int:
        """How many configs are listed."""
        return len(options.configs)

    def ask(self, numbers: Sequence[int]) -> list[Proposal]:
        """See :class:`flopwise.searchers.searcher.Searcher`."""
        return [self._propose(number) for number in numbers]

    def tell(self, results: Sequence[Told]) -> None:
        """Results change nothing."""

    def _propose(self, number: int) -> Proposal:
        if not 1 <= number <= len(self._points):
            raise ValueError(f"asked for trial {number}, but the trials of the list are 1 to {len(self._points)}")
        point = self._points[number - 1]
        return Proposal(number, self._space.decode(point), point)


def _mistakes(space: Space, config: Any, place: str) -> Iterator[Problem]:
    if not isinstance(config, Mapping):
        yield Problem(place, f"expected a mapping of keys to values, got {config!r:.60}")
        return
    for key, value in config.items():
        parameter = space.parameters.get(key)
        if parameter is None:
            message = f"unknown key; expected one of {', '.join(space.keys)}"
            near = did_you_mean(key, list(space.keys))
            yield Problem(f"{place}.{key}", f"{message}; {near}" if near else message)
        elif not parameter.contains(value):
            yield Problem(f"{place}.{key}", f"expected {wanted(parameter)}, got {value!r:.60}")
    yield from _conditions(space, config, place)


def _conditions(space: Space, config: Mapping[str, Any], place: str) -> Iterator[Problem]:
    """Keys that matter in a config and are lacking, and keys that are set and do not matter."""
    active = space.active({**dict.fromkeys(space.keys), **_whole(space, config)})
    lacking = [key for key in space.keys if key in active and key not in config]
    if lacking:
        yield Problem(place, f"lacks {', '.join(lacking)}; every config of the list sets all that matters in it")
    for key in config:
        if key in space.parameters and key not in active and config[key] != space.conditions.fallback(key):
            yield Problem(f"{place}.{key}", "its conditions do not hold in this config, so it has no effect; drop it")


def _whole(space: Space, config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with the values of parameters that may be left out."""
    return {**{key: space.conditions.fallback(key) for key in space.conditions.when}, **config}


def _identity(space: Space, config: Mapping[str, Any]) -> str:
    """Equal for configs that mean the same: 2 and 2.0 do, 1 and true do not."""
    return repr(space.decode(space.encode(_whole(space, config))))


def wanted(parameter: Parameter) -> str:
    """What a parameter may be, in words.

    Example:
        >>> wanted(Categorical((False, "auto")))
        "one of False, 'auto'"
    """
    if isinstance(parameter, Categorical):
        return f"one of {', '.join(repr(choice) for choice in parameter.choices)}"
    step = getattr(parameter, "step", None)
    if step is None:
        return f"a number from {parameter.low:g} to {parameter.high:g}"
    grid = f" in steps of {step}" if step > 1 else ""
    return f"a whole number from {parameter.low} to {parameter.high}{grid}"
