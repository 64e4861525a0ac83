"""One coordinator's time with a run: opens the executor, settles the past, runs the loop, signs out, reports."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flopwise.budget.plan import Plan
from flopwise.engine.desk import Closing, Desk
from flopwise.engine.guard import Guard
from flopwise.engine.loop import Loop
from flopwise.engine.phases import Search
from flopwise.engine.pricing import price
from flopwise.engine.record import Record
from flopwise.engine.recover import recover
from flopwise.engine.request import Finish, Request
from flopwise.engine.signals import Signals
from flopwise.errors import FlopwiseError, JournalError
from flopwise.events import PauseAccepted, SessionClosed, SessionOpened, TierChosen
from flopwise.executors.executor import Executor
from flopwise.executors.slots import make_slots
from flopwise.executors.topology import machine, usable_cores
from flopwise.paths import RunFolder
from flopwise.registry import load
from flopwise.report.summary import summarise
from flopwise.report.tables import plan_text
from flopwise.report.write import write_report
from flopwise.searchers.constrained import Constrained
from flopwise.searchers.searcher import Searcher
from flopwise.study import baseline_config, rules_of, space_of
from flopwise.units import format_money, format_seconds
from flopwise.wire import Hello, Slot

ASK_ABOVE_S = 600.0
"""A tier longer than this is put to the user before it is spent, where there is somebody to ask."""

ASK_ABOVE_PRICE = 1.0
"""And so is one that costs this much or more, in the currency of ``price_per_hour``."""


def make_executor(study: dict[str, Any]) -> Executor:
    """The study's executor on this machine's slots, not yet open."""
    execution = study["execution"]
    kind: Callable[[tuple[Slot, ...]], Executor] = load("executors", execution["executor"])
    return kind(make_slots(usable_cores(), execution["slots"], execution["threads"]))


class Session:
    """One coordinator's time with a run.

    Args:
        folder: The run folder.
        record: Journal, state and ledger.
        request: Where, how, and whom to ask.
        spend: Whether to go on after calibration.
    """

    def __init__(self, folder: RunFolder, record: Record, request: Request, *, spend: bool) -> None:
        self._folder = folder
        self._record = record
        self._request = request
        self._spend = spend
        self._study = record.state.study
        self._spec = load("workloads", self._study["workload"])
        self._executor = make_executor(self._study)
        self._slots = self._executor.slots
        self._number = len(record.state.sessions) + 1
        self._opened_at = 0.0
        self._declined = False
        self._plan: Plan | None = None

    def run(self) -> Finish:
        """From opening the executor to the report."""
        view = self._request.view
        view.open()
        try:
            with Signals() as signals:
                closing = self._work(signals)
        finally:
            view.close()
        return self._finish(closing)

    def _work(self, signals: Signals) -> Closing:
        hello = self._hello()
        self._request.view.message(f"run folder {self._folder.root}")
        self._opened_at = self._request.clock.monotonic()
        try:
            ready = self._executor.open(hello)
            for problem in ready.problems:
                self._request.view.message(f"note: {problem}")
            self._enter()
            closing = Loop(self._desk(hello, signals)).run()
        except JournalError:
            raise
        except FlopwiseError as error:
            self._executor.close()
            self._leave(Closing("interrupted", error.problem))
            raise
        finally:
            self._executor.close()
        self._leave(closing)
        return closing

    def _enter(self) -> None:
        """Settle what a dead coordinator left, then sign in."""
        record, state = self._record, self._record.state
        record.add(*recover(self._folder, state, record.events))
        if state.paused is not None:
            record.add(PauseAccepted(state.paused.policy))
        facts = machine()
        record.add(
            SessionOpened(
                session=self._number,
                pid=os.getpid(),
                host=facts["host"],
                boot_id=facts["boot_id"],
                wall=self._request.clock.wall(),
                machine=facts,
                slots=[{"index": s.index, "cores": list(s.cores), "threads": s.threads} for s in self._slots],
                command=self._request.command,
                tier=self._request.tier or "",
                t=self._opened_at,
            )
        )
        record.commit()

    def _leave(self, closing: Closing) -> None:
        opened = [session for session in self._record.state.sessions if session.opened.session == self._number]
        if opened:
            now = self._request.clock.monotonic()
            self._record.add(SessionClosed(self._number, closing.reason, closing.detail, now))
            self._record.commit()

    def _hello(self) -> Hello:
        created = self._record.state.created
        assert created is not None
        objective = self._request.objective
        known = created.versions.get("objective", "")
        return Hello(
            run_id=created.run_id,
            stamps=str(self._folder.stamps),
            sys_path=tuple(path or str(Path.cwd()) for path in sys.path),
            preload=tuple(self._spec.preload),
            warm=self._spec.warm,
            pass_env=tuple(self._study["execution"]["pass_env"]),
            objective=objective if objective is not None or not known.startswith("import:") else known,
            folder=str(Path.cwd()),
        )

    def _desk(self, hello: Hello, signals: Signals) -> Desk:
        study, request = self._study, self._request
        policies = {
            name: load("policies", name)(load("policies", name).Options(**options))
            for name, options in study["policies"].items()
            if options is not None
        }
        return Desk(
            study=study,
            folder=self._folder,
            record=self._record,
            executor=self._executor,
            hello=hello,
            view=request.view,
            signals=signals,
            clock=request.clock,
            guard=Guard(study, policies, request.clock),
            session=self._number,
            has_data=self._spec.prepare is not None,
            choose_tier=self._choose_tier,
            make_search=self._make_search,
        )

    def _choose_tier(self) -> TierChosen | None:
        """Price the tiers, show them, and ask where there is much to spend and somebody to ask."""
        state = self._record.state
        self._plan = priced = price(state, self._record.ledger, len(self._slots))
        self._request.view.message(plan_text(priced, self._study))
        if not self._spend:
            return None
        name = self._tier_name()
        tier = priced.tier(name)
        question = f"Spend tier {name}: {format_seconds(tier.wall_s)}, {format_money(tier.price)}?"
        if (tier.wall_s > ASK_ABOVE_S or tier.price >= ASK_ABOVE_PRICE) and not self._ask(question):
            self._declined = True
            return None
        return TierChosen(name, priced.to_json())

    def _ask(self, question: str) -> bool:
        """Put a question while the view is out of the way."""
        self._request.view.close()
        answer = self._request.ask(question)
        self._request.view.open()
        return answer

    def _tier_name(self) -> str:
        """The tier of this session, of an earlier one, or the study's first."""
        asked = [self._request.tier, *(s.opened.tier for s in reversed(self._record.state.sessions))]
        return next((tier for tier in asked if tier), next(iter(self._study["tiers"])))

    def _make_search(self, chosen: TierChosen) -> Search:
        study, tier = self._study, self._study["tiers"][chosen.tier]
        kind = load("searchers", study["search"]["method"])
        space, options, centre = space_of(study), kind.Options(**study["search"]["options"]), baseline_config(study)

        def make(seed: int) -> Searcher:
            searcher: Searcher = kind(space, seed, options, centre=centre, population=tier.get("population"))
            return searcher

        searcher = Constrained(make, study["search"]["seed"], space, rules_of(study).allows)
        return Search(searcher, study, tier, len(self._slots))

    def _finish(self, closing: Closing) -> Finish:
        events = self._record.events
        write_report(self._folder, events)
        summary = summarise(events)
        if self._plan is not None:
            summary["plan"] = self._plan.to_json()
        reason = "declined" if self._declined else closing.reason
        return Finish(reason, closing.detail, self._folder.root, summary)
