"""Attempts in the coordinator's own process, one after the other: for debuggers, and for other systems than Linux."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from flopwise.errors import ExecutorError
from flopwise.executors.environment import thread_pools
from flopwise.executors.executor import NoOptions, Traits
from flopwise.executors.relay import relay
from flopwise.registry import resolve
from flopwise.wire import Ended, Frames, Hello, Job, Message, Ready, Reported, Slot, Started, decode

ENTRY = "flopwise.worker.entry:main"


class InlineExecutor:
    """Runs each job to its end inside :meth:`poll`; breakpoints work.

    What it cannot do: there is one slot; no core is pinned, no memory limited, no accelerator hidden; a
    time-out is not enforced, which the attempt says in its facts; a job that crashes the interpreter takes
    the study with it. A signal that wakes the coordinator makes ``context.should_stop()`` true at once.

    Args:
        slots: The first one gives the number of threads; the others stay unused.
    """

    Options: ClassVar[type[NoOptions]] = NoOptions
    traits = Traits(shares_terminal=True)

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = (replace(slots[0], cores=(), memory_bytes=None, accelerators=()),)
        self._hello: Hello | None = None
        self._waiting: list[Job] = []
        self._said: list[Message] = []

    @classmethod
    def from_study(
        cls, execution: Mapping[str, Any], cut: Callable[[], Sequence[Slot]], leases: Sequence[int] = ()
    ) -> InlineExecutor:
        """See :class:`~flopwise.executors.executor.Executor`."""
        return cls(cut())

    @property
    def slots(self) -> tuple[Slot, ...]:
        return self._slots

    def open(self, hello: Hello) -> Ready:
        """See :meth:`~flopwise.executors.executor.Executor.open`."""
        self.close()
        self._hello = hello
        return Ready(os.getpid(), 0.0)

    def start(self, job: Job) -> None:
        """See :meth:`~flopwise.executors.executor.Executor.start`."""
        if self._hello is None:
            raise ExecutorError("the executor is not open", fix="call open() first")
        self._waiting.append(job)

    def stop(self, attempt: str, reason: str, grace_s: float) -> None:
        """A job that waits is dropped; one that runs cannot be stopped from here."""
        dropped = [job for job in self._waiting if job.attempt == attempt]
        self._waiting = [job for job in self._waiting if job.attempt != attempt]
        now = time.monotonic()
        self._said += [Ended(job.attempt, now, now, None, None, "stopped") for job in dropped]

    def poll(self, timeout_s: float, wake: int | None = None) -> list[Message]:
        """See :meth:`~flopwise.executors.executor.Executor.poll`; takes as long as a job takes."""
        if self._waiting and not self._said:
            self._said += self._run(self._waiting.pop(0), wake)
        if not self._said:
            _wait(wake, timeout_s)
        said, self._said = self._said, []
        return said

    def close(self) -> None:
        """See :meth:`~flopwise.executors.executor.Executor.close`."""
        self._hello = None
        self._waiting.clear()
        self._said.clear()

    def _run(self, job: Job, wake: int | None) -> Iterator[Message]:
        assert self._hello is not None
        started_at, cpu_s = time.monotonic(), time.process_time()
        yield Started(job.attempt, os.getpid(), started_at)
        with tempfile.TemporaryFile() as wire, standing_in(job):
            code = resolve(ENTRY)(job, wire.fileno(), self._hello.objective, lambda: _wait(wake, 0.0))
            wire.seek(0)
            yield from _heard(job, wire.read())
        yield Ended(
            attempt=job.attempt,
            started_at=started_at,
            ended_at=time.monotonic(),
            exit_code=code,
            signal=None,
            reason="exit",
            cpu_s=time.process_time() - cpu_s,
            peak_rss_bytes=_peak_rss_bytes(),
        )


def _heard(job: Job, data: bytes) -> Iterator[Message]:
    """The same checks as a keeper's, and a word about time-outs."""
    for message in Frames().feed(data):
        checked = decode(relay(message, job.attempt)[4:])
        limits = [limit for limit in (job.timeout_s, job.progress_s) if limit is not None]
        if isinstance(checked, Reported) and limits:
            note = f"executor inline does not enforce time-outs (of {' and '.join(f'{limit:g} s' for limit in limits)})"
            checked = replace(checked, info={**checked.info, "warning": note})
        yield checked


@contextlib.contextmanager
def standing_in(job: Job) -> Iterator[None]:
    """In the attempt's folder, with its environment, and back; Ctrl-C is the study's again, too (pdb takes it).

    Args:
        job: Its folder exists.
    """
    folder, before, interrupt = Path.cwd(), dict(os.environ), signal.getsignal(signal.SIGINT)
    os.chdir(job.folder)
    os.environ.update(thread_pools(job.slot.threads))
    try:
        yield
    finally:
        os.chdir(folder)
        if signal.getsignal(signal.SIGINT) is not interrupt:
            signal.signal(signal.SIGINT, interrupt)
        if os.environ != before:
            os.environ.clear()
            os.environ.update(before)


def _wait(wake: int | None, timeout_s: float) -> bool:
    """Whether ``wake`` is or becomes readable within ``timeout_s`` seconds."""
    waiting = select.poll()
    if wake is not None:
        waiting.register(wake, select.POLLIN)
    return bool(waiting.poll(timeout_s * 1000))


def _peak_rss_bytes() -> int:
    """Of this process so far; the unit differs between systems."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
