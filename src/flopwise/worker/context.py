"""What a running attempt can see and say."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flopwise.errors import WorkloadError
from flopwise.target import Target, points
from flopwise.trial import Fidelity
from flopwise.wire import Job, Measurement, Message, Progress
from flopwise.worker.curve import Curve
from flopwise.worker.objective import decode
from flopwise.worker.outlet import Sink
from flopwise.worker.values import describe, number, plain, wire_number

SEND_EVERY_S = 0.05
"""At most one row and one progress line in this time go over the wire, the last one always."""
MOST_KEPT = 10_000
"""So many validations of an attempt all go over the wire; later ones at most one in this time, too."""


class AttemptContext:
    """The ``Context`` that a workload's ``run`` and ``prepare`` are given.

    Args:
        job: What runs.
        outlet: The wire.
        objective: The study's function as ``Hello.objective`` carries it, or None.
        asked: Whether the study wants the attempt to end.

    Attributes:
        started_in: Working directory of the coordinator.
        metric: Name of the metric the study needs.
        facts: What was noted so far.
        told_to_stop: ``should_stop`` has said so.
        validations: Rows of the learning curve that have what the study validates, as they were sent.
        reached_target: One of them has reached the hardest target declared.
    """

    def __init__(self, job: Job, outlet: Sink, objective: str | None, asked: Callable[[], bool]) -> None:
        self.seed = job.seed
        self.fidelity = Fidelity.from_json(job.stop)
        self.folder = Path(job.folder)
        self.cache = Path(job.cache)
        self.started_in = Path(job.started_in)
        self.data: Mapping[str, Any] = job.data
        self.threads = job.slot.threads
        self.metric = job.metric
        self.validate_every = job.validate_every
        self.count_validation = job.count_validation
        self.target = Target.from_json(job.target) if job.target else None
        self.facts: dict[str, Any] = {}
        self.told_to_stop = False
        self.asked = asked
        self._attempt = job.attempt
        self._outlet = outlet
        self._objective = objective
        self._began = time.monotonic()
        self._curve = Curve()
        self._waiting: dict[type[Message], Message] = {}
        self._sent_at: dict[type[Message], float] = {}
        self._validates = self.target is not None or self.validate_every is not None
        self._queued: deque[Measurement] = deque()
        self.validations: list[dict[str, Any]] = []
        self.reached_target = False

    @property
    def objective(self) -> Callable[..., Any]:
        """The study's function.

        Raises:
            WorkloadError: If the study has none.
        """
        if self._objective is None:
            raise WorkloadError(
                "this study's function is not here",
                expected="a function in the hands of the program that runs the study",
                fix="run your script again: Study(...).run() goes on where it stopped",
            )
        return decode(self._objective)

    def report(self, step: int, **values: float) -> None:
        """A row of the learning curve; cheap, may be called every step.

        Args:
            step: The workload's own counter.
            **values: Numbers, or arrays and tensors of one element; non-finite ones are kept as text.

        Raises:
            WorkloadError: If one is not a number.
        """
        row = {name: wire_number(number(name, value)) for name, value in values.items()}
        at = number("step", step)
        if not isinstance(at, int):
            raise WorkloadError("step must be an int", got=describe(step))
        elapsed_s = time.monotonic() - self._began
        message = Measurement(self._attempt, at, elapsed_s, row)
        keep = self._validates and self.metric in row and self._may_keep()
        self._curve.add(at, elapsed_s, row, whole=keep)
        (self._keep if keep else self._throttle)(message)

    def progress(self, text: str, done: float = 0.0, total: float = 0.0) -> None:
        """A line for the user while something long runs."""
        self._throttle(Progress(self._attempt, str(text), number("done", done), number("total", total)))

    def note(self, **facts: Any) -> None:
        """Facts for summary and report (JSON values), for example ``tokens=…, flops=…``.

        Raises:
            WorkloadError: If one has no JSON form.
        """
        self.facts.update({name: plain(name, value) for name, value in facts.items()})

    def should_stop(self) -> bool:
        """True once the study asked this attempt to end, or it has reached its target; return soon after."""
        self.told_to_stop = self.told_to_stop or self.asked()
        return self.told_to_stop or self.reached_target

    def flush(self) -> None:
        """Send what was held back."""
        while self._queued:
            self._outlet.send(self._queued.popleft())
        for message in self._waiting.values():
            self._outlet.send(message)
        self._waiting.clear()

    def rows(self) -> list[dict[str, Any]]:
        """The learning curve so far."""
        return self._curve.rows()

    def _may_keep(self) -> bool:
        recently = time.monotonic() - self._sent_at.get(Measurement, -math.inf) < SEND_EVERY_S
        return len(self.validations) < MOST_KEPT or not recently

    def _keep(self, message: Measurement) -> None:
        """A validation is never dropped; while there is no room it waits, and whatever comes after it."""
        self._waiting.pop(Measurement, None)
        self._sent_at[Measurement] = time.monotonic()
        self.validations.append({"step": message.step, "elapsed_s": message.elapsed_s, "values": message.values})
        if self.target is not None and (found := points(self.validations[-1:], self.metric)):
            self.reached_target = self.reached_target or self.target.reached(found[0].value, self.target.hardest)
        self._queued.append(message)
        self._drain()

    def _drain(self) -> bool:
        """Send the validations that wait, as far as there is room; whether none waits any more."""
        while self._queued and self._outlet.has_room():
            self._outlet.send(self._queued.popleft())
        return not self._queued

    def _throttle(self, message: Message) -> None:
        """Send now, or keep it until there is a later one: training never waits for a slow coordinator."""
        kind, now = type(message), time.monotonic()
        early = now - self._sent_at.get(kind, -math.inf) < SEND_EVERY_S
        if early or not self._drain() or not self._outlet.has_room():
            self._waiting[kind] = message
            return
        self._waiting.pop(kind, None)
        self._sent_at[kind] = now
        self._outlet.send(message)
