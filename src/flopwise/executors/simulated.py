"""Attempts on a virtual clock: nothing waits, and any number of slots runs in one process.

For testing searchers, policies, ledger and verdict at scale. The engine sees the messages of a real
executor, with stamps from :attr:`SimulatedExecutor.clock`, which jumps from one thing that happens to the
next. What happens is decided by :mod:`flopwise.executors.simulation`.
"""

from __future__ import annotations

import heapq
import itertools
import os
import select
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from flopwise.clock import SimulatedClock
from flopwise.errors import ExecutorError
from flopwise.executors import simulation
from flopwise.executors.executor import Traits
from flopwise.executors.inline import standing_in
from flopwise.executors.relay import relay
from flopwise.executors.simulation import KEEPER_LOST, Fate, fate_of, measured_value
from flopwise.registry import resolve
from flopwise.trial import Outcome
from flopwise.wire import Ended, Hello, Job, KeeperLost, Measurement, Message, Ready, Reported, Slot, Started, decode

EVALUATE = "flopwise.worker.simulated:evaluate_in_memory"
NOTE = "simulated: {what}, and all times are made up; nothing here is a measurement"
DEFAULT_SLOTS = 8
PEAK_RSS_BYTES = 256 * 1024 * 1024
"""What every simulated attempt is said to have used."""

MOST_ROWS = 200
"""Rows of a workload's learning curve that are passed on, evenly spaced."""

SIGKILL, SIGBUS = 9, 7

_Planned = tuple[float, int, str | None, tuple[Message, ...]]
"""When, in which order, of which attempt (None: said in any case), and what."""


