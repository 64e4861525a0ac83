"""The one interface of all policies: look at what has finished, and say whether to go on.

A policy is pure: the same history gives the same decision, so a resumed study judges as the
undisturbed one would have. It never says "go": only fresh seeds do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from flopwise.trial import Outcome, Phase


class Action(StrEnum):
    """What a policy can ask for."""

    PAUSE = "pause"
    """Stop here until the user looked into it."""
    END_SEARCH = "end_search"
    """Propose nothing more and go on to confirmation."""
    STOP = "stop"
    """The study is settled."""


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
class Finished:
    """One evaluation (one seed of one trial) that has ended for good, after all retries.

    Args:
        number: Trial number.
        phase: What the trial is for.
        generation: From 1; None without generations and outside the search.
        loss: Smaller is better; None when it failed.
        outcome: How its last attempt ended.
    """

    number: int
    phase: Phase
    generation: int | None
    loss: float | None
    outcome: Outcome

    @property
    def failed(self) -> bool:
        """Whether it gave no loss for any other reason than being pruned."""
        return self.loss is None and self.outcome is not Outcome.PRUNED


@dataclass(frozen=True)
class History:
    """All a policy knows.

    Args:
        finished: Evaluations in the order in which they ended.
        population: Trials a generation; None for searchers without generations.
        noise_sd: Standard deviation of the loss over seeds of one config; None when unknown.
        accepted_after: How many of ``finished`` the user has seen and accepted, by resuming past this
            policy's pause: the policy judges only those that came later.
        seeds: Evaluations of one search trial.
    """

    finished: tuple[Finished, ...]
    population: int | None = None
    noise_sd: float | None = None
    accepted_after: int = 0
    seeds: int = 1

    @property
    def fresh(self) -> tuple[Finished, ...]:
        """What has finished since the user accepted the last pause."""
        return self.finished[self.accepted_after :]


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
