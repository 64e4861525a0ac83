"""Was every attempt charged for what it took? And what does it all add up to?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flopwise.engine.verify.difference import Difference, compare, read_json
from flopwise.engine.verify.run import Attempt, Run, Session, Trial
from flopwise.events import Alive, AttemptEnded, LateResult, Measured, PackingMeasured, PackingStarted
from flopwise.paths import RunFolder
from flopwise.registry import load
from flopwise.study import full_config
from flopwise.trial import Fidelity

EXACT_ENOUGH = 1e-9
"""Relative tolerance for prices: the order of multiplications is not part of the promise."""

ENDINGS = ("cpu_s", "peak_rss_bytes", "contention", "switches")
"""What the keeper's end stamp says beyond the time."""

PACKING = "packing"
"""Measured ways of cutting the machine belong to no trial; this is what stands for their phase."""


def check_charges(run: Run, folder: RunFolder) -> Iterator[Difference]:
    """Device time and price of each attempt, and the keeper's stamps of it."""
    stamps = read_stamps(folder.stamps)
    rows = _last_steps(run)
    for trial, attempt, end, record in run.ended():
        where, study = record.where, run.study_at(record.number)
        device_s = end.ended_at - end.started_at
        price = study["execution"]["price_per_hour"] / 3600 * device_s / _slots(run, attempt)
        yield from compare(where, device_s, end.device_s, "device_s", EXACT_ENOUGH)
        yield from compare(where, price, end.price, "price", EXACT_ENOUGH)
        yield from compare(
            where, trained(trial, end, rows.get(end.attempt, 0)), end.train_flops, "train_flops", EXACT_ENOUGH
        )
        yield from _stamped(where, end, stamps.get(end.attempt, {}))
    yield from _late(run)
    yield from _waves(run)


def _last_steps(run: Run) -> dict[str, int]:
    """The last optimizer step that each attempt's curve shows."""
    found: dict[str, int] = {}
    for record in run.records:
        if isinstance(record.event, Measured) and record.event.rows:
            step = record.event.rows[-1]["step"]
            found[record.event.attempt] = step if type(step) is int else 0
    return found


def trained(trial: Trial, end: AttemptEnded, shown: int) -> float | None:
    """Steps that it reported, or that its curve shows, times the closed form; else all that was asked for."""
    spec, config = load("workloads", trial.study["workload"]), full_config(trial.study, trial.event.config)
    one = spec.flops(config, Fidelity("steps", 1.0))
    if one is None:
        whole: float | None = spec.flops(config, Fidelity.from_json(trial.event.stop))
        return whole if end.ended_at > end.started_at else 0.0
    said = end.info.get("steps")
    return float(one * max(0, shown, said if type(said) is int else 0))


def _late(run: Run) -> Iterator[Difference]:
    """A late result costs what its price says; how long it took only the keeper knew."""
    for record in run.records:
        event = record.event
        attempt = run.attempt(event.attempt)[1] if isinstance(event, LateResult) else None
        if attempt is not None and isinstance(event, LateResult):
            rate = run.study_at(record.number)["execution"]["price_per_hour"] / 3600 / _slots(run, attempt)
            yield from compare(record.where, rate * event.device_s, event.price, "price", EXACT_ENOUGH)
            for name in ("device_s", "train_flops"):
                if (getattr(event, name) or 0.0) < 0:
                    yield Difference(record.where, name, "at least 0", repr(getattr(event, name)))


def _waves(run: Run) -> Iterator[Difference]:
    """A wave costs the seconds of its evaluations, each on its share of the machine."""
    for record, wave in run.waves:
        rate = run.study_at(record.number)["execution"]["price_per_hour"] / 3600
        device_s = math.fsum(wave.seconds)
        yield from compare(record.where, device_s, wave.device_s, "device_s", EXACT_ENOUGH)
        yield from compare(record.where, rate * device_s / wave.slots, wave.price, "price", EXACT_ENOUGH)


def _slots(run: Run, attempt: Attempt) -> int:
    opened = [s.opened for s in run.sessions if s.opened.session == attempt.intent.session]
    return len(opened[0].slots) if opened else 1


