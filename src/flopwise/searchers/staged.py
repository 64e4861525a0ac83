"""Staged search: questions first, one group of configs each; then a fine grid where the best of them agree.

Stage 1 asks the questions of the study file in their order. A later one may build on the winner of an earlier one, and
then waits for it. Stage 2 locks the knobs on which the best few agree and spreads a balanced fraction of a fine
grid over the range that the others span.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from flopwise.errors import Problem
from flopwise.questions import BEST_OF, Cell, cells, legs, rows
from flopwise.searchers.fixed import wanted
from flopwise.searchers.questions import Question
from flopwise.searchers.refine import Refine, refined
from flopwise.searchers.settled import FEWEST_FINE, Settled, settled, settled_fine
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
        self._refine = options.refine
        self._centre = centre
        self._questions = {name: question.plain for name, question in options.questions.items()}
        self._legs = legs(self._questions)
        self._results: dict[int, Told] = {}
        self._plan: list[list[Cell]] = []
        self._fine: list[dict[str, Any]] | None = None
        self._fine_end: int | None = None
        self.settled: list[Settled] = []

    @classmethod
    def check(cls, space: Space, options: Options) -> list[Problem]:
        """Questions that build on a later one, that ask nothing, and values that the space does not have."""
        return list(_problems(space, options))

    @classmethod
    def size(cls, space: Space, options: Options) -> int:
        """All trials of both stages."""
        return sum(question.size for question in options.questions.values()) + options.refine.trials

    def room(self, proposed: int, unfinished: int) -> int:
        """How many more trials may be asked for now: the rest of a leg, or the next one once all is told.

        Args:
            proposed: Trials asked for so far.
            unfinished: How many of them have not been told.
        """
        if unfinished and proposed and proposed in accumulate(map(len, self._plan)):
            return 0
        while proposed >= self._planned and len(self._plan) < len(self._legs):
            self._next_leg()
        if proposed < self._planned:
            return next(end for end in accumulate(map(len, self._plan)) if end > proposed) - proposed
        return self._room_of_the_fine(proposed - self._planned, unfinished)

    def ask(self, numbers: Sequence[int]) -> list[Proposal]:
        """See :class:`flopwise.searchers.searcher.Searcher`; results of the legs before are told already."""
        return [self._propose(number) for number in numbers]

    def tell(self, results: Sequence[Told]) -> None:
        """See :class:`flopwise.searchers.searcher.Searcher`."""
        for told in results:
            if told.number in self._results:
                raise ValueError(f"told trial {told.number} twice")
            self._results[told.number] = told

    @property
    def _planned(self) -> int:
        """Trials of the legs that are known."""
        return sum(map(len, self._plan))

    def _next_leg(self) -> None:
        """What the next leg runs, given everything before it."""
        leg = self._legs[len(self._plan)]
        self._told(range(1, 1 + self._planned))
        found: list[Cell] = []
        for name, span in leg:
            dropped = self._dropped(name, span) if span.start else ()
            found += cells(name, self._questions[name], span, dropped)
        self._plan.append(found)

    def _dropped(self, name: str, span: range) -> tuple[int, ...]:
        """Rows of a question that are not run in the rest of its contexts."""
        losses: list[list[float | None]] = [[] for _ in rows(self._questions[name])]
        for number, cell in self._numbered():
            if cell.question == name:
                losses[cell.row].append(self._results[number].loss)
        found = settled(name, losses, len(span))
        self.settled += [found] if found else []
        return found.dropped if found else ()

    def _numbered(self) -> Iterator[tuple[int, Cell]]:
        return enumerate((cell for leg in self._plan for cell in leg), start=1)

    def _propose(self, number: int) -> Proposal:
        if number < 1:
            raise ValueError(f"asked for trial {number}, but search trials are numbered from 1")
        while len(self._plan) < len(self._legs) and number > self._planned:
            self._next_leg()
        if number <= self._planned:
            return self._proposal(number, self._config(dict(self._numbered())[number]))
        configs, first = self._made(), 1 + self._planned
        if number >= first + len(configs):
            raise ValueError(f"asked for trial {number}, but the trials are 1 to {first + len(configs) - 1}")
        return self._proposal(number, configs[number - first])

    def _made(self) -> list[dict[str, Any]]:
        """The second stage, made once: the first one is told whole by then."""
        if self._fine is None:
            told = self._told(range(1, 1 + self._planned))
            self._fine = refined(self._space, told, self._refine, self._seed, self._centre)
        return self._fine

    def _room_of_the_fine(self, proposed: int, unfinished: int) -> int:
        """The same of the second stage, whose second half is run only where the first one found something."""
        count = len(self._made())
        half = count if count < FEWEST_FINE else (count + 1) // 2
        if proposed < half:
            return half - proposed
        if proposed == half and unfinished:
            return 0
        if self._fine_end is None:
            self._fine_end = half if half < count and self._ends_at(half, count) else count
        return max(0, self._fine_end - proposed)

    def _ends_at(self, half: int, count: int) -> bool:
        """Whether the second stage may end at its half."""
        told = self._told(range(1, 1 + self._planned + half))
        ranked = sorted((each for each in told if each.loss is not None), key=_rank)
        found = settled_fine([each.number for each in ranked], 1 + self._planned, half, self._refine.top, count)
        self.settled += [found] if found else []
        return found is not None

    def _proposal(self, number: int, config: Mapping[str, Any]) -> Proposal:
        point = self._space.encode(config)
        return Proposal(number, self._space.decode(point), point)

    def _config(self, cell: Cell) -> dict[str, Any]:
        base = self._questions[cell.question]["base"]
        return {**self._centre, **{key: self._value(key, value) for key, value in base.items()}, **cell.sets}

    def _value(self, key: str, value: Any) -> Any:
        """A value as it stands, or that of the winner of an earlier question; of none, the baseline's."""
        if not isinstance(value, Mapping):
            return value
        numbers = [number for number, cell in self._numbered() if cell.question == value[BEST_OF]]
        told = [each for each in self._told(numbers) if each.loss is not None]
        return min(told, key=_rank).config[key] if told else self._centre[key]

    def _told(self, numbers: Sequence[int]) -> list[Told]:
        missing = [number for number in numbers if number not in self._results]
        if missing:
            raise ValueError(f"asked for a trial that builds on trials {missing}, which have not been told")
        return [self._results[number] for number in numbers]


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
        for number, config in enumerate(question.configs):
            for key in sorted(config.keys() & question.grid.keys()):
                message = "set by the question's grid already, whose values would then not be tried; drop one"
                yield Problem(f"{place}.configs.{number}.{key}", message)
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
