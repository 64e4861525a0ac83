"""A trial in the hands of a loop of the user's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flopwise.errors import InputError
from flopwise.registry import resolve
from flopwise.trial import AttemptId, Fidelity
from flopwise.wire import Ended, Job, Message

ATTEMPT = "flopwise.worker.asked:AskedAttempt"


class Asked:
    """One evaluation for your own loop: a config and a seed, to be told back with ``tell``.

    Made by ``ask`` only.

    Attributes:
        number: Of the trial; with several seeds a trial is asked for once a seed.
        phase: What it is for: calibrate, search, choose or decide.
        config: What to train: the space's keys, what the study's base fixes, derived values. Dotted keys are nested.
        seed: For everything random in it. Confirmation rests on the seeds being different ones.
        fidelity: How much to train, from ``evaluation.stop``.
        attempt: Its name in reports, and of its folder.
        folder: Its own folder, for files of yours.
    """

    def __init__(self, job: Job, send: Callable[[Message], None]) -> None:
        self.number = AttemptId.parse(job.attempt).trial
        self.phase = job.phase
        self.config: dict[str, Any] = dict(job.config)
        self.seed = job.seed
        self.fidelity = Fidelity.from_json(job.stop)
        self.attempt = job.attempt
        self.folder = Path(job.folder)
        self.job = job
        self.owner = threading.current_thread()
        self.started_at = time.monotonic()
        self.told = False
        self.withdrawn = False
        self.stopping = False
        self.side: Any = resolve(ATTEMPT)(job, send, self._asked_to_stop)

    def __repr__(self) -> str:
        return f"Asked(number={self.number}, phase={self.phase!r}, config={self.config}, seed={self.seed})"

    def report(self, step: int, **values: float) -> None:
        """A row of the learning curve; cheap, may be called every step.

        Args:
            step: Your own counter.
            **values: Numbers, or arrays and tensors of one element.

        Raises:
            WorkloadError: If one is not a number.
            InputError: After ``tell``.
        """
        self._still_out("report")
        self.side.context.report(step, **values)

    def note(self, **facts: Any) -> None:
        """Facts for the report (JSON values), for example ``parameters=1_200_000``.

        Raises:
            WorkloadError: If one has no JSON form.
            InputError: After ``tell``.
        """
        self._still_out("note")
        self.side.context.note(**facts)

    def should_stop(self) -> bool:
        """True once the study wants this evaluation to end, or its time-out is over: tell what there is."""
        return bool(self.side.context.should_stop())

    @property
    def late(self) -> bool:
        """Whether its time-out is over."""
        limit_s = self.job.timeout_s
        return limit_s is not None and time.monotonic() - self.started_at > limit_s

    def _asked_to_stop(self) -> bool:
        return self.stopping or self.late

    def _still_out(self, verb: str) -> None:
        if self.told:
            raise InputError(
                f"trial {self.number} has been told already", where=self.attempt, fix=f"{verb} before you tell"
            )


def never_began(job: Job) -> Ended:
    """The end of a job that nobody asked for: it took no time."""
    now = time.monotonic()
    return Ended(job.attempt, now, now, None, None, "stopped")


def late_facts(asked: Asked) -> dict[str, str]:
    """Nobody ended it at its time-out: what it gave counts, and says so."""
    if not asked.late:
        return {}
    return {"warning": f"told after its time-out of {asked.job.timeout_s:g} s, which a loop of your own enforces"}


def refusal(asked: Asked, error: Exception) -> InputError:
    """What would end a worker's attempt as an error can still be put right in a loop."""
    return InputError(
        f"trial {asked.number}: {getattr(error, 'problem', None) or error}",
        expected=getattr(error, "expected", None),
        got=getattr(error, "got", None),
        fix='tell it again, or tell(trial, failed="why") where it gave nothing',
    )
