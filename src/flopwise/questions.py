"""The questions of a staged search: which config answers which, in what order they run, and what is held against what.

A question is what the study file has under ``search.questions``: every combination of the values of its ``grid`` (its
*rows*) with every one of its ``configs`` (its *contexts*). The searcher that runs them and the report that answers them
read the same order from here.

A question with many contexts is run in two legs: first three quarters of its contexts, then the rest, without the rows
that have been dropped between the two.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

BEST_OF = "best_of"

FEWEST_CONTEXTS = 4
"""A question with fewer is run in one leg."""

FIRST_PART = 0.75
"""Of the contexts of a question that is run in two legs."""

Question = Mapping[str, Any]
"""``base``, ``grid`` and ``configs``, as in a canonical study."""


@dataclass(frozen=True)
class Cell:
    """One config of a question.

    Args:
        question: Its name.
        row: Which combination of the grid's values, the last key changing fastest.
        context: Which of the configs.
        sets: Key to value: what it sets upon the question's base.
    """

    question: str
    row: int
    context: int
    sets: Mapping[str, Any]


@dataclass(frozen=True)
class Contrast:
    """Two ways of setting some keys, and the pairs of configs that differ in them alone.

    Args:
        reference: Key to value of what it is held against.
        option: The same keys, with other values.
        pairs: Row and context of the reference, and of the option; one a block.
    """

    reference: Mapping[str, Any]
    option: Mapping[str, Any]
    pairs: tuple[tuple[tuple[int, int], tuple[int, int]], ...]


def rows(question: Question) -> list[dict[str, Any]]:
    """Every combination of the grid's values; one that sets nothing where there is no grid."""
    grid = question["grid"]
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def contexts(question: Question) -> list[Mapping[str, Any]]:
    """Its configs; one that sets nothing where there are none."""
    return list(question["configs"]) or [{}]


def references(question: Question) -> dict[str, str]:
    """Key to the question whose winner it is taken from."""
    return {key: value[BEST_OF] for key, value in question["base"].items() if isinstance(value, Mapping)}


def waves(questions: Mapping[str, Question]) -> list[list[str]]:
    """The questions in their order, cut wherever one builds on another one since the last cut.

    Example:
        >>> A, B = ({"base": {}, "grid": {"x": [1]}, "configs": []} for _ in range(2))
        >>> waves({"A": A, "B": B, "C": {"base": {"x": {"best_of": "A"}}, "grid": {"y": [1]}, "configs": []}})
        [['A', 'B'], ['C']]
    """
    found: list[list[str]] = [[]]
    for name, question in questions.items():
        if set(references(question).values()) & set(found[-1]):
            found.append([])
        found[-1].append(name)
    return found


def first_part(name: str, questions: Mapping[str, Question]) -> int:
    """How many of a question's contexts are run before rows of it may be dropped; all where none may.

    None may where another question builds on what its contexts set: which context is best is then asked as well.
    """
    question, count = questions[name], len(contexts(questions[name]))
    taken = {key for other in questions.values() for key, source in references(other).items() if source == name}
    varied = {key for config in contexts(question) for key in config}
    if count < FEWEST_CONTEXTS or len(rows(question)) < 2 or taken & varied:
        return count
    return math.ceil(FIRST_PART * count)


def legs(questions: Mapping[str, Question]) -> list[list[tuple[str, range]]]:
    """What is run before anything else waits for its results: questions, and which of their contexts."""
    found = []
    for wave in waves(questions):
        parts = {name: first_part(name, questions) for name in wave}
        found.append([(name, range(parts[name])) for name in wave])
        rest = [(name, range(parts[name], len(contexts(questions[name])))) for name in wave]
        if any(span for _, span in rest):
            found.append([(name, span) for name, span in rest if span])
    return found


def cells(name: str, question: Question, span: Sequence[int], dropped: Container[int] = ()) -> list[Cell]:
    """The configs of some contexts of a question, in the order in which they are run."""
    where = contexts(question)
    return [
        Cell(name, row, context, {**sets, **where[context]})
        for row, sets in enumerate(rows(question))
        for context in span
        if row not in dropped
    ]


def sequence(questions: Mapping[str, Question], dropped: Mapping[str, Container[int]]) -> Iterator[Cell]:
    """Every config of every question in the order of a search's trials, the first being trial 1 of the search.

    Args:
        questions: By name.
        dropped: Question to the rows that were dropped after its first part.
    """
    for leg in legs(questions):
        for name, span in leg:
            yield from cells(name, questions[name], span, dropped.get(name, ()) if span.start else ())


def contrasts(question: Question, centre: Mapping[str, Any]) -> list[Contrast]:
    """What a question holds against what.

    Of a grid: for each of its keys the reference's value against every other one, over all combinations of the others
    and all contexts; and, where it has several keys, whole combinations that differ from the reference's in more than
    one.
    Without a grid: the first context, or the one that is the base itself, against every other one.

    Args:
        question: What is asked.
        centre: The baseline's config: its value of a key is the reference, where the question has it.
    """
    base = {**centre, **{key: value for key, value in question["base"].items() if not isinstance(value, Mapping)}}
    if not question["grid"]:
        return _between_contexts(contexts(question), base)
    by_key = [each for key in question["grid"] for each in _of_key(question, key, base)]
    return [*by_key, *_of_rows(question, base)]


def _of_key(question: Question, key: str, base: Mapping[str, Any]) -> Iterator[Contrast]:
    values, combinations = question["grid"][key], rows(question)
    reference = _reference([{key: value} for value in values], base)
    places = list(product(*(range(len(each)) for each in question["grid"].values())))
    at = list(question["grid"]).index(key)
    for option in (place for place in range(len(values)) if place != reference):
        pairs = [
            (row, places.index((*place[:at], option, *place[at + 1 :])))
            for row, place in enumerate(places)
            if place[at] == reference
        ]
        first, second = ({key: combinations[pairs[0][side]][key]} for side in (0, 1))
        yield Contrast(first, second, _in_all(pairs, len(contexts(question))))


def _of_rows(question: Question, base: Mapping[str, Any]) -> Iterator[Contrast]:
    combinations = rows(question)
    reference = _reference(combinations, base)
    first = combinations[reference]
    for row, second in enumerate(combinations):
        if sum(not same(first[key], second[key]) for key in first) > 1:
            yield Contrast(first, second, _in_all([(reference, row)], len(contexts(question))))


def _in_all(pairs: Sequence[tuple[int, int]], count: int) -> tuple[tuple[tuple[int, int], tuple[int, int]], ...]:
    return tuple(((first, context), (second, context)) for first, second in pairs for context in range(count))


def _between_contexts(configs: Sequence[Mapping[str, Any]], base: Mapping[str, Any]) -> list[Contrast]:
    reference = _reference(configs, base)
    keys = dict.fromkeys(key for config in configs for key in config)
    whole = [{key: config.get(key, base.get(key)) for key in keys} for config in configs]
    return [
        Contrast(whole[reference], config, (((0, reference), (0, place)),))
        for place, config in enumerate(whole)
        if place != reference
    ]


def _reference(options: Sequence[Mapping[str, Any]], base: Mapping[str, Any]) -> int:
    """The first option that is what the base has anyway; else the first."""
    matches = (n for n, each in enumerate(options) if all(same(value, base.get(key)) for key, value in each.items()))
    return next(matches, 0)


def same(first: Any, second: Any) -> bool:
    """Equal, where 1 and 1.0 are and 1 and true are not."""
    return isinstance(first, bool) == isinstance(second, bool) and bool(first == second)
