"""Picking up a run whose coordinator died: close its session, and settle every attempt it left open.

An attempt left open has either finished (its ``summary.json`` is complete: its result is adopted, not
run again) or not (it is charged for the time it ran and run again as the next attempt, unless too many were lost
before it). Times come from the keeper's stamps, which outlive the coordinator; where a stamp is missing, from the last
sign of life plus one heartbeat. A way of cutting the machine that was being measured is charged until then, too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flopwise.budget.ledger import charge
from flopwise.engine.flops import trained
from flopwise.engine.loop import HEARTBEAT_S
from flopwise.engine.measuring import validated
from flopwise.engine.packing import evaluation_names
from flopwise.engine.wave import INTERRUPTED
from flopwise.events import (
    Alive,
    AttemptEnded,
    Event,
    LateResult,
    Measured,
    PackingMeasured,
    PackingStarted,
    SessionLost,
    SessionOpened,
)
from flopwise.executors.stamps import read_stamps
from flopwise.journal.replay import AttemptState, RunState, SessionState
from flopwise.paths import RunFolder
from flopwise.registry import load
from flopwise.study import full_config
from flopwise.trial import Outcome

FINISHED = frozenset({Outcome.OK, Outcome.NAN, Outcome.OOM, Outcome.ERROR, Outcome.PRUNED})
"""Outcomes a worker reports of its own accord; anything else means it was cut off."""


@dataclass
class Stamps:
    """What the keepers of a run wrote down, by attempt.

    Args:
        starts: Stamp before the fork, monotonic seconds.
        ends: The whole end record.
        gone: When keepers saw their coordinator disappear, monotonic seconds.
    """

    starts: dict[str, float] = field(default_factory=dict)
    ends: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    gone: list[float] = field(default_factory=list)


def fold_stamps(records: Iterable[Mapping[str, Any]]) -> Stamps:
    """The keepers' stamps, in order, as a fold."""
    stamps = Stamps()
    for record in records:
        match record["event"]:
            case "coordinator_gone":
                stamps.gone.append(float(record["at"]))
            case "start":
                stamps.starts[record["attempt"]] = float(record["at"])
            case "end":
                stamps.ends[record["attempt"]] = record
    return stamps


def recover(folder: RunFolder, state: RunState, events: Sequence[Event]) -> list[Event]:
    """Events that settle what the last session left open; empty after a session that closed in order.

    Args:
        folder: The run folder; every process of the lost session is gone already.
        state: The run as replayed.
        events: What it was replayed from.
    """
    if not state.sessions or state.sessions[-1].closed is not None:
        return []
    session = state.sessions[-1]
    stamps = fold_stamps(read_stamps(folder.stamps, boot_id=session.opened.boot_id))
    wave = state.packing_started
    names = evaluation_names(events, wave) if wave is not None else []
    running = [str(attempt.id) for attempt in state.running()]
    lost = _lost(session, [*running, *names], stamps, events)
    price_per_hour = state.study["execution"]["price_per_hour"]
    settled: list[Event] = []
    for attempt in sorted(state.running(), key=lambda attempt: attempt.id):
        settled += [*_unheard(folder, attempt, state), _settle(folder, attempt, state, stamps, lost.t)]
    if wave is not None:
        settled.append(_unmeasured(wave, names, stamps, lost.t, price_per_hour))
    return [*settled, lost]


def last_sign(events: Iterable[Event]) -> float:
    """Latest monotonic time that the last session journaled, in seconds."""
    latest = 0.0
    for event in events:
        if isinstance(event, SessionOpened):
            latest = event.t
        elif isinstance(event, Alive | LateResult | PackingStarted | PackingMeasured):
            latest = max(latest, event.t)
        elif isinstance(event, AttemptEnded):
            latest = max(latest, event.ended_at)
    return latest


def _lost(session: SessionState, names: Sequence[str], stamps: Stamps, events: Sequence[Event]) -> SessionLost:
    """Until when the lost session is charged: when its keeper saw it go, else one heartbeat after its last sign.

    Its attempts outlive it by the moment it takes to end them; that moment is the session's too.
    """
    ends = [float(stamps.ends[name]["at"]) for name in names if name in stamps.ends]
    starts = [stamps.starts[name] for name in names if name in stamps.starts]
    sign = max([last_sign(events), *starts])
    gone = min((at for at in stamps.gone if at >= session.opened.t), default=None)
    if gone is not None:
        return SessionLost(session.opened.session, max([gone, sign, *ends]), "keeper")
    return SessionLost(session.opened.session, max([sign + HEARTBEAT_S, *ends]), "journal")