def read_stamps(path: Path) -> dict[str, dict[str, Mapping[str, Any]]]:
    """The keeper's ``start`` and ``end`` stamps by attempt; lines cut short are left out."""
    stamps: dict[str, dict[str, Mapping[str, Any]]] = {}
    for line in path.read_bytes().split(b"\n") if path.is_file() else ():
        stamp = read_json(line)
        if stamp.get("event") in ("start", "end") and isinstance(stamp.get("attempt"), str):
            stamps.setdefault(stamp["attempt"], {})[stamp["event"]] = stamp
    return stamps


def _stamped(where: str, end: AttemptEnded, stamps: Mapping[str, Mapping[str, Any]]) -> Iterator[Difference]:
    """The keeper's times. An attempt whose keeper died may have a start that nobody heard of."""
    unheard = end.interrupted and "end" not in stamps
    if "start" in stamps and not unheard:
        yield from compare(where, stamps["start"].get("at"), end.started_at, "started_at (keeper.jsonl)")
    if "end" in stamps:
        yield from compare(where, stamps["end"].get("at"), end.ended_at, "ended_at (keeper.jsonl)")
        for name in ENDINGS:
            if name in stamps["end"]:
                yield from compare(where, stamps["end"][name], getattr(end, name), f"{name} (keeper.jsonl)")


def spend(run: Run) -> dict[str, Any]:
    """What the run cost, as the report says it; sums in journal order."""
    total: dict[str, Any] = {"evaluations": 0, "device_s": 0.0, "price": 0.0, "train_flops": None}
    phases: dict[str, dict[str, Any]] = {}
    for phase, counts, charged in _charged(run):
        for account in (total, phases.setdefault(phase, {**dict.fromkeys(total, 0), "train_flops": None})):
            account["evaluations"] += counts
            account["device_s"] += charged.device_s
            account["price"] += charged.price
            flops = getattr(charged, "train_flops", None)
            if flops is not None:
                account["train_flops"] = (account["train_flops"] or 0.0) + flops
    seconds = [session_s(run, session) for session in run.sessions]
    machine = sum(_rate(run, session) * s for session, s in zip(run.sessions, seconds, strict=True))
    idle = max(0.0, machine - total["price"])
    return {
        "evaluations": total["evaluations"],
        "device_s": total["device_s"],
        "train_flops": total["train_flops"],
        "attempts_price": total["price"],
        "idle_price": idle,
        "total_price": total["price"] + idle,
        "session_s": sum(seconds),
        "by_phase": phases,
    }


def _charged(run: Run) -> Iterator[tuple[str, bool, AttemptEnded | LateResult | PackingMeasured]]:
    """Phase, whether it is another evaluation, and the charge: everything that costs, in journal order."""
    evaluated = set()
    for record in run.records:
        event = record.event
        if isinstance(event, PackingMeasured):
            yield PACKING, False, event
        if not isinstance(event, AttemptEnded | LateResult):
            continue
        trial, attempt = run.attempt(event.attempt)
        if trial is None or attempt is None:
            continue
        seed = (attempt.id.trial, attempt.id.seed_index)
        counts = isinstance(event, AttemptEnded) and not event.interrupted and seed not in evaluated
        evaluated |= {seed} if counts else set()
        yield trial.event.phase, counts, event


def session_s(run: Run, session: Session) -> float:
    """Seconds of a session: to its closing, while it is open to its last sign of life."""
    if session.closed is not None:
        return session.closed.t - session.opened.t
    signs = [session.opened.t]
    for record in run.records:
        signs_of_life = Alive | LateResult | PackingStarted | PackingMeasured
        if record.number > session.first.number and isinstance(record.event, signs_of_life):
            signs.append(record.event.t)
    signs += [end.ended_at for _, a, end, _ in run.ended() if a.intent.session == session.opened.session]
    return max(signs) - session.opened.t


def _rate(run: Run, session: Session) -> float:
    """Money a second: the price in force when the session ended, or now."""
    until = session.last.number if session.last else run.records[-1].number
    return float(run.study_at(until)["execution"]["price_per_hour"] / 3600.0)
