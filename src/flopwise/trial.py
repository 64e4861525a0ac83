"""Trials, attempts and how they end: frozen records that every room passes around."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, Literal

ATTEMPT_ID = re.compile(r"t(\d{4,9})\.s(\d{1,6})\.a(\d{1,6})")

StopUnit = Literal["flops", "tokens", "steps", "seconds"]
STOP_UNITS: tuple[StopUnit, ...] = ("flops", "tokens", "steps", "seconds")


class Outcome(StrEnum):
    """How an attempt ended; exactly one of a closed set."""

    OK = "ok"
    PRUNED = "pruned"
    NAN = "nan"
    OOM = "oom"
    ERROR = "error"
    TIMEOUT = "timeout"
    KILLED = "killed"


class Phase(StrEnum):
    """What a trial is for."""

    CALIBRATE = "calibrate"
    """The baseline: timing, noise, and the search's first trial."""
    SIGNAL = "signal"
    """A spread config on the seeds of the search: do scores differ by more than noise?"""
    KNOBS = "knobs"
    """The baseline with one knob at an end of its range: does it do anything?"""
    PROXY = "proxy"
    """A spread config at the cheap stop: does it rank configs as the full one does?"""
    LADDER = "ladder"
    """A spread config at a larger stop: from where on can configs be told apart?"""
    SEARCH = "search"
    """A config the searcher proposed."""
    RECHECK = "recheck"
    """The same config at the full stop, where the search goes by a cheap one."""
    CHOOSE = "choose"
    """First step of confirmation: the best few on fresh seeds."""
    DECIDE = "decide"
    """Second step: the chosen one and the baseline on other fresh seeds."""


PROBING = (Phase.SIGNAL, Phase.KNOBS, Phase.PROXY, Phase.LADDER)
"""Phases between the baseline's and the search: they measure what a search could find."""


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How much training one evaluation buys.

    Args:
        unit: What is counted; None when the workload decides for itself.
        amount: How many of it.
    """

    unit: StopUnit | None = None
    amount: float = 0.0

    def to_json(self) -> dict[str, float]:
        """``{"flops": 1.5e11}``, or an empty dict."""
        return {} if self.unit is None else {self.unit: self.amount}

    @classmethod
    def from_json(cls, data: Mapping[str, float]) -> Fidelity:
        """Inverse of :meth:`to_json`; raises ``ValueError`` on more than one unit."""
        if not data:
            return cls()
        ((unit, amount),) = data.items()
        if unit not in STOP_UNITS:
            raise ValueError(f"unknown stop unit {unit!r}, expected one of {', '.join(STOP_UNITS)}")
        return cls(unit, float(amount))


@dataclass(frozen=True, order=True, slots=True)
class AttemptId:
    """Which process of which seed of which trial; also the fencing token of its results.

    Example:
        >>> str(AttemptId(12, 0, 1))
        't0012.s0.a1'
        >>> AttemptId.parse('t0012.s0.a1')
        AttemptId(trial=12, seed_index=0, attempt=1)
    """

    trial: int
    seed_index: int
    attempt: int

    def __str__(self) -> str:
        return f"t{self.trial:04d}.s{self.seed_index}.a{self.attempt}"

    @classmethod
    def parse(cls, text: str) -> AttemptId:
        """Inverse of ``str``; raises ``ValueError`` on anything else."""
        return _parsed(text)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> AttemptId:
    """An attempt is named in every message about it, so the latest names are remembered."""
    found = ATTEMPT_ID.fullmatch(text)
    if found is None:
        raise ValueError(f"not an attempt id: {text!r}, expected for example t0012.s0.a1")
    return AttemptId(*(int(part) for part in found.groups()))


@dataclass(frozen=True, slots=True)
class Trial:
    """One config at one fidelity, evaluated with one or more seeds.

    Args:
        number: Position in the study, from 0 (the baseline).
        phase: What it is for.
        config: Dotted key to value, every key of the space.
        fidelity: How much training.
        seeds: One evaluation per seed.
        point: The searcher's own coordinates in the unit cube, told back to it; None for none.
        of: In confirmation, the number of the trial whose config this is.
        ordinal: Place in the search, from 1: what the searcher knows it by; None for trials that no searcher proposed.
    """

    number: int
    phase: Phase
    config: Mapping[str, Any]
    fidelity: Fidelity
    seeds: tuple[int, ...]
    point: tuple[float, ...] | None = None
    of: int | None = None
    ordinal: int | None = None

    def generation(self, population: int | None) -> int | None:
        """Which generation of the search it belongs to, from 1; None outside the search and without generations.

        Args:
            population: Trials a generation; None for searchers without.
        """
        return 1 + (self.ordinal - 1) // population if self.ordinal is not None and population else None


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a searcher asks to be evaluated.

    Args:
        number: Ordinal it was asked for.
        config: Dotted key to value.
        point: Coordinates in the unit cube, before rounding to ints or categories.
    """

    number: int
    config: Mapping[str, Any]
    point: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What a searcher is told about a finished trial.

    Args:
        number: Ordinal it was proposed for.
        config: As proposed.
        point: As proposed.
        loss: Mean over seeds, smaller is better; None when the trial failed.
    """

    number: int
    config: Mapping[str, Any]
    point: tuple[float, ...]
    loss: float | None


@dataclass(frozen=True)
class Result:
    """Final values of an attempt, as its process reported them.

    Args:
        outcome: How it ended, seen from inside.
        metrics: Name to finite number.
        info: Facts for people and reports (steps, tokens, FLOPs, curve summary, flags).
        cause: Why it failed, one line; empty when ok.
    """

    outcome: Outcome
    metrics: Mapping[str, float] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    cause: str = ""
