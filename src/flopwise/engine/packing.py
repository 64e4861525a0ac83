"""Which way of cutting the machine runs the most evaluations an hour, found by running the baseline.

One wave a pair: the baseline on all of its slots at once, each pinned to cores of its own, as the search
will. What a wave took is charged; its results count for nothing, because another number of threads may
give other last digits. What to measure next and what to choose is decided in
:mod:`flopwise.budget.packing`; nothing that is settled is measured twice, however a session ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flopwise.budget.limits import Limits
from flopwise.budget.packing import (
    LIMITS,
    SETTLED,
    Choice,
    Pair,
    allowance,
    choose,
    evaluations_per_hour,
    format_rate,
    next_pair,
    over_memory,
    too_big,
    too_long,
)
from flopwise.engine.attempts import KEEPER_RESTARTS
from flopwise.engine.desk import Closing, Desk
from flopwise.engine.ground import Ground
from flopwise.engine.prepare import prepare_data
from flopwise.engine.wave import INTERRUPTED, Wave
from flopwise.errors import ExecutorError
from flopwise.events import Event, PackingChosen, PackingMeasured, PackingStarted, SessionOpened
from flopwise.units import format_seconds

PACKED = "packed"
"""A session closes with this reason when it has measured the packing and another goes on with it."""


def measured_on(events: Iterable[Event], cores: int) -> dict[Pair, PackingMeasured]:
    """What is settled for machines of so many cores: the last word on each pair."""
    found: dict[Pair, PackingMeasured] = {}
    here = False
    for event in events:
        if isinstance(event, SessionOpened):
            here = event.machine.get("cores") == cores
        elif here and isinstance(event, PackingMeasured) and stands(event):
            found[Pair(event.slots, event.threads)] = event
    return found


def stands(measured: PackingMeasured) -> bool:
    """Whether a pair need not be measured again: it has a rate, or a cause of its own."""
    return not measured.cause or measured.cause.startswith(SETTLED)


def evaluation_names(events: Iterable[Event], started: PackingStarted) -> list[str]:
    """What the evaluations of a wave are called, in folders and stamps: ``packing.SESSION.WAVE.SLOT``.

    Args:
        events: Of the run.
        started: The wave; one of them.
    """
    waves = [each for each in events if isinstance(each, PackingStarted) and each.session == started.session]
    wave = 1 + next(index for index, each in enumerate(waves) if each == started)
    return [f"packing.{started.session}.{wave}.{slot}" for slot in range(started.slots)]


class Packing:
    """Measures until the best pair is known, and journals the choice.

    Args:
        desk: What the session works with.
        ground: The machine.
    """

    def __init__(self, desk: Desk, ground: Ground) -> None:
        self._desk = desk
        self._record = desk.record
        self._ground = ground
        self._settled = measured_on(desk.record.stream(), ground.cores)
        self._keeper_deaths = 0
        now = desk.clock.monotonic()
        device_s, wall_s = allowance(Limits.from_study(desk.study), desk.record.ledger.spent(now))
        self._device_s = desk.record.ledger.total.device_s + device_s
        self._deadline = now + wall_s

    def run(self) -> Closing:
        """Measure and choose; closes with :data:`PACKED` when the search can begin.

        Raises:
            InputError: If the data cannot be used.
            WorkloadError: If the data cannot be prepared.
            ExecutorError: If the keeper keeps dying.
        """
        if self._desk.has_data and not prepare_data(self._desk):
            return Closing("interrupted", self._desk.signals.last)
        while (pair := self._next()) is not None:
            self._settle(pair)
            if self._desk.signals.count:
                return Closing("interrupted", self._desk.signals.last)
            last = self._record.state.packings[-1]
            if last.cause and not last.cause.startswith((*SETTLED, INTERRUPTED)):
                return Closing("failed", f"the baseline itself ended as {last.cause}")
        return self._choose()

    def _next(self) -> Pair | None:
        if self._left_s(1) <= 0:
            return None
        return next_pair(self._ground.pairs, self._settled, self._ground.memory_bytes)

    def _left_s(self, slots: int) -> float:
        """Seconds that one evaluation of a wave may take within packing's share of the limits."""
        left_s = self._deadline - self._desk.clock.monotonic()
        return min(left_s, (self._device_s - self._record.ledger.total.device_s) / slots)

    def _settle(self, pair: Pair) -> None:
        """Run the pair's wave, unless memory or limits are too small for it, and journal what came of it."""
        record, now = self._record, self._desk.clock.monotonic()
        started = PackingStarted(pair.slots, pair.threads, self._desk.session, now)
        left_s = self._left_s(pair.slots)
        cause = too_big(pair, self._settled, self._ground.memory_bytes) or too_long(pair, self._settled, left_s)
        record.add(started)
        record.commit()
        wave = Wave(self._desk, pair, self._settled, left_s)
        if not cause:
            wave.run(evaluation_names(record.events, started), self._ground.cut(pair))
            cause = wave.cause or over_memory(pair, wave.peak_rss_bytes, self._ground.memory_bytes)
        self._write(pair, wave, cause)
        self._revive(wave)

    def _write(self, pair: Pair, wave: Wave, cause: str) -> None:
        """Journal a wave that is over, or has not been run."""
        device_s, price = wave.charge(self._desk.study["execution"]["price_per_hour"])
        measured = PackingMeasured(
            slots=pair.slots,
            threads=pair.threads,
            seconds=wave.seconds,
            evaluations_per_hour=0.0 if cause else evaluations_per_hour(pair.slots, wave.seconds),
            peak_rss_bytes=wave.peak_rss_bytes,
            cause=cause,
            device_s=device_s,
            price=price,
            t=self._desk.clock.monotonic(),
        )
        if stands(measured):
            self._settled[pair] = measured
        self._record.add(measured)
        self._record.commit()
        self._desk.view.message(line(measured))

    def _revive(self, wave: Wave) -> None:
        """Open another keeper where a wave has lost its own."""
        if wave.lost is None:
            return
        self._keeper_deaths += 1
        if self._keeper_deaths > KEEPER_RESTARTS:
            raise ExecutorError(
                f"the keeper died {self._keeper_deaths} times while the packing was measured",
                got=wave.lost.detail,
                where=str(self._desk.folder.keeper_log),
                fix="read that file; or set `execution.threads` to a number, and nothing is measured",
            )
        self._desk.executor.open(self._desk.hello)

    def _choose(self) -> Closing:
        settled = self._settled
        choice = choose(self._ground.pairs, settled) or self._unmeasured(settled)
        if choice is None:
            causes = "; ".join(f"{pair}: {each.cause}" for pair, each in sorted(settled.items()))
            return Closing("failed", f"the baseline runs at no number of slots and threads that was tried: {causes}")
        event = PackingChosen(choice.pair.slots, choice.pair.threads, self._ground.cores, choice.reason)
        self._record.add(event)
        self._record.commit()
        self._desk.view.message(f"packing: {choice.pair} is taken: {choice.reason}")
        return Closing(PACKED, f"{choice.pair}: {choice.reason}")

    def _unmeasured(self, settled: Mapping[Pair, PackingMeasured]) -> Choice | None:
        """What to take when the limits are too tight to measure anything; None when something else was wrong."""
        if not all(each.cause.startswith(LIMITS) for each in settled.values()):
            return None
        pair = min(self._ground.pairs, key=lambda pair: pair.threads)
        return Choice(pair, "not measured, because the limits leave too little for it; as few threads as there can be")


def line(measured: PackingMeasured) -> str:
    """A measured pair on one line."""
    name = f"packing: {Pair(measured.slots, measured.threads)}"
    if measured.cause:
        return f"{name}  {measured.cause}"
    mean_s = sum(measured.seconds) / len(measured.seconds)
    return f"{name}  {format_rate(measured.evaluations_per_hour)} evaluations an hour, {format_seconds(mean_s)} each"
