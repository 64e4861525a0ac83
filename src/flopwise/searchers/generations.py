"""The order that generational searchers insist on: a whole generation is told before the next is asked."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flopwise.errors import InputError
from flopwise.trial import Told

SMALLEST = 2
"""Below this nothing is selected."""


def check_population(name: str, population: int) -> None:
    """Refuse a population in which there is nothing to select.

    Args:
        name: The algorithm, for the message.
        population: Trials a generation.

    Raises:
        InputError: If it is less than two.
    """
    if population < SMALLEST:
        raise InputError(
            f"a {name} population of {population} selects nothing",
            expected=f"a population of at least {SMALLEST}, 8 or more to learn well",
            fix="raise the tier's population",
        )


def check_due(numbers: Sequence[int], told: int, population: int) -> None:
    """Refuse to propose for another generation than the one that follows the results.

    Args:
        numbers: Trials asked for.
        told: How many search trials were told.
        population: Trials a generation.

    Raises:
        ValueError: If a number is not of the next generation.
    """
    due = range(told + 1, told + population + 1)
    early = [number for number in numbers if number not in due]
    if early:
        raise ValueError(
            f"asked for trials {early}, but {told} search trials were told, so the generation to ask for "
            f"is {due.start} to {due.stop - 1}; tell a whole generation before asking for the next"
        )


def check_number(numbers: Sequence[int]) -> None:
    """Refuse what is no search trial.

    Args:
        numbers: Trials asked for.

    Raises:
        ValueError: If one is less than 1.
    """
    if min(numbers, default=1) < 1:
        raise ValueError(f"search trials are numbered from 1, asked for {min(numbers)}")


def finished(results: Sequence[Told], known: set[int], population: int) -> list[list[Told]]:
    """Results as they came, cut into generations of whatever finished.

    Args:
        results: In the order in which they finished, whole generations.
        known: Trials told before; these are added to them.
        population: Trials a generation.

    Raises:
        ValueError: If a generation is incomplete, or a trial is told twice or is no search trial.
    """
    numbers = [told.number for told in results]
    if len(results) % population or len(set(numbers)) < len(numbers) or known & set(numbers) or min(numbers) < 1:
        raise ValueError(f"told trials {numbers}, expected whole generations of {population} trials not told before")
    known.update(numbers)
    return [list(results[start : start + population]) for start in range(0, len(results), population)]


def split(results: Sequence[Told], told: int, population: int) -> list[list[Told]]:
    """Results as whole generations, each in trial order.

    Args:
        results: Finished trials in any order.
        told: How many search trials were told before.
        population: Trials a generation.

    Raises:
        ValueError: If a generation is incomplete, told twice or skipped.
    """
    ordered = sorted(results, key=lambda told: told.number)
    expected = list(range(told + 1, told + 1 + math.ceil(len(ordered) / population) * population))
    if [result.number for result in ordered] != expected:
        raise ValueError(
            f"told trials {[result.number for result in ordered]}, expected whole generations of {population} "
            f"from trial {told + 1} on: {expected}"
        )
    return [ordered[start : start + population] for start in range(0, len(ordered), population)]
