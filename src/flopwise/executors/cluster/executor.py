"""Attempts on a Ray cluster: the coordinator's side, which knows of Ray only what the bridge says."""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import flopwise
from flopwise.errors import ExecutorError
from flopwise.executors.cluster import options
from flopwise.executors.cluster.messages import Connect, Note, SeatDown, SeatUp, Surveyed
from flopwise.executors.cluster.probe import digest
from flopwise.executors.cluster.seats import Wish, slots_of
from flopwise.executors.executor import Traits
from flopwise.executors.local import LocalExecutor
from flopwise.wire import (
    Ended,
    Frames,
    Hello,
    Job,
    KeeperLost,
    Message,
    Progress,
    Ready,
    Shutdown,
    Slot,
    StopAttempt,
    WireError,
    encode,
)

READ_BYTES = 1 << 20
ANSWER_S = 9.0
"""How long a new program, and an address that answers, may take."""

LOAD_S = 60.0
"""How long Ray may take to be imported."""

CONNECT_S = 8.0
"""How long a cluster may take to let a driver in."""

SURVEY_S = 90.0
"""How long its nodes may take to say what they have."""

OPEN_S = 120.0
"""How long hosts on nodes that are there may take; for room on the cluster nobody waits here."""

CLOSE_S = 20.0
WARNING = "a Ray cluster runs whatever whoever reaches it sends: keep its ports from everybody else (docs/ray.md)"


