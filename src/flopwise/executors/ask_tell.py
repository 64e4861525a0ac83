"""Attempts in the hands of a loop of the user's own: ``ask`` gives one away, ``tell`` takes its result.

The engine runs in a thread and sees an executor like any other; the user's loop stands on the other
side. Everything both sides touch is guarded by one condition. Nothing here ever waits for something
that only the waiting thread could do: see :meth:`AskTellExecutor.ask`.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flopwise.errors import ExecutorError, InputError, WorkloadError
from flopwise.executors.asked import Asked, late_facts, never_began, refusal
from flopwise.executors.executor import Traits
from flopwise.executors.relay import relay
from flopwise.executors.stamps import Stamps
from flopwise.executors.topology import boot_id
from flopwise.trial import Outcome
from flopwise.wire import Ended, Hello, Job, Message, Ready, Reported, Slot, Started, WireError, decode

LOOK_AGAIN_S = 1.0
"""Waiting threads look this often whether those they wait for still live."""


class AskTellExecutor:
    """Gives jobs away and takes their results.

    What it cannot do: end an attempt that its loop does not end, and measure CPU time and memory.

    Args:
        slots: How many trials may be out at a time.
    """

    traits = Traits()

    def __init__(self, slots: int) -> None:
        self._slots = tuple(Slot(index, (), 1) for index in range(slots))
        self._changed = threading.Condition()
        self._folder: Path | None = None
        self._stamps: Stamps | None = None
        self._bell = self._ringer = -1
        self._waiting: deque[Job] = deque()
        self._out: dict[str, Asked] = {}
        self._deadlines: dict[str, float] = {}
        self._said: list[Message] = []
        self._asking: set[threading.Thread] = set()
        self._idle = False
        self._left = False
        self._over = False

    # The engine's side

    @property
    def slots(self) -> tuple[Slot, ...]:
        return self._slots

    def open(self, hello: Hello) -> Ready:
        """See :meth:`~flopwise.executors.executor.Executor.open`."""
        with self._changed:
            self.close()
            self._over = False
            path = Path(hello.stamps)
            self._folder, self._stamps = path.parent, Stamps(path)
            self._stamps.add("keeper", time.monotonic(), pid=os.getpid(), boot_id=boot_id())
            self._bell, self._ringer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        return Ready(os.getpid(), 0.0)

    def start(self, job: Job) -> None:
        """See :meth:`~flopwise.executors.executor.Executor.start`."""
        with self._changed:
            if self._stamps is None:
                raise ExecutorError("the executor is not open", fix="call open() first")
            if self._left:
                self._say(never_began(job))
            else:
                self._waiting.append(job)
            self._idle = False
            self._changed.notify_all()

    def stop(self, attempt: str, reason: str, grace_s: float) -> None:
        """A job that nobody asked for is dropped; a trial that is out has ``grace_s`` to be told."""
        with self._changed:
            for job in [job for job in self._waiting if job.attempt == attempt]:
                self._waiting.remove(job)
                self._say(never_began(job))
            if attempt in self._out:
                self._out[attempt].stopping = True
                self._deadlines[attempt] = time.monotonic() + grace_s

    def poll(self, timeout_s: float, wake: int | None = None) -> list[Message]:
        """See :meth:`~flopwise.executors.executor.Executor.poll`."""
        with self._changed:
            if not self._said:
                self._idle = True
                self._changed.notify_all()
        waiting = select.poll()
        for fd in (self._bell, wake):
            if fd is not None and fd >= 0:
                waiting.register(fd, select.POLLIN)
        waiting.poll(self._patience_s(timeout_s) * 1000)
        with self._changed:
            self._pass_deadlines()
            said, self._said = self._said, []
            with contextlib.suppress(BlockingIOError):
                os.read(self._bell, 4096) if self._bell >= 0 else b""
            return said

    def close(self) -> None:
        """See :meth:`~flopwise.executors.executor.Executor.close`. Trials that are out can no longer be told."""
        with self._changed:
            self._over = True
            for asked in self._out.values():
                asked.withdrawn = True
            for container in (self._waiting, self._out, self._deadlines, self._said):
                container.clear()
            if self._stamps is not None:
                for fd in (self._stamps.fileno(), self._bell, self._ringer):
                    os.close(fd)
            self._stamps, self._bell, self._ringer = None, -1, -1
            self._changed.notify_all()

    # The loop's side

    @property
    def folder(self) -> Path | None:
        """The run folder; None before the study has begun."""
        return self._folder

    @property
    def over(self) -> bool:
        """Whether nothing will be given away any more."""
        return self._over

    def ask(self, *, wait: bool = True) -> Asked | None:
        """The next trial.

        Args:
            wait: Where nothing may start until another trial is told: wait for the thread that has it.
                Else return None at once.

        Returns:
            None when the study is over.

        Raises:
            InputError: If waiting could never end, because every thread that has a trial waits here too.
        """
        with self._changed:
            while not self._waiting and not self._over:
                if self._out and self._idle:
                    if not wait:
                        return None
                    self._refuse_standstill()
                self._wait()
            return self._hand_out(self._waiting.popleft()) if self._waiting else None

    def tell(self, trial: object, value: Any) -> None:
        """The result of a trial, a mapping or the metric alone; returns when it is in the journal.

        Raises:
            InputError: If the trial is not one that is out, or the metric is missing or no number.
        """
        self._settle(trial, lambda asked: asked.side.told(value))

    def fail(self, trial: object, cause: str | BaseException) -> None:
        """A trial that gave nothing, and why; returns when it is in the journal.

        Raises:
            InputError: If the trial is not one that is out.
        """
        self._settle(trial, lambda asked: asked.side.failed(cause))

    def leave(self, stop: Callable[[], None]) -> None:
        """The loop gives up: what is out is ended, and nothing more is given away.

        Args:
            stop: Tells the engine; it hears of both at once, so it tries nothing again.
        """
        with self._changed:
            stop()
            self._left = True
            while self._waiting:
                self._say(never_began(self._waiting.popleft()))
            for asked in list(self._out.values()):
                self._end(asked, "stopped")
            self._changed.notify_all()

    def _hand_out(self, job: Job) -> Asked:
        asked = Asked(job, lambda message: self._hear(job, message))
        assert self._stamps is not None
        self._stamps.add("start", asked.started_at, attempt=job.attempt, pid=os.getpid())
        self._out[job.attempt] = asked
        self._say(Started(job.attempt, os.getpid(), asked.started_at))
        return asked

    def _settle(self, trial: object, how: Callable[[Asked], Reported]) -> None:
        with self._changed:
            asked = self._expect(trial)
            if asked.withdrawn:
                return
            asked.side.context.note(**late_facts(asked))
            try:
                reported = _checked(asked.job, how(asked))
            except (WorkloadError, WireError) as error:
                raise refusal(asked, error) from None
            asked.told = True
            cut_short = asked.late and reported.outcome == Outcome.KILLED
            self._end(asked, "timeout" if cut_short else "exit", reported)
            while not (self._idle or self._over):
                self._changed.wait(LOOK_AGAIN_S)

    def _expect(self, trial: object) -> Asked:
        """A trial that may be told.

        Raises:
            InputError: Else, and why.
        """
        if not isinstance(trial, Asked):
            raise InputError(
                "this is no trial", expected="tell(trial, …) with what ask() returned", got=type(trial).__name__
            )
        if trial.told:
            raise InputError(
                f"trial {trial.number} has been told already", where=trial.attempt, fix="tell each trial once"
            )
        if self._left:
            raise InputError(
                f"trial {trial.number} can no longer be told: its study is not open any more",
                fix="run the script again: the trial is asked for once more",
            )
        if not trial.withdrawn and self._out.get(trial.attempt) is not trial:
            raise InputError(f"trial {trial.number} is of another study", fix="tell it to the study that was asked")
        return trial

    def _hear(self, job: Job, message: Message) -> None:
        with self._changed:
            if job.attempt in self._out:
                self._say(_checked(job, message), decides=False)

    def _end(self, asked: Asked, reason: str, reported: Reported | None = None) -> None:
        """Take a trial back; the stamp comes before the word, as a keeper's does."""
        assert self._stamps is not None
        now, name = time.monotonic(), asked.attempt
        code = None if reported is None else int(reported.outcome != Outcome.OK)
        self._stamps.add("end", now, attempt=name, pid=os.getpid(), exit_code=code, signal=None, reason=reason)
        del self._out[name]
        self._deadlines.pop(name, None)
        asked.withdrawn = reported is None
        if reported is not None:
            self._say(reported)
        self._say(Ended(name, asked.started_at, now, code, None, reason))

    def _say(self, message: Message, *, decides: bool = True) -> None:
        """Tell the engine; ``decides`` where new trials may follow from it."""
        self._said.append(message)
        self._idle = self._idle and not decides
        with contextlib.suppress(BlockingIOError):
            os.write(self._ringer, b"!")

    def _pass_deadlines(self) -> None:
        now = time.monotonic()
        for attempt in [name for name, deadline in self._deadlines.items() if deadline <= now]:
            self._end(self._out[attempt], "stopped")

    def _patience_s(self, timeout_s: float) -> float:
        with self._changed:
            left_s = [deadline - time.monotonic() for deadline in self._deadlines.values()]
        return max(0.0, min([timeout_s, *left_s]))

    def _wait(self) -> None:
        me = threading.current_thread()
        self._asking.add(me)
        try:
            self._changed.wait(LOOK_AGAIN_S)
        finally:
            self._asking.discard(me)

    def _refuse_standstill(self) -> None:
        """Raise where nobody is left who could tell what everybody waits for."""
        stuck = {*self._asking, threading.current_thread()}
        if all(asked.owner in stuck or not asked.owner.is_alive() for asked in self._out.values()):
            names = ", ".join(str(asked.number) for asked in self._out.values())
            raise InputError(
                "nothing more can be asked for until a trial that is out is told",
                expected=f"at most {len(self._slots)} at a time (slots={len(self._slots)}), fewer where the next one "
                "depends on their results",
                got=f"out: trial {names}",
                fix="tell one first; ask(wait=False) returns None instead of this error",
            )


def _checked(job: Job, message: Any) -> Any:
    """The same checks as a keeper's, and plain JSON values as after a pipe."""
    return decode(relay(message, job.attempt)[4:])
