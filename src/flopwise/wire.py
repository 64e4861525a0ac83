"""Messages across the process boundary, and their framing.

    coordinator  ──Job, StopAttempt, Shutdown──►  keeper  ──fork──►  worker
    coordinator  ◄──Ready, Started, Measurement, Progress, Reported, Ended──  keeper  ◄──  worker

A frame is a 4-byte big-endian length and that many bytes of JSON; at most ``MAX_FRAME`` bytes. No
pickle crosses this boundary, with one exception: ``Hello.objective`` carries a Python function, as
``import:module:qualname`` where the keeper can import it, else as ``pickle:`` and the base64 of its
cloudpickle, over a socket pair that only the coordinator and its own child hold, never a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal

MAX_FRAME = 4 * 1024 * 1024
"""Longest frame accepted, in bytes; a longer one ends the attempt that sent it."""

JobKind = Literal["prepare", "evaluate"]


class WireError(ValueError):
    """A frame that is too long, not JSON, or not a message."""


@dataclass(frozen=True)
class Slot:
    """A share of the machine for one attempt.

    Args:
        index: 0, 1, … within the study.
        cores: Core numbers the attempt is pinned to; empty where pinning is not possible.
        threads: Size of every thread pool inside the attempt.
        memory_bytes: Memory of the attempt's whole process tree; None for no limit.
        accelerators: Names of the accelerators the attempt sees, as ``CUDA_VISIBLE_DEVICES`` takes them.
        host: Which keeper's slot it is, where there are several: slots of one are lost together.
    """

    index: int
    cores: tuple[int, ...]
    threads: int
    memory_bytes: int | None = None
    accelerators: tuple[str, ...] = ()
    host: int | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Slot:
        """Inverse of ``dataclasses.asdict``; raises ``TypeError`` or ``KeyError`` on anything else."""
        tuples = {name: tuple(data[name]) for name in ("cores", "accelerators") if name in data}
        return cls(**{**data, **tuples})


@dataclass(frozen=True)
class Message:
    """Root of all messages. Subclasses register themselves by class name."""

    kinds: ClassVar[dict[str, type[Message]]] = {}

    def __init_subclass__(cls) -> None:
        Message.kinds[cls.__name__] = cls


@dataclass(frozen=True)
class Hello(Message):
    """First message to a keeper.

    Args:
        run_id: Marks every process of the run (environment variable ``FLOPWISE_RUN``).
        stamps: File the keeper appends its start and end stamps to, JSON lines.
        sys_path: ``sys.path`` for the keeper and its children.
        preload: Modules to import before the first fork.
        warm: ``module:function`` called once before the first fork, or None.
        pass_env: Names of environment variables that attempts may see beyond the allow-list.
        objective: ``import:module:qualname`` or ``pickle:<base64>`` of the study's function, or None.
        folder: Working directory of the coordinator; attempts start in their own folder.
    """

    run_id: str
    stamps: str
    sys_path: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()
    warm: str | None = None
    pass_env: tuple[str, ...] = ()
    objective: str | None = None
    folder: str = "."


@dataclass(frozen=True)
class Job(Message):
    """One attempt to run.

    Args:
        attempt: ``AttemptId`` as text, or ``prepare``.
        kind: ``prepare`` or ``evaluate``.
        workload: Registry name, for example ``language_model``.
        config: The workload's full config, nested, every default filled in.
        stop: ``Fidelity`` as JSON.
        seed: Seed of everything random inside the attempt.
        slot: Where it runs.
        folder: Absolute path of the attempt's own folder (exists, empty).
        data: Pin of the prepared data, empty when there is none.
        cache: Absolute path of the folder for prepared data.
        timeout_s: Wall seconds until it is ended; None for no limit.
        progress_s: Wall seconds without a measurement until it is ended; None for no limit.
        output_bytes: Most that is kept of its stdout, and of its stderr.
        grace_s: Seconds between SIGTERM and SIGKILL.
        metric: Name of the metric the study needs.
        started_in: Working directory of the coordinator.
        phase: What the trial is for; empty for ``prepare``.
        validate_every: Steps between validations; None for none but the last.
        count_validation: Whether their time counts as training.
        target: What the training runs to, as ``Target.to_json``; empty for nothing.
    """

    attempt: str
    kind: JobKind
    workload: str
    config: Mapping[str, Any]
    stop: Mapping[str, float]
    seed: int
    slot: Slot
    folder: str
    cache: str
    data: Mapping[str, Any] = field(default_factory=dict)
    timeout_s: float | None = None
    progress_s: float | None = None
    output_bytes: int = 16 * 1024 * 1024
    grace_s: float = 5.0
    metric: str = ""
    started_in: str = "."
    phase: str = ""
    validate_every: int | None = None
    count_validation: bool = False
    target: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StopAttempt(Message):
    """End an attempt: SIGTERM to its process group, SIGKILL to its whole tree after ``grace_s``."""

    attempt: str
    reason: str
    grace_s: float


@dataclass(frozen=True)
class Shutdown(Message):
    """End every attempt at once and leave."""


@dataclass(frozen=True)
class Ready(Message):
    """The keeper has preloaded and will fork. ``problems`` lists modules that did not import."""

    pid: int
    seconds: float
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Started(Message):
    """An attempt's process exists. ``at`` is monotonic seconds, stamped before the fork."""

    attempt: str
    pid: int
    at: float


