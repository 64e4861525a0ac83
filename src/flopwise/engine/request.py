"""What a caller asks of the engine, and what it gets back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flopwise.clock import Clock, RealClock
from flopwise.engine.signals import Signals
from flopwise.executors.executor import Executor
from flopwise.report.view import View

ASKED = "asked"
"""Stands where a function's identity would, in runs whose trials are asked for and told by a loop of the user's own."""


def _always(_: str) -> bool:
    return True


def _never(_: str) -> bool:
    return False


@dataclass(frozen=True)
class Request:
    """Where and how a study is to be run; the study itself says what.

    Args:
        runs: Folder that holds the runs.
        view: Where the user looks.
        command: What to type to get the same again.
        tier: Which tier to spend; None for the study's first (or the one chosen in an earlier session).
        ask: Puts a yes/no question to the user.
        anyway: Whether to spend the search on a budget that cannot tell candidates apart; puts the question to the user
            where there is one.
        may_ask: Whether there is somebody to ask.
        objective: Encoded Python function of a ``function`` study.
        objective_id: What identifies that function (its name, or a hash of its source).
        clock: Real, or simulated in tests.
        executor: Runs the attempts, in place of one made for the study: a loop of the user's own.
        accept: Policy whose pause the user accepts.
        exclude: Slots of the last session that the user takes out of the run.
        signals: Where that loop asks the study to stop; None to listen to the process's signals only.
        trust: What the journal of a run names may be started, whoever made it.
        trains: One training is all there is to it: no tier is priced.
    """

    runs: Path
    view: View
    command: str
    tier: str | None = None
    ask: Callable[[str], bool] = _always
    anyway: Callable[[str], bool] = _never
    may_ask: bool = False
    objective: str | None = None
    objective_id: str = ""
    clock: Clock = field(default_factory=RealClock)
    executor: Executor | None = None
    signals: Signals | None = None
    trust: bool = False
    trains: bool = False
    accept: str | None = None
    exclude: tuple[int, ...] = ()


@dataclass(frozen=True)
class Finish:
    """How a session ended.

    Args:
        reason: planned, declined, refused (the budget tells nothing apart), finished, stopped, paused,
            interrupted or failed.
        detail: One line.
        folder: The run folder.
        summary: The report as JSON.
    """

    reason: str
    detail: str
    folder: Path
    summary: dict[str, Any]