class SimulatedExecutor:
    """Ends each attempt as its fate says, on a clock of its own.

    What it cannot do: isolate. A workload that is run (``values: workload``) runs in the coordinator's
    process, one after the other, without a summary on disk, and nobody ends one that hangs.

    Args:
        slots: Where attempts run; their cores are not used.
        options: Fates and values; None for the defaults.

    Attributes:
        clock: Virtual time: the session's clock, too.
    """

    Options: ClassVar[type[simulation.Options]] = simulation.Options
    traits = Traits()

    def __init__(self, slots: Sequence[Slot], options: simulation.Options | None = None) -> None:
        self._slots = tuple(slots)
        self._options = options or simulation.Options()
        self.clock = SimulatedClock()
        self.traits = Traits(
            durable=self._options.durability == "full",
            facts={"simulated": self._options.model_dump(mode="json")},
            clock=self.clock,
        )
        self._hello: Hello | None = None
        self._order = itertools.count()
        self._coming: list[_Planned] = []
        self._running: dict[str, float] = {}
        self._begun: list[Message] = []
        self._said: list[Message] = []
        self._late: list[tuple[float, tuple[Message, ...]]] = []

    @classmethod
    def from_study(
        cls, execution: Mapping[str, Any], cut: Callable[[], Sequence[Slot]], leases: Sequence[int] = ()
    ) -> SimulatedExecutor:
        """See :class:`~flopwise.executors.executor.Executor`; it has any number of slots on any machine."""
        count = execution["slots"] or DEFAULT_SLOTS
        slots = tuple(Slot(index, (), execution["threads"]) for index in range(count))
        return cls(slots, simulation.Options(**execution.get("options", {})))

    @property
    def slots(self) -> tuple[Slot, ...]:
        return self._slots

    def open(self, hello: Hello) -> Ready:
        """See :meth:`~flopwise.executors.executor.Executor.open`; late results of a lost keeper come in now.

        Only a workload that is run can write something: else attempts need no folders.
        """
        late = self._late
        self.close()
        self._hello = hello
        self.traits = replace(self.traits, folders=self._runs_workload)
        for at, messages in late:
            self._plan(at, None, *messages)
        what = "the workload is run in this process" if self._runs_workload else "values are made up"
        return Ready(os.getpid(), 0.0, (NOTE.format(what=what),))

    def start(self, job: Job) -> None:
        """See :meth:`~flopwise.executors.executor.Executor.start`."""
        if self._hello is None:
            raise ExecutorError("the executor is not open", fix="call open() first, and again after KeeperLost")
        began = self.clock.monotonic()
        self._running[job.attempt] = began
        self._begun.append(Started(job.attempt, os.getpid(), began))
        fate = fate_of(self._options, job.attempt, job.slot.index)
        if job.timeout_s is not None and fate.seconds > job.timeout_s:
            self._end(job, fate, job.timeout_s, reason="timeout", number=SIGKILL)
        elif fate.ends_as == KEEPER_LOST:
            self._plan(began + fate.seconds, job.attempt, KeeperLost("simulated", began + fate.seconds))
        elif fate.ends_as == Outcome.KILLED:
            self._end(job, fate, fate.seconds, number=SIGBUS if fate.broken else SIGKILL)
        else:
            self._go_through(job, fate)

    def stop(self, attempt: str, reason: str, grace_s: float) -> None:
        """See :meth:`~flopwise.executors.executor.Executor.stop`: everything here ends at once when asked."""
        began = self._running.pop(attempt, None)
        if began is not None:
            now = self.clock.monotonic()
            self._said.append(Ended(attempt, began, now, None, SIGKILL, "stopped", 0.0, PEAK_RSS_BYTES, 0.0))

    def poll(self, timeout_s: float, wake: int | None = None) -> list[Message]:
        """See :meth:`~flopwise.executors.executor.Executor.poll`.

        Never waits: virtual time jumps to what happens next, however far away that is. When nothing is
        going to happen, ``timeout_s`` passes.
        """
        if not self._said and not (wake is not None and _is_readable(wake)):
            self._pass_time(timeout_s)
        said = self._begun + self._said
        self._begun, self._said = [], []
        return said

    def close(self) -> None:
        """See :meth:`~flopwise.executors.executor.Executor.close`."""
        self._hello = None
        for container in (self._coming, self._running, self._begun, self._said):
            container.clear()
        self._late = []

    @property
    def _runs_workload(self) -> bool:
        assert self._hello is not None
        if self._options.values == "auto":
            return self._hello.objective is not None
        return self._options.values == "workload"

    def _go_through(self, job: Job, fate: Fate) -> None:
        """An attempt that gets to say how it ended."""
        assert self._hello is not None
        if fate.ends_as in (Outcome.OK, Outcome.TIMEOUT):
            rows, reported = self._evaluated(job, fate) if self._runs_workload else _made_up(self._options, job)
        else:
            rows, reported = [], _failed(job, fate.ends_as)
        every_s = fate.seconds / (len(rows) + 1)
        if job.progress_s is not None and every_s > job.progress_s:
            self._end(job, fate, job.progress_s, reason="silent", number=SIGKILL)
            return
        for number, row in enumerate(rows, 1):
            at = self._running[job.attempt] + number * every_s
            self._plan(at, job.attempt, replace(row, elapsed_s=number * every_s))
        self._end(job, fate, fate.seconds, reported)

    def _evaluated(self, job: Job, fate: Fate) -> tuple[list[Measurement], Reported]:
        """What the workload itself says, checked as a keeper checks it."""
        assert self._hello is not None
        with standing_in(job):
            curve, progress, reported = resolve(EVALUATE)(job, self._hello.objective, lambda: False)
        self._said += progress
        rows = [Measurement(job.attempt, row["step"], row["elapsed_s"], row["values"]) for row in _thinned(curve)]
        checked = decode(relay(reported, job.attempt)[4:])
        assert isinstance(checked, Reported)
        return rows, checked

    def _end(
        self,
        job: Job,
        fate: Fate,
        after_s: float,
        reported: Reported | None = None,
        *,
        reason: str = "exit",
        number: int | None = None,
    ) -> None:
        """Plan the last words of an attempt."""
        began = self._running[job.attempt]
        code = None if reported is None else int(reported.outcome != Outcome.OK)
        cpu_s = fate.cpu_s * min(1.0, after_s / fate.seconds) * job.slot.threads
        ended = Ended(
            attempt=job.attempt,
            started_at=began,
            ended_at=began + after_s,
            exit_code=code,
            signal=number,
            reason=reason,
            cpu_s=cpu_s,
            peak_rss_bytes=PEAK_RSS_BYTES,
            contention=fate.contention,
        )
        self._plan(began + after_s, job.attempt, *(() if reported is None else (reported,)), ended)

    def _plan(self, at: float, attempt: str | None, *messages: Message) -> None:
        """Say something later; ``attempt`` must still be running then, None: in any case."""
        heapq.heappush(self._coming, (at, next(self._order), attempt, messages))

    def _pass_time(self, timeout_s: float) -> None:
        if not self._coming:
            self.clock.advance(timeout_s)
            return
        until = self._coming[0][0] + self._options.round_s
        while self._coming and self._coming[0][0] <= until:
            at, _, attempt, messages = heapq.heappop(self._coming)
            if attempt is None or attempt in self._running:
                self.clock.reach(at)
                self._say(messages, attempt)

    def _say(self, messages: tuple[Message, ...], attempt: str | None) -> None:
        self._said += messages
        if isinstance(messages[-1], KeeperLost):
            self._lose_keeper()
        elif isinstance(messages[-1], Ended) and attempt is not None:
            del self._running[attempt]

    def _lose_keeper(self) -> None:
        """Everything that runs is gone, but for results that are on their way."""
        late = [(at, said) for at, _, attempt, said in sorted(self._coming, key=_when) if self._is_late(attempt, said)]
        said = self._begun + self._said
        self.close()
        self._said, self._late = said, late

    def _is_late(self, attempt: str | None, messages: tuple[Message, ...]) -> bool:
        there = attempt in self._running and any(isinstance(message, Reported) for message in messages)
        return there and fate_of(self._options, str(attempt), -1).late


def _when(planned: _Planned) -> tuple[float, int]:
    return planned[:2]


def _made_up(options: simulation.Options, job: Job) -> tuple[list[Measurement], Reported]:
    """A result from the surface, and a curve that falls to it."""
    if job.kind == "prepare":
        return [], Reported(job.attempt, Outcome.OK, info={"pin": {"simulated": True}})
    value = measured_value(options, job.config, job.seed)
    rows = [
        Measurement(job.attempt, step, 0.0, {job.metric: value + options.effect * (options.rows - step) / options.rows})
        for step in range(1, options.rows + 1)
    ]
    return rows, Reported(job.attempt, Outcome.OK, {job.metric: value})


def _failed(job: Job, outcome: str) -> Reported:
    causes = {Outcome.NAN: f"{job.metric} is nan", Outcome.OOM: "out of memory", Outcome.ERROR: "an error"}
    return Reported(job.attempt, Outcome(outcome), cause=f"simulated: {causes[Outcome(outcome)]}")


def _thinned(curve: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """At most ``MOST_ROWS``, evenly spaced, the first and the last among them."""
    last, most = len(curve) - 1, min(len(curve), MOST_ROWS)
    return (curve[round(index * last / (most - 1)) if most > 1 else last] for index in range(most))


def _is_readable(fd: int) -> bool:
    waiting = select.poll()
    waiting.register(fd, select.POLLIN)
    return bool(waiting.poll(0))
