"""One coordinator's time with a run: opens the executor, settles the past, runs the loop, signs out, reports."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from flopwise.budget.plan import Plan
from flopwise.clock import Clock
from flopwise.engine.desk import Closing, Desk
from flopwise.engine.ground import as_cut, chosen, ground, is_unpacked, needless, undivided
from flopwise.engine.guard import Guard
from flopwise.engine.lease import leased_executor, slot_json
from flopwise.engine.loop import Loop
from flopwise.engine.packing import PACKED, Packing
from flopwise.engine.pause import answers
from flopwise.engine.phases import Search
from flopwise.engine.pricing import price
from flopwise.engine.probes import Probes
from flopwise.engine.record import Record
from flopwise.engine.recover import recover
from flopwise.engine.request import Finish, Request
from flopwise.engine.signals import Signals
from flopwise.errors import ExecutorError, FlopwiseError, JournalError
from flopwise.events import Event, PackingChosen, SessionClosed, SessionOpened, TierChosen
from flopwise.executors.executor import Executor
from flopwise.executors.topology import machine
from flopwise.paths import RunFolder
from flopwise.registry import load
from flopwise.report.probes import unfit_sentence
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


def facts_of(executor: Executor) -> dict[str, Any]:
    """The machine, and what sets attempts of this executor apart from real ones; JSON values."""
    return {**machine(), **executor.traits.facts}


def gone(folder: RunFolder, error: OSError) -> ExecutorError:
    """What a user is told whose run folder was moved or deleted while the study worked in it."""
    return ExecutorError(
        "the run folder has gone while the study worked in it",
        got=str(error),
        where=str(folder.root),
        fix=f"if it was moved, put it back: `flopwise resume {folder.name}` goes on from its journal",
    )


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
        self._executor: Executor
        self._slots: tuple[Slot, ...] = ()
        self._clock: Clock = request.clock
        self._number = 0
        self._packing: PackingChosen | None = None
        self._opened_at = 0.0
        self._instead: str | None = None
        self._plan: Plan | None = None
        self._answers: list[Event] = []

    def run(self) -> Finish:
        """From opening the executor to the report.

        Raises:
            StillPaused: If the run is paused, and the request answers it with nothing.
            ExecutorError: If the run folder is moved or deleted meanwhile; and see the tree in ``errors``.
        """
        try:
            return self._finish(self._watched())
        except OSError as error:
            if self._folder.journal.exists():
                raise
            raise gone(self._folder, error) from error

    def _watched(self) -> Closing:
        """Work, with the user's view open."""
        view = self._request.view
        self._answers = answers(self._record.state, self._request, self._folder.name)
        view.open()
        try:
            with self._request.signals or Signals() as signals:
                return self._work(signals)
        finally:
            view.close()

    def _work(self, signals: Signals) -> Closing:
        """Find out how to cut the machine, if the study wants that measured, and work on those slots."""
        self._request.view.message(f"run folder {self._folder.root}")
        if self._request.executor is None and is_unpacked(self._record.state):
            closing = self._pack(signals)
            if closing.reason != PACKED:
                return closing
        study = as_cut(self._study, chosen(self._record.state) or self._packing)
        return self._work_on_slots(study, signals, lambda desk: Loop(desk).run())

    def _pack(self, signals: Signals) -> Closing:
        """Measure the packing in a session of its own, on the whole machine; or see that there is no need to."""
        here = ground(self._study)
        self._packing = needless(self._study, here)
        if self._packing is not None:
            return Closing(PACKED)
        return self._work_on_slots(undivided(self._study), signals, lambda desk: Packing(desk, here).run())

    def _work_on_slots(self, study: Mapping[str, Any], signals: Signals, work: Callable[[Desk], Closing]) -> Closing:
        """Wait for slots, and work on them: one session of the journal."""
        with self._leased(study, signals) as executor:
            if executor is None:
                return Closing("interrupted", f"{signals.last} while waiting for cores; nothing was started")
            self._use(executor)
            self._number = len(self._record.state.sessions) + 1
            return self._session(signals, work)

    def _use(self, executor: Executor) -> None:
        """Take its slots and its clock; a simulation need not be durable, a debugger needs the terminal."""
        self._executor, self._slots = executor, executor.slots
        self._clock = executor.traits.clock or self._request.clock
        if not executor.traits.durable:
            self._record.let_go_of_durability()
        if executor.traits.shares_terminal:
            self._request.view.close()

    def _leased(self, study: Mapping[str, Any], signals: Signals) -> AbstractContextManager[Executor | None]:
        """An executor on slots that are ours; None after a signal."""
        created, request = self._record.state.created, self._request
        if request.executor is not None:
            return nullcontext(request.executor)
        assert created is not None
        run = self._folder.name, created.run_id
        return leased_executor(study, *run, signals, request.clock, request.view.message)

    def _session(self, signals: Signals, work: Callable[[Desk], Closing]) -> Closing:
        """A session that an error ends while attempts are open is not closed: the next one settles them."""
        hello = self._hello()
        self._opened_at = self._clock.monotonic()
        try:
            ready = self._executor.open(hello)
            for problem in ready.problems:
                self._request.view.message(f"note: {problem}")
            self._enter()
            closing = work(self._desk(hello, signals))
        except JournalError:
            raise
        except FlopwiseError as error:
            self._executor.close()
            if not self._record.state.running():
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
        record.add(*self._answers)
        self._answers = []
        facts = facts_of(self._executor)
        record.add(
            SessionOpened(
                session=self._number,
                pid=os.getpid(),
                host=facts["host"],
                boot_id=facts["boot_id"],
                wall=self._request.clock.wall(),
                machine=facts,
                slots=[slot_json(slot) for slot in self._slots],
                command=self._request.command,
                tier=self._request.tier or "",
                t=self._opened_at,
            )
        )
        if self._packing is not None:
            record.add(self._packing)
        record.commit()
        if not state.slots.usable:
            raise ExecutorError(
                "every slot of this session has cores that were excluded",
                expected="at least one slot that may be used",
                fix="wait until other cores are free, or ask for fewer threads or slots",
            )

    def _leave(self, closing: Closing) -> None:
        opened = [session for session in self._record.state.sessions if session.opened.session == self._number]
        if opened:
            now = self._clock.monotonic()
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
            clock=self._clock,
            guard=Guard(study, policies, self._clock, len(self._slots)),
            session=self._number,
            probes=Probes(study, len(self._slots)),
            has_data=self._spec.prepare is not None,
            choose_tier=self._choose_tier,
            make_search=self._make_search,
        )

    def _choose_tier(self) -> TierChosen | None:
        """Price the tiers, show them, and ask where there is much to spend and somebody to ask."""
        state = self._record.state
        if self._request.trains:
            return None
        self._plan = priced = price(state, self._record.ledger, len(self._slots))
        self._request.view.message(plan_text(priced, self._study, summarise(self._record.stream())["packing"]))
        if not self._spend:
            return None
        name = self._tier_name()
        if priced.unfit and not self._anyway(name, priced):
            self._instead = "refused"
            return None
        tier = priced.tier(name)
        question = f"Spend tier {name}: {format_seconds(tier.wall_s)}, {format_money(tier.price)}?"
        much = tier.wall_s > ASK_ABOVE_S or tier.price >= ASK_ABOVE_PRICE
        if much and "simulated" not in facts_of(self._executor) and not self._ask(question):
            self._instead = "declined"
            return None
        return TierChosen(name, priced.to_json(), anyway=bool(priced.unfit))

    def _anyway(self, tier: str, priced: Plan) -> bool:
        """Whether the user wants it although candidates cannot be told apart."""
        self._request.view.close()
        answer = self._request.anyway(f"{unfit_sentence(priced)} Spend tier {tier} anyway?")
        if not getattr(self._executor, "shares_terminal", False):
            self._request.view.open()
        return answer

    def _ask(self, question: str) -> bool:
        """Put a question while the view is out of the way."""
        self._request.view.close()
        answer = self._request.ask(question)
        if not self._executor.traits.shares_terminal:
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

        mode = {"asynchronous": True} if kind.generational and study["search"].get("asynchronous") else {}

        def make(seed: int) -> Searcher:
            searcher: Searcher = kind(space, seed, options, centre=centre, population=tier.get("population"), **mode)
            return searcher

        rules, seed = rules_of(study), study["search"]["seed"]
        searcher = Constrained(make, seed, space, rules.allows) if rules else make(seed)
        return Search(searcher, study, tier, len(self._slots))

    def _finish(self, closing: Closing) -> Finish:
        summary = write_report(self._folder, self._record.stream())
        if self._plan is not None:
            summary["plan"] = self._plan.to_json()
        detail = unfit_sentence(self._plan) if self._plan and self._instead == "refused" else closing.detail
        return Finish(self._instead or closing.reason, detail, self._folder.root, summary)