@dataclass(frozen=True)
class Measurement(Message):
    """A row of a learning curve.

    Args:
        step: The workload's own counter; rows arrive in order.
        elapsed_s: Wall seconds since the attempt's work began.
        values: Name to number; non-finite numbers as the strings ``nan``, ``inf``, ``-inf``.
    """

    attempt: str
    step: int
    elapsed_s: float
    values: Mapping[str, float | str]


@dataclass(frozen=True)
class Progress(Message):
    """A line for the user while something long runs (preparing data)."""

    attempt: str
    text: str
    done: float = 0.0
    total: float = 0.0


@dataclass(frozen=True)
class Reported(Message):
    """The worker's result, sent after its ``summary.json`` is on disk."""

    attempt: str
    outcome: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    cause: str = ""


@dataclass(frozen=True)
class Ended(Message):
    """No process of the attempt lives any more.

    Args:
        started_at: Stamp before the fork, monotonic seconds.
        ended_at: Stamp after the last process was gone, monotonic seconds.
        exit_code: Exit status of the worker; None when a signal ended it.
        signal: Signal that ended the worker; None when it exited.
        reason: exit, timeout, silent (no measurement for ``Job.progress_s``), memory (more than
            ``Slot.memory_bytes``), stopped, or protocol (a broken frame).
        cpu_s: User + system seconds of worker and its waited-for children.
        peak_rss_bytes: Peak resident memory of the worker.
        contention: Share of the attempt's wall time, over the slot's cores, that other processes or the
            hypervisor took; None where the system does not say.
        switches: Voluntary and involuntary context switches of worker and its waited-for children.
        tail: Last lines of stdout and stderr, at most 4 KiB.
    """

    attempt: str
    started_at: float
    ended_at: float
    exit_code: int | None
    signal: int | None
    reason: str
    cpu_s: float | None = None
    peak_rss_bytes: int | None = None
    contention: float | None = None
    switches: tuple[int, int] | None = None
    tail: str = ""


@dataclass(frozen=True)
class KeeperLost(Message):
    """Made up by the executor when a keeper is gone: every attempt that ran there is dead.

    Args:
        detail: How it went.
        at: Monotonic seconds.
        attempts: Those that are dead; None for all, and then the executor has to be opened again.
    """

    detail: str
    at: float
    attempts: tuple[str, ...] | None = None


def encode(message: Message) -> bytes:
    """A message as one frame.

    Raises:
        WireError: If it is longer than ``MAX_FRAME`` or holds something JSON has no form for.
    """
    try:
        body = json.dumps({"message": type(message).__name__, **asdict(message)}, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise WireError(f"{type(message).__name__} is not JSON: {error}") from None
    if len(body) > MAX_FRAME:
        raise WireError(f"{type(message).__name__} of {len(body)} bytes, at most {MAX_FRAME}")
    return len(body).to_bytes(4, "big") + body


def decode(body: bytes) -> Message:
    """The message in a frame's body; the inverse of :func:`encode`.

    Raises:
        WireError: If it is not JSON, of no known kind, or has wrong fields.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not JSON: {error}") from None
    name = data.pop("message", None) if isinstance(data, dict) else None
    kind = Message.kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise WireError(f"not a message: {body[:80]!r}")
    if set(data) - {f.name for f in fields(kind)}:
        raise WireError(f"{kind.__name__} with unknown fields: {sorted(data)}")
    try:
        if "slot" in data:
            data["slot"] = Slot.from_json(data["slot"])
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in data.items()})
    except (TypeError, KeyError) as error:
        raise WireError(f"{kind.__name__}: {error}") from None


class Frames:
    """Cuts a byte stream into frames.

    Example:
        >>> frames = Frames()
        >>> list(frames.feed(encode(Shutdown())))
        [Shutdown()]
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Add bytes; yield every message that is now whole.

        Raises:
            WireError: On a frame that is too long or not a message.
        """
        self._buffer += data
        while len(self._buffer) >= 4:
            length = int.from_bytes(self._buffer[:4], "big")
            if length > MAX_FRAME:
                raise WireError(f"frame of {length} bytes, at most {MAX_FRAME}")
            if len(self._buffer) < 4 + length:
                return
            body = bytes(self._buffer[4 : 4 + length])
            del self._buffer[: 4 + length]
            yield decode(body)
