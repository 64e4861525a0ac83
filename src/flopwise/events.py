"""Typed, versioned events: everything that ever happened to a run, and nothing else is remembered.

Fields hold JSON values only. Times ``*_s`` ending in ``_at`` or named ``t`` are ``CLOCK_MONOTONIC``
seconds of the machine that wrote them and compare only within one boot (``SessionOpened.boot_id``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from flopwise.errors import JournalDamaged

FORMAT = 1
"""Journal format; raised when an event changes in a way that old readers would misread."""


@dataclass(frozen=True, slots=True)
class Event:
    """Root of all events. Subclasses register themselves by class name."""

    kinds: ClassVar[dict[str, type[Event]]] = {}

    def __init_subclass__(cls) -> None:
        Event.kinds[cls.__name__] = cls


@dataclass(frozen=True)
class RunCreated(Event):
    """First record of every journal.

    Args:
        format: Journal format.
        name: Run name (its folder).
        run_id: Random hex id; the environment marker of every process of this run.
        study: The whole study in canonical form; resume reads only this.
        study_hash: sha256 of the canonical form.
        calibration_key: sha256 of what a calibration depends on.
        source: The study file's path as given, or ``python``.
        versions: Package name to version.
        created: Wall time, ISO 8601.
    """

    format: int
    name: str
    run_id: str
    study: dict[str, Any]
    study_hash: str
    calibration_key: str
    source: str
    versions: dict[str, str]
    created: str


@dataclass(frozen=True)
class StudyRevised(Event):
    """Between plan and run the study file changed in ways that leave the calibration valid."""

    study: dict[str, Any]
    study_hash: str


@dataclass(frozen=True)
class SessionOpened(Event):
    """A coordinator took the run.

    Args:
        session: 1, 2, … within the run.
        machine: cores, memory_bytes, host, cpu, platform, python, versions.
        slots: One dict a slot: index, cores, threads.
        command: How to run the same again.
        t: Monotonic time of opening, in seconds.
        tier: Tier that this session was asked for; empty for the study's first.
    """

    session: int
    pid: int
    host: str
    boot_id: str
    wall: str
    machine: dict[str, Any]
    slots: list[dict[str, Any]]
    command: str
    t: float
    tier: str = ""


@dataclass(frozen=True)
class SessionClosed(Event):
    """A coordinator let the run go in good order.

    Args:
        reason: planned, finished, stopped, paused, interrupted or failed; packed when only the way of cutting the
            machine was measured, and another session goes on.
        detail: One line for people.
        t: Monotonic time of closing, in seconds.
    """

    session: int
    reason: str
    detail: str
    t: float


@dataclass(frozen=True)
class SessionLost(Event):
    """Written by the next coordinator for one that died: until when its time is charged.

    Args:
        t: Last moment of its life that anything recorded, in its own monotonic seconds.
        source: What recorded it: ``keeper``, ``journal``.
    """

    session: int
    t: float
    source: str


@dataclass(frozen=True)
class Alive(Event):
    """Heartbeat of the coordinator, so that a crash loses at most one interval of its time."""

    t: float


@dataclass(frozen=True)
class DataPrepared(Event):
    """The workload's data is on disk; evaluations may use this and nothing else.

    Args:
        pin: sha256 and sizes; equal at every resume.
        seconds: How long preparing took.
    """

    pin: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class TierChosen(Event):
    """From here the run may spend on the search.

    Args:
        tier: Name of the tier.
        plan: The plan that was shown, as printed numbers.
        anyway: The user wanted it although the plan said that its budget tells no candidates apart.
    """

    tier: str
    plan: dict[str, Any]
    anyway: bool = False


@dataclass(frozen=True)
class PhaseStarted(Event):
    """calibrate, search, choose, decide, or done.

    Args:
        phase: The phase that begins.
        detail: What was decided for it (``choose``: candidates; ``decide``: chosen trial, most seeds, and after how
            many of them to look).
    """

    phase: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrialProposed(Event):
    """A trial exists. ``visible`` is the number of search trials told to the searcher before."""

    number: int
    phase: str
    config: dict[str, Any]
    stop: dict[str, float]
    seeds: list[int]
    point: list[float] | None = None
    of: int | None = None
    visible: int = 0


@dataclass(frozen=True, slots=True)
class AttemptStarted(Event):
    """Intent: written and synced before the process is asked for.

    Args:
        attempt: ``AttemptId`` as text.
        limit_s: Time-out in seconds; None for none.
    """

    attempt: str
    seed: int
    slot: int
    limit_s: float | None
    session: int


@dataclass(frozen=True, slots=True)
class Measured(Event):
    """Rows of a learning curve: step, elapsed_s, values."""

    attempt: str
    rows: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class AttemptEnded(Event):
    """Terminal: the attempt's outcome, values and charge.

    Args:
        attempt: ``AttemptId`` as text.
        outcome: ``Outcome`` value.
        metrics: Final values, finite numbers only.
        info: Facts the worker reported (steps, tokens, flops, flags).
        started_at: Keeper's stamp of the fork, monotonic seconds.
        ended_at: Keeper's stamp of the end, monotonic seconds.
        cpu_s: User and system seconds of the whole process tree; None when unknown.
        peak_rss_bytes: Of the worker process; None when unknown.
        contention: Share of its slot's time that others took; None when unknown.
        switches: Voluntary and involuntary context switches; None when unknown.
        device_s: Device-seconds charged.
        price: Money charged.
        cause: One line; empty when ok.
        tail: Last lines of output of a failed attempt.
        interrupted: The study ended it (signal, crash), not the workload: it is run again.
        stamp: Where ended_at comes from: keeper, heartbeat.
        lost: With whom it was lost: ``keeper``, ``node`` (a keeper of several) or ``coordinator``; empty if not.
        train_flops: Training FLOPs charged: steps really taken times those of one step; None when unknown.
    """

    attempt: str
    outcome: str
    metrics: dict[str, float]
    info: dict[str, Any]
    started_at: float
    ended_at: float
    device_s: float
    price: float
    cpu_s: float | None = None
    peak_rss_bytes: int | None = None
    contention: float | None = None
    switches: list[int] | None = None
    cause: str = ""
    tail: str = ""
    interrupted: bool = False
    stamp: str = "keeper"
    lost: str = ""
    train_flops: float | None = None


@dataclass(frozen=True)
class LateResult(Event):
    """A result of an attempt that was given up before: noted and charged, never counted.

    Args:
        attempt: ``AttemptId`` as text; it has ended, and another attempt may have replaced it.
        outcome: What the late result says.
        metrics: Its values, finite numbers only.
        device_s: Device-seconds charged beyond what its end was charged with.
        price: Money charged beyond that.
        t: Monotonic time of its arrival, in seconds.
        train_flops: Training FLOPs charged beyond that; None when unknown.
    """

    attempt: str
    outcome: str
    metrics: dict[str, float]
    device_s: float
    price: float
    t: float
    train_flops: float | None = None


@dataclass(frozen=True)
class SlotQuarantined(Event):
    """Attempts keep failing on a slot while they succeed on others: nothing more is started there this session.

    Args:
        slot: Its index.
        session: Whose slot.
        cause: One sentence.
        evidence: Failed and successful attempts on this slot and on the others.
    """

    slot: int
    session: int
    cause: str
    evidence: dict[str, Any]


@dataclass(frozen=True)
class PackingStarted(Event):
    """Intent to measure the baseline at one way of cutting the machine.

    Args:
        slots: Evaluations at once.
        threads: Cores and threads of each.
        session: Whose machine.
        t: Monotonic time, in seconds.
    """

    slots: int
    threads: int
    session: int
    t: float


@dataclass(frozen=True)
class PackingMeasured(Event):
    """What one way of cutting the machine gave.

    Args:
        slots: Evaluations at once.
        threads: Cores and threads of each.
        seconds: Wall seconds of every evaluation that ended.
        evaluations_per_hour: Of all slots together; 0 when it failed or was cut short.
        peak_rss_bytes: Largest of one evaluation; None when unknown.
        cause: Why it does not count; empty when it does.
        device_s: Device-seconds charged.
        price: Money charged.
        t: Monotonic time of its end, in seconds.
    """

    slots: int
    threads: int
    seconds: list[float]
    evaluations_per_hour: float
    peak_rss_bytes: int | None
    cause: str
    device_s: float
    price: float
    t: float


@dataclass(frozen=True)
class PackingChosen(Event):
    """From here on the run uses this many slots of this many threads, on a machine like the one measured.

    Args:
        slots: Evaluations at once.
        threads: Cores and threads of each.
        cores: Cores of the machine it was measured on.
        reason: One sentence.
    """

    slots: int
    threads: int
    cores: int
    reason: str


@dataclass(frozen=True)
class PolicyRaised(Event):
    """A policy steers the study.

    Args:
        policy: Its name.
        action: ``pause``, ``stop`` (the study is settled), ``end_search`` (go on to confirmation),
            ``end_probing`` (go on to the plan) or ``note`` (go on).
        cause: One sentence.
        evidence: The numbers behind it.
    """

    policy: str
    action: str
    cause: str
    evidence: dict[str, Any]


@dataclass(frozen=True)
class PauseAccepted(Event):
    """The user resumed past a pause: the policy looks only at what comes after this."""

    policy: str


@dataclass(frozen=True)
class LookTaken(Event):
    """The deciding step was looked at, with the seeds that had ended by then.

    Args:
        look: From 1.
        decision: ``continue``, or the verdict that it ends in.
        numbers: What it saw (see ``stats.evidence``).
    """

    look: int
    decision: str
    numbers: dict[str, Any]


@dataclass(frozen=True)
class TargetChosen(Event):
    """From here on the run's trainings are compared by another of the targets that its study declares.

    Args:
        value: The target.
        reason: One sentence.
        counts: One ``{value, reached, of, spread}`` for every target that was looked at, in that order.
    """

    value: float
    reason: str
    counts: list[dict[str, Any]]


@dataclass(frozen=True)
class QuestionSettled(Event):
    """A staged search does not run the rest of a question: it could not change the answer.

    Args:
        question: Its name; None for the second stage.
        dropped: Rows of its grid that are left out of the contexts that have not been run.
        skipped: Configs that are not run.
        reason: One sentence.
        numbers: What it was decided by (see ``searchers.settled``).
    """

    question: str | None
    dropped: list[int]
    skipped: int
    reason: str
    numbers: dict[str, Any]


@dataclass(frozen=True)
class SlotExcluded(Event):
    """The user takes a slot out of the run: its cores and accelerators are not used again, in any session.

    Args:
        slot: Its index in the session before.
        session: That session's number.
        host: Whose cores they are.
        cores: Of the slot; empty where slots have none, and its index is meant.
        accelerators: Of the slot.
    """

    slot: int
    session: int
    host: str
    cores: list[int]
    accelerators: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Amended(Event):
    """The user changed limits or policies of a run.

    Args:
        changes: One dict a change: key (``limits.price``, ``policies.crash_rate``), before and after, as in the
            canonical study; the study is the one before with ``after`` in its place.
    """

    changes: list[dict[str, Any]]


@dataclass(frozen=True)
class VerdictReached(Event):
    """GO, NO-GO or INCONCLUSIVE.

    Args:
        verdict: One of the three.
        winner: Trial number of the confirmed or refused candidate; None when there was none.
        reasons: Sentences, most important first.
        numbers: mean_improvement, lower, upper, n, baseline_mean, winner_mean, … (see stats.evidence).
        triggers: What it rests on: name, holds, vetoes, evidence, numbers (see stats.triggers).
        more: What would settle an open one: seeds, evaluations, device_s, wall_s, price; empty when it is settled or
            out of reach.
    """

    verdict: str
    winner: int | None
    reasons: list[str]
    numbers: dict[str, Any]
    triggers: list[dict[str, Any]] = field(default_factory=list)
    more: dict[str, float] = field(default_factory=dict)


def to_json(event: Event) -> dict[str, Any]:
    """``{"event": name, …fields}``; the fields' values are the event's own, to be encoded and not changed."""
    return {"event": type(event).__name__, **field_values(event)}


def field_values(event: Event) -> dict[str, Any]:
    """Field to value, in the order of declaration."""
    return {name: getattr(event, name) for name in field_names(type(event))}


def field_names(kind: type[Event]) -> tuple[str, ...]:
    """The fields of a kind of event, in the order of declaration."""
    found = _NAMES.get(kind)
    if found is None:
        found = _NAMES[kind] = tuple(declared.name for declared in fields(kind))
    return found


_NAMES: dict[type[Event], tuple[str, ...]] = {}
"""Looked up once a kind, because every record is written and read by it."""


def from_json(data: Mapping[str, Any]) -> Event:
    """Inverse of :func:`to_json`. Unknown fields are refused, missing ones take their defaults.

    Raises:
        JournalDamaged: On an unknown event, an unknown field, or a missing one without default.
    """
    content = dict(data)
    name = content.pop("event", None)
    kind = Event.kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise JournalDamaged(f"unknown event {name!r}", fix="read this run with the flopwise version that wrote it")
    unknown = content.keys() - set(field_names(kind))
    if unknown:
        raise JournalDamaged(f"event {name} has unknown fields {sorted(unknown)}")
    try:
        return kind(**content)
    except TypeError as error:
        raise JournalDamaged(f"event {name} is incomplete: {error}") from None