def _unheard(folder: RunFolder, attempt: AttemptState, state: RunState) -> list[Event]:
    """Validations of a finished attempt that the journal lacks: seconds to a target are read from them."""
    metric, name = validated(state.study), str(attempt.id)
    summary = _summary(folder.summary(name), name) if metric else None
    if summary is None or summary["outcome"] not in FINISHED:
        return []
    heard = attempt.rows[-1]["elapsed_s"] if attempt.rows else -1.0
    rows = [row for row in summary.get("curve", ()) if metric in row["values"] and row["elapsed_s"] > heard]
    return [Measured(name, rows)] if rows else []


def _settle(folder: RunFolder, attempt: AttemptState, state: RunState, stamps: Stamps, lost_s: float) -> AttemptEnded:
    name = str(attempt.id)
    end = stamps.ends.get(name, {})
    started_at = stamps.starts.get(name, lost_s)
    ended_at = float(end.get("at", max(lost_s, started_at)))
    device_s, price = charge(
        ended_at - started_at,
        slots=len(state.sessions[-1].opened.slots),
        price_per_hour=state.study["execution"]["price_per_hour"],
    )
    ending = _ending(folder, attempt, state)
    return AttemptEnded(
        attempt=name,
        **ending,
        started_at=started_at,
        ended_at=ended_at,
        device_s=device_s,
        price=price,
        cpu_s=end.get("cpu_s"),
        peak_rss_bytes=end.get("peak_rss_bytes"),
        contention=end.get("contention"),
        switches=end.get("switches"),
        stamp="keeper" if "at" in end else "heartbeat",
        train_flops=_trained(attempt, state, ending["info"], began=ended_at > started_at),
    )


def _trained(attempt: AttemptState, state: RunState, info: Mapping[str, Any], *, began: bool) -> float | None:
    trial = state.trials[attempt.id.trial].trial
    spec, config = load("workloads", state.study["workload"]), full_config(state.study, trial.config)
    return trained(spec, config, trial.fidelity, info=info, rows=attempt.rows, began=began)


def _ending(folder: RunFolder, attempt: AttemptState, state: RunState) -> dict[str, Any]:
    """What it reported of its own accord; else that it was lost, and whether it is run again."""
    summary = _summary(folder.summary(str(attempt.id)), str(attempt.id))
    if summary is not None and summary["outcome"] in FINISHED:
        values = {"metrics": dict(summary["metrics"]), "info": dict(summary["info"])}
        return {**values, "outcome": summary["outcome"], "cause": summary["cause"]}
    given_up = state.trials[attempt.id.trial].lost_too_often(attempt, "coordinator")
    cause = "the coordinator ended while it ran" + (", not for the first time" if given_up else "")
    return {
        "outcome": Outcome.KILLED,
        "metrics": {},
        "info": {},
        "cause": cause,
        "interrupted": not given_up,
        "lost": "coordinator",
    }


def _unmeasured(
    started: PackingStarted, names: Sequence[str], stamps: Stamps, lost_s: float, price_per_hour: float
) -> PackingMeasured:
    """A wave that was cut off: its evaluations are charged by their stamps, and it is run again."""
    begun = {name: stamps.starts[name] for name in names if name in stamps.starts}
    ends = {name: float(stamps.ends.get(name, {}).get("at", max(lost_s, at))) for name, at in begun.items()}
    seconds = [ends[name] - at for name, at in begun.items()]
    device_s, price = charge(math.fsum(seconds), slots=started.slots, price_per_hour=price_per_hour)
    cause = f"{INTERRUPTED}: the coordinator ended while it was measured"
    return PackingMeasured(started.slots, started.threads, seconds, 0.0, None, cause, device_s, price, lost_s)


def _summary(path: Path, attempt: str) -> dict[str, Any] | None:
    """A complete summary of this very attempt, or None. It is written under another name and renamed."""
    try:
        summary = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    known = isinstance(summary, dict) and summary.get("attempt") == attempt
    return summary if known and {"outcome", "metrics", "info", "cause"} <= set(summary) else None
