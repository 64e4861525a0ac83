"""Everything a session works with, put together once by ``assemble`` and handed to the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flopwise.clock import Clock
from flopwise.engine.guard import Guard
from flopwise.engine.phases import Search
from flopwise.engine.probes import Probes
from flopwise.engine.record import Record
from flopwise.engine.signals import Signals
from flopwise.events import TierChosen
from flopwise.executors.executor import Executor
from flopwise.paths import RunFolder
from flopwise.report.view import View
from flopwise.wire import Hello


@dataclass(frozen=True)
class Closing:
    """Why a session ends: planned, finished, stopped, paused, interrupted or failed."""

    reason: str
    detail: str = ""


@dataclass
class Desk:
    """Everything the loop works with, put together by ``assemble``.

    Args:
        study: Canonical study.
        folder: The run folder.
        record: Journal, state and ledger.
        executor: Open.
        hello: For opening it again after a keeper's death.
        view: Where the user looks.
        signals: Caught already.
        clock: Real or simulated.
        guard: Limits and policies.
        session: Number of this session.
        probes: What is measured between the baseline and the search.
        has_data: Whether the workload prepares data.
        choose_tier: Called once after calibration; None ends the session as planned.
        make_search: The searcher, fed from the state, for the chosen tier.
    """

    study: dict[str, Any]
    folder: RunFolder
    record: Record
    executor: Executor
    hello: Hello
    view: View
    signals: Signals
    clock: Clock
    guard: Guard
    session: int
    probes: Probes
    has_data: bool
    choose_tier: Callable[[], TierChosen | None]
    make_search: Callable[[TierChosen], Search]
