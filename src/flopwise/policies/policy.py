"""The one interface of all policies: look at what has finished, and say whether to go on.

A policy is pure: the same history gives the same decision, so a resumed study judges as the
undisturbed one would have. It never says "go": only fresh seeds do.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from flopwise.policies.evaluations import Evaluations, Finished
from flopwise.policies.pace import Pace
from flopwise.trial import Phase

__all__ = ["Action", "Decision", "Finished", "History", "Policy"]


class Action(StrEnum):
    """What a policy can ask for."""

    PAUSE = "pause"
    """Stop here until the user looked into it."""
    END_SEARCH = "end_search"
    """Propose nothing more and go on to confirmation."""
    END_PROBING = "end_probing"
    """Evaluate no more configs before the search."""
    STOP = "stop"
    """The study is settled: there is nothing to confirm."""
    NOTE = "note"
    """Say what was found, and go on."""


@dataclass(frozen=True)
class Decision:
    """Why a study should not simply go on.

    Args:
        action: What to do.
        cause: One sentence.
        evidence: The numbers behind it, JSON values.
    """

    action: Action
    cause: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True)
class ProxyPairs:
    """What is known of a proxy.

    Args:
        pairs: Cheap and full loss of every config that has both.
        pause_below: Of the study.
    """

    pairs: Sequence[tuple[float, float]]
    pause_below: float


@dataclass(frozen=True)
class History:
    """All a policy knows.

    A policy is asked after every evaluation, so it should not look at all of ``finished`` each time:
    :meth:`recent` and :attr:`trials` cost the same however long the study is.

    Args:
        finished: Evaluations in the order in which they ended; an :class:`Evaluations`, which the engine
            keeps and adds to, or any other sequence.
        population: Trials a generation; None for searchers without generations.
        noise_sd: Standard deviation of the loss over seeds of one config; None when unknown.
        accepted_after: How many of ``finished`` the user has seen and accepted, by resuming past this
            policy's pause: the policy judges only those that came later.
        seeds: Evaluations of one search trial.
        pace: What was promised; None before there is a plan.
        proxy: Where the search goes by a cheap stop; its losses are not those of the baseline's stop.
        noted_after: How many of ``finished`` there were when the policy last noted something.
        over: The search has ended, and its tier is one to be judged.
    """

    finished: Sequence[Finished]
    population: int | None = None
    noise_sd: float | None = None
    accepted_after: int = 0
    seeds: int = 1
    pace: Pace | None = None
    proxy: ProxyPairs | None = None
    noted_after: int = 0
    over: bool = False

    @property
    def trials(self) -> Evaluations:
        """The evaluations put together by trial."""
        return self.finished if isinstance(self.finished, Evaluations) else Evaluations(self.seeds, self.finished)

    def recent(self, count: int, phases: Container[Phase] = tuple(Phase)) -> list[Finished]:
        """The last evaluations of some phases since the user accepted the last pause, in order.

        Args:
            count: At most so many.
            phases: What they were for.
        """
        return self._last(count, phases, self.accepted_after, len(self.finished))

    def last(self, count: int, phases: Container[Phase] = tuple(Phase), until: int | None = None) -> list[Finished]:
        """The same, whatever was accepted.

        Args:
            count: At most so many.
            phases: What they were for.
            until: Of the first so many evaluations; None for all.
        """
        return self._last(count, phases, 0, len(self.finished) if until is None else until)

    def _last(self, count: int, phases: Container[Phase], start: int, end: int) -> list[Finished]:
        found: list[Finished] = []
        for index in range(end - 1, start - 1, -1):
            if len(found) == count:
                break
            if self.finished[index].phase in phases:
                found.append(self.finished[index])
        return found[::-1]


class Policy(Protocol):
    """What the engine needs from a policy.

    Args:
        options: The policy's own ``Options``, validated.

    Attributes:
        Options: Pydantic model of ``policies.<name>`` (``extra="forbid"``, frozen).
    """

    Options: ClassVar[type[BaseModel]]

    def __init__(self, options: Any) -> None: ...

    def judge(self, history: History) -> Decision | None:
        """None: go on."""
        ...
