"""The baseline on many slots at once: what each evaluation took, and why the wave does not count if it does not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from flopwise.budget.ledger import charge
from flopwise.budget.packing import KILLED, LIMITS, MEMORY, TIMEOUT, Pair, hopeless
from flopwise.engine.attempts import STOP_GRACE_S
from flopwise.engine.desk import Desk
from flopwise.engine.loop import HEARTBEAT_S, POLL_S
from flopwise.engine.measuring import measuring
from flopwise.engine.outcomes import Ending, classify
from flopwise.engine.phases import evaluation_seeds
from flopwise.events import Alive, PackingMeasured
from flopwise.study import baseline_config, full_config
from flopwise.trial import Outcome
from flopwise.wire import Ended, Job, KeeperLost, Message, Reported, Slot, Started

INTERRUPTED = "interrupted"
"""First word of the cause of a wave that is to be run again."""

STANDING: Mapping[Outcome, str] = {Outcome.OOM: MEMORY, Outcome.TIMEOUT: TIMEOUT, Outcome.KILLED: KILLED}
"""Outcomes that may be this pair's own fault, and the first word of its cause then."""


class Wave:
    """One evaluation of the baseline a slot, all at once.

    Args:
        desk: What the session works with.
        pair: What is measured.
        settled: What the other pairs gave: the wave ends when it cannot be better any more.
        limit_s: Seconds that each evaluation may take at most, for the sake of the study's limits.

    Attributes:
        cause: Why it does not count; empty when it does.
        peak_rss_bytes: Largest memory of an evaluation; None when unknown.
        lost: How the keeper died, if it did.
    """

    def __init__(self, desk: Desk, pair: Pair, settled: Mapping[Pair, PackingMeasured], limit_s: float) -> None:
        self._desk = desk
        self._pair = pair
        self._settled = settled
        self._limit_s = limit_s
        self._jobs: dict[str, Job] = {}
        self._started_at: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._reported: dict[str, Reported] = {}
        self._alive_at = desk.clock.monotonic()
        self._signals_seen = desk.signals.count
        self.cause = ""
        self.peak_rss_bytes: int | None = None
        self.lost: KeeperLost | None = None

    @property
    def seconds(self) -> list[float]:
        """Wall seconds of every evaluation, in the order of slots; of one that was cut short, until then."""
        return [self._took[name] for name in self._jobs if name in self._took]

    def run(self, names: Sequence[str], slots: Sequence[Slot]) -> None:
        """Start all and wait until none is left.

        Args:
            names: Of the evaluations.
            slots: One a name.
        """
        self._jobs = {name: self._job(name, slot) for name, slot in zip(names, slots, strict=True)}
        for name, job in self._jobs.items():
            self._desk.folder.attempt(name).mkdir(mode=0o700)
            self._desk.executor.start(job)
        while len(self._took) < len(self._jobs):
            for message in self._desk.executor.poll(POLL_S, self._desk.signals.wake):
                self._hear(message)
            self._look()

    def charge(self, price_per_hour: float) -> tuple[float, float]:
        """Device seconds and price of all its evaluations."""
        return charge(math.fsum(self.seconds), self._pair.slots, price_per_hour)

    def _job(self, name: str, slot: Slot) -> Job:
        desk, study = self._desk, self._desk.study
        limits = [limit for limit in (study["evaluation"]["timeout"], self._limit_s) if limit is not None]
        limit_s = min(limits)
        return Job(
            attempt=name,
            kind="evaluate",
            workload=study["workload"],
            config=full_config(study, baseline_config(study)),
            stop=study["evaluation"]["stop"],
            seed=evaluation_seeds(study, 1)[0],
            slot=slot,
            folder=str(desk.folder.attempt(name)),
            cache=str(desk.folder.cache),
            data=desk.record.state.data,
            timeout_s=None if math.isinf(limit_s) else limit_s,
            progress_s=study["evaluation"].get("progress_timeout"),
            output_bytes=int(study["execution"].get("output_limit", Job.output_bytes)),
            grace_s=STOP_GRACE_S,
            started_in=desk.hello.folder,
            **measuring(study),
        )

    def _hear(self, message: Message) -> None:
        match message:
            case Started() if message.attempt in self._jobs:
                self._started_at[message.attempt] = message.at
            case Reported() if message.attempt in self._jobs:
                self._reported[message.attempt] = message
            case Ended() if message.attempt in self._jobs:
                self._ended(message)
            case KeeperLost():
                self._keeper_lost(message)

    def _ended(self, ended: Ended) -> None:
        name = ended.attempt
        self._took[name] = ended.ended_at - ended.started_at
        if ended.peak_rss_bytes is not None:
            self.peak_rss_bytes = max(self.peak_rss_bytes or 0, ended.peak_rss_bytes)
        ending = classify(self._reported.get(name), ended, self._jobs[name])
        if ending.outcome not in (Outcome.OK, Outcome.PRUNED):
            self._give_up(self._cause(ending, self._took[name]))
        done, total = len(self._took), len(self._jobs)
        self._desk.view.progress(f"packing {self._pair}: {done} of {total} evaluations", done, total)

    def _cause(self, ending: Ending, took_s: float) -> str:
        timeout_s = self._desk.study["evaluation"]["timeout"]
        is_tighter = timeout_s is None or self._limit_s < timeout_s
        if ending.outcome == Outcome.TIMEOUT and is_tighter and took_s >= self._limit_s:
            return f"{LIMITS}: not finished in {self._limit_s:.3g} s, which is what they leave for it"
        return f"{STANDING.get(ending.outcome, ending.outcome)}: {ending.cause}"

    def _keeper_lost(self, lost: KeeperLost) -> None:
        """Everything that ran died with it."""
        self.lost = lost
        self.cause = self.cause or f"{INTERRUPTED}: its keeper died: {lost.detail}"
        for name in self._jobs:
            if name not in self._took:
                self._took[name] = max(0.0, lost.at - self._started_at.get(name, lost.at))

    def _look(self) -> None:
        """Signals, the clock, and whether going on is of any use."""
        desk, now = self._desk, self._desk.clock.monotonic()
        if desk.signals.count > self._signals_seen:
            desk.signals.drain()
            self._signals_seen = desk.signals.count
            self._give_up(f"{INTERRUPTED}: {desk.signals.last}")
        so_far = [self._took.get(name, now - self._started_at.get(name, now)) for name in self._jobs]
        if len(self._took) < len(self._jobs):
            self._give_up(hopeless(self._pair.slots, so_far, self._settled))
        if now - self._alive_at >= HEARTBEAT_S:
            self._alive_at = now
            desk.record.add(Alive(now))
            desk.record.commit()
        desk.view.tick(desk.record.state, desk.record.ledger)

    def _give_up(self, cause: str) -> None:
        """End what still runs: the wave does not count. The first cause is the one that is kept."""
        if self.cause or not cause:
            return
        self.cause = cause
        for name in self._jobs:
            if name not in self._took:
                self._desk.executor.stop(name, "packing", 0.0)
