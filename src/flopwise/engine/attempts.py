"""The attempts of a session: slots, intents, jobs, and the journal's record of how each one ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flopwise.budget.ledger import charge
from flopwise.engine.desk import Desk
from flopwise.engine.outcomes import Ending, classify
from flopwise.errors import ExecutorError
from flopwise.events import AttemptEnded, AttemptStarted, Measured
from flopwise.journal.replay import TrialState
from flopwise.study import full_config
from flopwise.trial import Outcome
from flopwise.wire import Ended, Job, KeeperLost, Measurement, Message, Progress, Reported, Slot, Started

STOP_GRACE_S = 5.0
"""Between SIGTERM and SIGKILL for an attempt that the study ends."""

KEEPER_RESTARTS = 3
"""How often a keeper may die in one session before the study gives up."""


class Attempts:
    """Starts attempts on free slots and turns messages about them into events.

    Args:
        desk: What the session works with.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._busy: dict[str, Slot] = {}
        self._started_at: dict[str, float] = {}
        self._reported: dict[str, Reported] = {}
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._keeper_deaths = 0

    @property
    def running(self) -> int:
        """How many attempts have been started and not ended."""
        return len(self._busy)

    @property
    def free(self) -> int:
        """How many slots run nothing."""
        return len(self._desk.executor.slots) - len(self._busy)

    def free_slot(self) -> Slot | None:
        """The first slot that runs nothing; None when all are busy."""
        taken = {slot.index for slot in self._busy.values()}
        return next((slot for slot in self._desk.executor.slots if slot.index not in taken), None)

    def intend(self, trial: TrialState, seed_index: int, slot: Slot, limit_s: float | None) -> Job:
        """Record the intent to run one seed of a trial, and make its job.

        The job may be started only after the record is committed.
        """
        desk = self._desk
        attempt = str(trial.next_attempt(seed_index))
        seed = trial.trial.seeds[seed_index]
        self._busy[attempt] = slot
        desk.record.add(AttemptStarted(attempt, seed, slot.index, limit_s, desk.session))
        return Job(
            attempt=attempt,
            kind="evaluate",
            workload=desk.study["workload"],
            config=full_config(desk.study, trial.trial.config),
            stop=trial.trial.fidelity.to_json(),
            seed=seed,
            slot=slot,
            folder=str(desk.folder.attempt(attempt)),
            cache=str(desk.folder.cache),
            data=desk.record.state.data,
            timeout_s=limit_s,
            grace_s=STOP_GRACE_S,
            metric=desk.study["objective"]["metric"],
            started_in=desk.hello.folder,
        )

    def start(self, jobs: Sequence[Job]) -> None:
        """Sync the intents, then start the processes."""
        self._desk.record.commit()
        for job in jobs:
            self._desk.folder.attempt(job.attempt).mkdir(mode=0o700)
            self._desk.executor.start(job)

    def stop_all(self, reason: str, grace_s: float) -> None:
        """Ask every running attempt to end, and end it after ``grace_s``."""
        for attempt in self._busy:
            self._desk.executor.stop(attempt, reason, grace_s)

    def hear(self, message: Message) -> None:
        """Take one message from the executor.

        Raises:
            ExecutorError: If the keeper keeps dying.
        """
        match message:
            case Started():
                self._started_at[message.attempt] = message.at
            case Measurement():
                row = {"step": message.step, "elapsed_s": message.elapsed_s, "values": dict(message.values)}
                self._rows.setdefault(message.attempt, []).append(row)
            case Progress():
                self._desk.view.progress(message.text, message.done, message.total)
            case Reported():
                self._reported[message.attempt] = message
            case Ended() if message.attempt in self._busy:
                self._ended(message)
            case KeeperLost():
                self._keeper_lost(message)

    def flush_rows(self) -> None:
        """Record the learning-curve rows heard since the last time."""
        for attempt in list(self._rows):
            self._write_rows(attempt)

    def _ended(self, ended: Ended) -> None:
        limit_s = self._desk.record.state.attempt(ended.attempt).intent.limit_s
        reported = self._reported.pop(ended.attempt, None)
        self._end(ended, classify(reported, ended, limit_s), reported)

    def _end(self, ended: Ended, ending: Ending, reported: Reported | None) -> None:
        self._write_rows(ended.attempt)
        self._desk.record.add(end_event(self._desk, ended, ending, reported))
        self._busy.pop(ended.attempt, None)
        self._started_at.pop(ended.attempt, None)

    def _write_rows(self, attempt: str) -> None:
        rows = self._rows.pop(attempt, None)
        if rows and attempt in self._busy:
            self._desk.record.add(Measured(attempt, rows))

    def _keeper_lost(self, lost: KeeperLost) -> None:
        """Every running attempt died with its keeper: charge them, open another keeper, go on."""
        for attempt in list(self._busy):
            began = self._started_at.get(attempt, lost.at)
            ending = Ending(Outcome.KILLED, f"its keeper died: {lost.detail}", interrupted=True)
            self._reported.pop(attempt, None)
            self._end(Ended(attempt, began, lost.at, None, None, "stopped"), ending, None)
        self._desk.record.commit()
        self._keeper_deaths += 1
        if self._keeper_deaths > KEEPER_RESTARTS:
            raise ExecutorError(
                f"the keeper died {self._keeper_deaths} times in this session",
                got=lost.detail,
                where=str(self._desk.folder.keeper_log),
                fix="read that file; then `flopwise resume`",
            )
        self._desk.view.message(f"the keeper died ({lost.detail}); starting another")
        self._desk.executor.open(self._desk.hello)


def end_event(desk: Desk, ended: Ended, ending: Ending, reported: Reported | None) -> AttemptEnded:
    """The journal's record of an attempt's end, with its charge."""
    device_s, price = charge(
        ended.ended_at - ended.started_at,
        slots=len(desk.executor.slots),
        price_per_hour=desk.study["execution"]["price_per_hour"],
    )
    return AttemptEnded(
        attempt=ended.attempt,
        outcome=ending.outcome,
        metrics=dict(reported.metrics) if reported else {},
        info=dict(reported.info) if reported else {},
        started_at=ended.started_at,
        ended_at=ended.ended_at,
        device_s=device_s,
        price=price,
        cpu_s=ended.cpu_s,
        peak_rss_bytes=ended.peak_rss_bytes,
        cause=ending.cause,
        tail=ended.tail if ending.outcome != Outcome.OK else "",
        interrupted=ending.interrupted,
    )
