"""Staged search: questions first, one group of configs each; then a fine grid where the best of them agree.

Stage 1 asks the questions of the study file in their order. A later one may build on the winner of an earlier one, and
then waits for it. Stage 2 locks the knobs on which the best few agree and spreads a balanced fraction of a fine
grid over the range that the others span.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from flopwise.errors import Problem
from flopwise.searchers.fixed import wanted
from flopwise.searchers.questions import BEST_OF, Question, waves
from flopwise.searchers.refine import Refine, refined
from flopwise.space import Space
from flopwise.trial import Proposal, Told


class Staged:
    """Trials 1, 2, … are the questions' configs in their order, then those of the fine grid.

    Example:
        >>> from flopwise.space import Categorical, Float, Space
        >>> space = Space({"kind": Categorical(("a", "b")), "lr": Float(0.0, 1.0)})
        >>> options = Staged.Options(questions={
        ...     "A": {"grid": {"kind": ["a", "b"]}},
        ...     "B": {"base": {"kind": {"best_of": "A"}}, "grid": {"lr": [0.2, 0.8]}}})
        >>> search = Staged(space, 0, options, {"kind": "a", "lr": 0.5}, None)
        >>> first = search.ask(range(1, 1 + search.room(0, 0)))
        >>> [dict(each.config) for each in first]
        [{'kind': 'a', 'lr': 0.5}, {'kind': 'b', 'lr': 0.5}]
        >>> search.tell([Told(each.number, each.config, each.point, -float(each.number)) for each in first])
        >>> [dict(each.config) for each in search.ask(range(3, 3 + search.room(2, 0)))]
        [{'kind': 'b', 'lr': 0.2}, {'kind': 'b', 'lr': 0.8}]
    """

    class Options(BaseModel):
        """``search`` of a staged search.

        Args:
            questions: Name to the configs that answer it.
            refine: The second stage.
        """

        model_config = ConfigDict(extra="forbid", frozen=True)

        questions: dict[str, Question] = Field(min_length=1, max_length=64)
        refine: Refine = Refine()

    generational: ClassVar[bool] = False
    asynchronous: ClassVar[bool] = True

    def __init__(
        self, space: Space, seed: int, options: Options, centre: Mapping[str, Any], population: int | None
    ) -> None:
        self._space = space
        self._seed = seed
        self._options = options
        self._centre = centre
        self._results: dict[int, Told] = {}
        self._spans = spans(options)
        self._second: list[dict[str, Any]] | None = None

    @classmethod
    def check(cls, space: Space, options: Options) -> list[Problem]:
        """Questions that build on a later one, that ask nothing, and values that the space does not have."""
        return list(_problems(space, options))

    @classmethod
    def size(cls, space: Space, options: Options) -> int:
        """All trials of both stages."""
        return sum(question.size for question in options.questions.values()) + options.refine.trials

    def room(self, proposed: int, unfinished: int) -> int:
        """How many more trials may be asked for now: the rest of a stage, or the next one once all is told.

        Args:
            proposed: Trials asked for so far.
            unfinished: How many of them have not been told.
        """
        ends = [self._spans[wave[-1]].stop - 1 for wave in waves(self._options.questions)]
        if proposed < ends[-1]:
            return 0 if proposed in ends and unfinished else next(end for end in ends if end > proposed) - proposed
        if proposed == ends[-1] and unfinished:
            return 0
        return ends[-1] + len(self._fine(1 + ends[-1])) - proposed

    def ask(self, numbers: Sequence[int]) -> list[Proposal]:
        """See :class:`flopwise.searchers.searcher.Searcher`; results of the stages before are told already."""
        return [self._propose(number) for number in numbers]

    def tell(self, results: Sequence[Told]) -> None:
        """See :class:`flopwise.searchers.searcher.Searcher`."""
        for told in results:
            if told.number in self._results:
                raise ValueError(f"told trial {told.number} twice")
            self._results[told.number] = told

    def _propose(self, number: int) -> Proposal:
        for name, span in self._spans.items():
            if number in span:
                return self._proposal(number, self._configs(name)[number - span.start])
        first = max(span.stop for span in self._spans.values())
        if number < 1:
            raise ValueError(f"asked for trial {number}, but search trials are numbered from 1")
        configs = self._fine(first)
        if not first <= number < first + len(configs):
            raise ValueError(f"asked for trial {number}, but the trials are 1 to {first + len(configs) - 1}")
        return self._proposal(number, configs[number - first])

    def _fine(self, first: int) -> list[dict[str, Any]]:
        """The second stage, made once: the first one is told whole by then."""
        if self._second is None:
            told = self._told(range(1, first))
            self._second = refined(self._space, told, self._options.refine, self._seed, self._centre)
        return self._second

    def _proposal(self, number: int, config: Mapping[str, Any]) -> Proposal:
        point = self._space.encode(config)
        return Proposal(number, self._space.decode(point), point)

    def _configs(self, name: str) -> list[dict[str, Any]]:
        question = self._options.questions[name]
        base = {**self._centre, **{key: self._value(key, value) for key, value in question.base.items()}}
        return [{**base, **varied} for varied in question.varied()]

    def _value(self, key: str, value: Any) -> Any:
        """A value as it stands, or that of the winner of an earlier question; of none, the baseline's."""
        if not isinstance(value, Mapping):
            return value
        told = [each for each in self._told(self._spans[value[BEST_OF]]) if each.loss is not None]
        return min(told, key=_rank).config[key] if told else self._centre[key]

    def _told(self, numbers: Sequence[int]) -> list[Told]:
        missing = [number for number in numbers if number not in self._results]
        if missing:
            raise ValueError(f"asked for a trial that builds on trials {missing}, which have not been told")
        return [self._results[number] for number in numbers]


def spans(options: Staged.Options) -> dict[str, range]:
    """Question to the numbers of its trials."""
    found, first = {}, 1
    for name, question in options.questions.items():
        found[name] = range(first, first + question.size)
        first += question.size
    return found


def _rank(told: Told) -> tuple[float, int]:
    assert told.loss is not None
    return told.loss, told.number


def _problems(space: Space, options: Staged.Options) -> Iterator[Problem]:
    before: list[str] = []
    for name, question in options.questions.items():
        place = f"search.questions.{name}"
        if not question.size:
            yield Problem(place, "asks nothing: expected a grid with values, or configs")
        yield from _references(question, place, list(options.questions), before)
        for part, key, value in question.settings():
            yield from _value_problems(space, f"{place}.{part}.{key}", key, value)
        before.append(name)


def _references(question: Question, place: str, names: Sequence[str], before: Sequence[str]) -> Iterator[Problem]:
    for key, other in question.references().items():
        where = f"{place}.base.{key}"
        if other not in names:
            yield Problem(where, f"expected one of the questions {', '.join(names)}, got {other!r}")
        elif other not in before:
            yield Problem(where, f"builds on {other!r}, which comes later or is this one; put {other!r} before it")


def _value_problems(space: Space, place: str, key: str, value: Any) -> Iterator[Problem]:
    parameter = space.parameters.get(key)
    if parameter is None:
        yield Problem(place, f"unknown key; expected one of {', '.join(space.keys)}")
    elif not isinstance(value, Mapping) and not parameter.contains(value):
        yield Problem(place, f"expected {wanted(parameter)}, got {value!r:.60}")