class RayExecutor:
    """Runs attempts through a bridge (:mod:`flopwise.executors.cluster.bridge`).

    Args:
        wish: Slots and what they take.
        given: ``execution.options`` of the study.
        wait_s: Longest wait for room on the cluster, in seconds; None for ever.

    Raises:
        ExecutorError: If the cluster does not answer, or has nothing to run on.
    """

    Options = options.Options
    traits = Traits(heeds=("memory", "accelerators", "exclusive", "wait"))

    def __init__(self, wish: Wish, given: options.Options, wait_s: float | None = None) -> None:
        self._wish = wish
        self._options = given
        self._wait_s = wait_s
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._frames = Frames()
        self._heard: list[Message] = []
        self._preparer: LocalExecutor | None = None
        self._hello: Hello | None = None
        self._found = self._survey()
        self._slots = slots_of(wish, self._found.seats)
        self.traits = replace(self.traits, down=self._all, facts={"cluster": {"cpus": list(self._found.cpus)}})

    @classmethod
    def from_study(
        cls, execution: Mapping[str, Any], cut: Callable[[], Sequence[Slot]] = tuple, leases: Sequence[int] = ()
    ) -> RayExecutor:
        """See :class:`~flopwise.executors.executor.Executor`; its slots are on other machines."""
        given = options.Options(**execution.get("options", {}))
        memory = execution.get("memory")
        wish = Wish(
            slots=execution["slots"],
            threads=execution["threads"],
            memory_bytes=None if memory is None else int(memory),
            accelerators=execution.get("accelerators") or 0,
            exclusive=bool(execution.get("exclusive")),
            resources=given.resources,
            per_node=given.slots_per_node,
        )
        return cls(wish, given, execution.get("wait"))

    @property
    def slots(self) -> tuple[Slot, ...]:
        return self._slots

    def open(self, hello: Hello) -> Ready:
        """See :meth:`~flopwise.executors.executor.Executor.open`."""
        if self._hello is not None:
            self.close()
        if self._socket is None:
            self._found = self._survey(self._found.seats)
        self._hello = hello
        self.traits = replace(self.traits, down=self._all)
        self._send(hello)
        ready = self._await(Ready, OPEN_S, "the cluster's nodes")
        assert isinstance(ready, Ready)
        return Ready(ready.pid, ready.seconds, (WARNING, *self._found.notes, *ready.problems))

    def start(self, job: Job) -> None:
        """See :meth:`~flopwise.executors.executor.Executor.start`. Data is prepared beside the coordinator."""
        if self._hello is None or self._socket is None:
            raise ExecutorError("the executor is not open", fix="call open() first, and again after KeeperLost")
        if job.kind == "prepare":
            self._preparer = LocalExecutor((job.slot,))
            self._preparer.open(self._hello)
            self._preparer.start(job)
        else:
            self._send(job)

    def stop(self, attempt: str, reason: str, grace_s: float) -> None:
        """See :meth:`~flopwise.executors.executor.Executor.stop`."""
        if self._preparer is not None:
            self._preparer.stop(attempt, reason, grace_s)
        elif self._socket is not None:
            self._send(StopAttempt(attempt, reason, grace_s))

    def poll(self, timeout_s: float, wake: int | None = None) -> list[Message]:
        """See :meth:`~flopwise.executors.executor.Executor.poll`."""
        if self._preparer is not None:
            messages = self._preparer.poll(timeout_s, wake)
            if any(isinstance(message, Ended | KeeperLost) for message in messages):
                self._end_preparer()
            return messages
        if not self._heard:
            self._listen(timeout_s, wake)
        heard, self._heard = self._heard, []
        return [passed for message in heard for passed in self._passed_on(message)]

    def close(self) -> None:
        """See :meth:`~flopwise.executors.executor.Executor.close`."""
        self._end_preparer()
        self._hello = None
        if self._socket is not None:
            self._send(Shutdown())
            self._socket.settimeout(CLOSE_S)
            with contextlib.suppress(OSError):
                while self._socket.recv(READ_BYTES):
                    pass
        self._end_bridge()

    # The bridge

    def _survey(self, seats: tuple[int, ...] = ()) -> Surveyed:
        """Start a bridge, and have it look at the cluster; ``seats`` are those of a session that goes on."""
        self._launch()
        address = self._options.address
        connect = Connect(
            asdict(self._wish), self._options.model_dump(), self._wait_s, flopwise.__version__, _digest(), seats
        )
        self._send(connect)
        self._await(Note, ANSWER_S, f"the Ray cluster at {address}")
        self._await(Note, LOAD_S, "the package ray, which is being imported,")
        self._await(Note, CONNECT_S, f"the Ray cluster at {address}")
        found = self._await(Surveyed, SURVEY_S, "the nodes of the cluster")
        assert isinstance(found, Surveyed)
        return found

    def _launch(self) -> None:
        ours, theirs = socket.socketpair()
        self._frames, self._heard = Frames(), []
        self._log.truncate(0)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "flopwise.executors.cluster.bridge", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            theirs.close()
        self._socket = ours

    def _await(self, kind: type[Message], limit_s: float, what: str) -> Message:
        """The next message of a kind.

        Raises:
            ExecutorError: If the bridge says why there is none, ends, or takes too long.
        """
        end = time.monotonic() + limit_s
        while (left_s := end - time.monotonic()) > 0:
            if not self._heard:
                self._listen(left_s, None)
            while self._heard:
                message = self._heard.pop(0)
                if isinstance(message, KeeperLost):
                    raise ExecutorError(f"the connection to the cluster ended: {message.detail}", fix=self._advice())
                if isinstance(message, kind) and not getattr(message, "problem", ""):
                    return message
                self._passed_on(message)
        self._end_bridge(at_once=True)
        raise ExecutorError(f"no answer from {what} in {limit_s:g} s", fix=self._advice())

    def _advice(self) -> str:
        return "see whether it runs (`ray status`) and can be reached from here, or start one: `ray start --head`"

    def _send(self, message: Message) -> None:
        assert self._socket is not None
        try:
            frame = encode(message)
        except WireError as error:
            raise ExecutorError(f"{type(message).__name__} cannot be sent: {error}") from error
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(frame)

    def _listen(self, timeout_s: float, wake: int | None) -> None:
        waiting = select.poll()
        for fd in (self._socket, wake):
            if fd is not None:
                waiting.register(fd, select.POLLIN)
        ready = {fd for fd, _ in waiting.poll(timeout_s * 1000)}
        if self._socket is None or self._socket.fileno() not in ready:
            return
        problem = ""
        try:
            data = self._socket.recv(READ_BYTES)
            for message in self._frames.feed(data):
                self._heard.append(message)
        except (ConnectionResetError, WireError) as error:
            data, problem = b"", str(error)
        if not data:
            at = time.monotonic()
            status = self._end_bridge()
            words = self._last_words()
            detail = problem or f"the cluster's head, or this machine's part of it, is gone (bridge: status {status})"
            self._heard.append(KeeperLost(f"{detail}: {words}" if words else detail, at))

    def _passed_on(self, message: Message) -> list[Message]:
        """What the engine hears of a message."""
        match message:
            case SeatUp():
                self.traits = replace(self.traits, down=self.traits.down - self._of(message.seat))
                return []
            case SeatDown():
                gone = self._of(message.seat) if message.node else frozenset()
                self.traits = replace(self.traits, down=self.traits.down | gone)
                where = f"node {message.node}" if message.node else "node"
                return [KeeperLost(f"{where}: {message.detail}", message.at, message.attempts)]
            case Note():
                return [Progress("", message.text)]
            case Surveyed():
                self._end_bridge()
                raise ExecutorError(message.problem, fix=message.fix or None)
            case KeeperLost():
                self.traits = replace(self.traits, down=self._all)
        return [message]

    @property
    def _all(self) -> frozenset[int]:
        return frozenset(slot.index for slot in self._slots)

    def _of(self, seat: int) -> frozenset[int]:
        return frozenset(slot.index for slot in self._slots if slot.host == seat)

    def _end_preparer(self) -> None:
        if self._preparer is not None:
            self._preparer.close()
            self._preparer = None

    def _last_words(self) -> str:
        """The last line that the bridge printed, for example of a traceback."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")

    def _end_bridge(self, *, at_once: bool = False) -> int | None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is None:
            return None
        if at_once:
            self._process.kill()
        try:
            status = self._process.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._process = None
        return status


def _digest() -> str:
    return digest(Path(flopwise.__file__).parent)
