"""The attempts of a session: slots, intents, jobs, and the journal's record of how each one ended.

An attempt's id is the fencing token of everything that is said about it. What comes from an attempt that has ended,
that was replaced, or that nobody knows, is noted and, where it took time, charged; it never counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from flopwise.budget.ledger import charge
from flopwise.engine.desk import Desk
from flopwise.engine.flops import trained
from flopwise.engine.measuring import measuring, validated
from flopwise.engine.outcomes import Ending, classify
from flopwise.engine.placing import Evaluation, free_slots, next_up
from flopwise.engine.quarantine import quarantine
from flopwise.engine.rows import Rows
from flopwise.errors import ExecutorError, JournalDamaged
from flopwise.events import AttemptEnded, AttemptStarted, LateResult, Measured
from flopwise.journal.replay import AttemptState, TrialState
from flopwise.registry import load
from flopwise.study import Configs
from flopwise.trial import Fidelity, Outcome
from flopwise.wire import Ended, Job, KeeperLost, Measurement, Message, Progress, Reported, Slot, Started
from flopwise.workload import WorkloadSpec

STOP_GRACE_S = 5.0
"""Between SIGTERM and SIGKILL for an attempt that the study ends."""

KEEPER_RESTARTS = 5
"""How often keepers may die in one session, without an evaluation found that kills them, before the study gives up."""


class Attempts:
    """Starts attempts on free slots and turns messages about them into events.

    Args:
        desk: What the session works with.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._busy: dict[str, Job] = {}
        self._started_at: dict[str, float] = {}
        self._reported: dict[str, Reported] = {}
        self._late: dict[str, Reported] = {}
        self._strays: set[tuple[str, str]] = set()
        self._rows = Rows(metric=validated(desk.study))
        self._keeper_deaths = 0
        self._configs = Configs(desk.study)
        self._spec: WorkloadSpec = load("workloads", desk.study["workload"])

    @property
    def running(self) -> int:
        """How many attempts have been started and not ended."""
        return len(self._busy)

    def next_up(self, waiting: Iterable[Evaluation]) -> Iterable[Evaluation]:
        """Of the evaluations that wait, those that may be started now."""
        return next_up(waiting, self._desk.record.state)

    def free_slots(self) -> list[Slot]:
        """Slots that could be given something now."""
        slots, down = self._desk.executor.slots, self.down
        if len(self._busy) >= len(slots):
            return []
        there = [slot for slot in slots if slot.index not in down] if down else slots
        return free_slots(there, {job.slot.index for job in self._busy.values()}, self._desk.record.state)

    @property
    def down(self) -> frozenset[int]:
        """Slots whose node is gone, or not there yet."""
        return self._desk.executor.traits.down

    def still_free(self, slots: list[Slot], taken: Slot) -> list[Slot]:
        """What :meth:`free_slots` would say after one was taken; the rest of ``slots`` where that is the same."""
        if len(self._busy) == 1:
            return self.free_slots()
        slots.remove(taken)
        return slots

    def intend(self, trial: TrialState, seed_index: int, slot: Slot, limit_s: float | None) -> Job:
        """Record the intent to run one seed of a trial, and make its job.

        The job may be started only after the record is committed.
        """
        desk = self._desk
        attempt = str(trial.next_attempt(seed_index))
        seed = trial.trial.seeds[seed_index]
        desk.record.add(AttemptStarted(attempt, seed, slot.index, limit_s, desk.session))
        self._busy[attempt] = Job(
            attempt=attempt,
            kind="evaluate",
            workload=desk.study["workload"],
            config=self._configs(trial.trial.config),
            stop=trial.trial.fidelity.to_json(),
            seed=seed,
            slot=slot,
            folder=str(desk.folder.attempt(attempt)),
            cache=str(desk.folder.cache),
            data=desk.record.state.data,
            timeout_s=limit_s,
            progress_s=desk.study["evaluation"].get("progress_timeout"),
            output_bytes=int(desk.study["execution"].get("output_limit", Job.output_bytes)),
            grace_s=STOP_GRACE_S,
            started_in=desk.hello.folder,
            phase=trial.trial.phase,
            **measuring(desk.study),
        )
        return self._busy[attempt]

    def start(self, jobs: Sequence[Job]) -> None:
        """Sync the intents, then start the processes.

        Raises:
            ExecutorError: If the run folder takes no new folders, being gone or on a full disk.
        """
        self._desk.record.commit()
        for job in jobs:
            if self._desk.executor.traits.folders:
                self._make_folder(job.attempt)
            self._desk.executor.start(job)

    def _make_folder(self, attempt: str) -> None:
        folder = self._desk.folder.attempt(attempt)
        try:
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise ExecutorError(
                f"no folder can be made for attempt {attempt}: {error.strerror}",
                where=str(folder),
                fix="see to the disk and the folder above it, then `flopwise resume`",
            ) from error

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
            case Progress():
                self._desk.view.progress(message.text, message.done, message.total)
            case KeeperLost():
                self._keeper_lost(message)
            case Started() | Measurement() | Reported() | Ended() if message.attempt not in self._busy:
                self._stray(message)
            case Started():
                self._started_at[message.attempt] = message.at
            case Measurement():
                self._rows.add(message)
            case Reported():
                self._reported.setdefault(message.attempt, message)
            case Ended():
                reported = self._reported.pop(message.attempt, None)
                self._end(message, classify(reported, message, self._busy[message.attempt]), reported)

    def flush_rows(self) -> None:
        """Record the learning-curve rows heard since the last time."""
        for attempt in self._rows.attempts:
            self._write_rows(attempt)

    def _end(self, ended: Ended, ending: Ending, reported: Reported | None) -> None:
        record, session = self._desk.record, self._desk.session
        self._write_rows(ended.attempt)
        flops = self._trained(self._busy[ended.attempt], ended, reported)
        record.add(end_event(self._desk, ended, ending, reported, flops))
        self._forget(ended.attempt)
        for slot in record.state.slots.failing:
            found = quarantine(record.state.slots, slot, session)
            if found is not None:
                record.add(found)

    def _trained(self, job: Job, ended: Ended, reported: Reported | None) -> float | None:
        """Training FLOPs of an attempt that is over; its rows are written."""
        rows = self._desk.record.state.attempt(job.attempt).rows
        stop, info = Fidelity.from_json(job.stop), reported.info if reported else {}
        return trained(self._spec, job.config, stop, info=info, rows=rows, began=ended.ended_at > ended.started_at)

    def _forget(self, attempt: str) -> None:
        del self._busy[attempt]
        self._rows.forget(attempt)
        for known in (self._started_at, self._reported):
            known.pop(attempt, None)

    def _write_rows(self, attempt: str) -> None:
        rows = self._rows.take(attempt)
        if rows:
            self._desk.record.add(Measured(attempt, rows))

    # What is said about attempts that do not run

    def _stray(self, message: Started | Measurement | Reported | Ended) -> None:
        """Note it, once a kind and attempt; charge what a late end says."""
        attempt = self._known(message.attempt)
        if (message.attempt, type(message).__name__) not in self._strays:
            self._strays.add((message.attempt, type(message).__name__))
            said = "is over" if attempt else "was never started"
            self._desk.view.message(f"{type(message).__name__} of {message.attempt}, which {said}: not counted")
        if attempt is not None and isinstance(message, Reported):
            self._late[message.attempt] = message
        elif attempt is not None and isinstance(message, Ended):
            self._charge_late(message, attempt)

    def _charge_late(self, ended: Ended, attempt: AttemptState) -> None:
        """What an attempt took beyond what it has been charged; a mere repetition adds nothing."""
        reported = self._late.pop(ended.attempt, None)
        seconds = max(0.0, ended.ended_at - ended.started_at - attempt.device_s)
        if reported is None and not seconds:
            return
        device_s, price = _charge(self._desk, seconds)
        self._desk.record.add(
            LateResult(
                attempt=ended.attempt,
                outcome=reported.outcome if reported else Outcome.KILLED,
                metrics=dict(reported.metrics) if reported else {},
                device_s=device_s,
                price=price,
                t=self._desk.clock.monotonic(),
                train_flops=self._trained_late(attempt, reported),
            )
        )

    def _trained_late(self, attempt: AttemptState, reported: Reported | None) -> float | None:
        """Training FLOPs that a late report shows beyond what has been charged."""
        trial = self._desk.record.state.trials[attempt.id.trial].trial
        info, config = reported.info if reported else {}, self._configs(trial.config)
        known = trained(self._spec, config, trial.fidelity, info=info, rows=(), began=True)
        return None if known is None else max(0.0, known - (attempt.train_flops or 0.0))

    def _known(self, name: str) -> AttemptState | None:
        """An attempt of this run that has ended; None when there is none of that name."""
        try:
            return self._desk.record.state.attempt(name)
        except (JournalDamaged, ValueError):
            return None

    # When the keeper dies

    def _keeper_lost(self, lost: KeeperLost) -> None:
        """What ran there died with its keeper: charge it; where that was the only one, open another; go on."""
        given_up = False
        node = lost.attempts is not None
        for attempt in [name for name in self._busy if lost.attempts is None or name in lost.attempts]:
            began = self._started_at.get(attempt, lost.at)
            ended = Ended(attempt, began, lost.at, None, None, "stopped")
            ending = self._lost_with(attempt, lost.detail, node=node)
            given_up = given_up or not ending.interrupted
            self._end(ended, ending, None)
        self._desk.record.commit()
        if node:
            self._desk.view.message(f"lost: {lost.detail}; what ran there is run elsewhere")
            return
        self._keeper_deaths = 0 if given_up else self._keeper_deaths + 1
        if self._keeper_deaths > KEEPER_RESTARTS:
            raise ExecutorError(
                f"the keeper died {self._keeper_deaths} times in this session",
                got=lost.detail,
                where=str(self._desk.folder.keeper_log),
                fix="read that file; then `flopwise resume`",
            )
        self._desk.view.message(f"the keeper died ({lost.detail}); starting another")
        self._desk.executor.open(self._desk.hello)

    def _lost_with(self, name: str, detail: str, *, node: bool) -> Ending:
        state = self._desk.record.state
        attempt = state.attempt(name)
        to = "node" if node else "keeper"
        ending = Ending(Outcome.KILLED, f"its {to} died: {detail}", interrupted=True, lost=to)
        if not state.trials[attempt.id.trial].lost_too_often(attempt, to):
            return ending
        return replace(ending, interrupted=False, cause=f"{ending.cause}, not for the first time")


def end_event(
    desk: Desk, ended: Ended, ending: Ending, reported: Reported | None, train_flops: float | None
) -> AttemptEnded:
    """The journal's record of an attempt's end, with its charge."""
    device_s, price = _charge(desk, ended.ended_at - ended.started_at)
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
        contention=ended.contention,
        switches=list(ended.switches) if ended.switches else None,
        cause=ending.cause,
        tail=ended.tail if ending.outcome != Outcome.OK else "",
        interrupted=ending.interrupted,
        lost=ending.lost,
        train_flops=train_flops,
    )


def _charge(desk: Desk, seconds: float) -> tuple[float, float]:
    """Device-seconds and money for time on one slot of this session."""
    price_per_hour = desk.study["execution"]["price_per_hour"]
    return charge(seconds, slots=len(desk.executor.slots), price_per_hour=price_per_hour)
