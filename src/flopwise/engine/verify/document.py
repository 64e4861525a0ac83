"""``report.json`` written again from the journal by other code, and compared leaf by leaf.

A report is allowed to be older than the journal (the run went on, or was killed, after it was written):
then it has to be exactly what the journal said at some earlier moment.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from flopwise.engine.verify.censoring import expected_timed
from flopwise.engine.verify.charges import spend
from flopwise.engine.verify.comparison import CLOSE, pooled_sd
from flopwise.engine.verify.difference import Difference, compare
from flopwise.engine.verify.offer import expected_offer
from flopwise.engine.verify.packing import expected_packing
from flopwise.engine.verify.parts import NEVER, middle
from flopwise.engine.verify.questions import expected_questions
from flopwise.engine.verify.run import Attempt, Run, Session, Trial, fold
from flopwise.engine.verify.stragglers import expected_stragglers
from flopwise.events import AttemptEnded, AttemptStarted, SessionClosed, SlotQuarantined
from flopwise.study import full_config

FORMAT = 1

REPORT = "report.json"

ENDED_WELL = ("ok", "pruned")

STATISTICS = ("questions", "timed")
"""Parts whose numbers two correct formulas may give differently in the last digits."""

EXCLUDED = "excluded by the user"

CONTENDED = 0.1
"""Larger shares of its slot's time that others took mark an attempt."""


def check_report(run: Run, text: bytes) -> Iterator[Difference]:
    """Every leaf of a report.

    Args:
        run: The whole run.
        text: The file's content, read no later than the journal.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        yield Difference(REPORT, "content", "JSON", str(error))
        return
    differences = list(_differences(run, found))
    if differences and not _was_true(run, found):
        yield from differences


def _differences(run: Run, found: Any) -> Iterator[Difference]:
    """What does not hold in a report: statistics to their last digits but a few, everything else exactly."""
    expected = expected_report(run)
    statistics = {key: expected.pop(key) for key in STATISTICS}
    given = found if isinstance(found, dict) else {}
    yield from compare(REPORT, expected, {key: value for key, value in given.items() if key not in STATISTICS})
    yield from compare(REPORT, statistics, {key: given[key] for key in STATISTICS if key in given}, "", CLOSE)


def _was_true(run: Run, found: Any) -> bool:
    """Whether the report is what the journal said at an earlier moment."""
    attempts = _attempts(found)
    started = 0
    for count, record in enumerate(run.records, start=1):
        started += isinstance(record.event, AttemptStarted)
        if started == attempts and not any(_differences(fold(run.records[:count])[0], found)):
            return True
    return False


def _attempts(found: Any) -> int | None:
    """Attempts started by the time of a report: narrows down which moment it can be of."""
    try:
        return sum(int(trial["attempts"]) for trial in found["trials"])
    except (KeyError, TypeError, ValueError):
        return None


def expected_report(run: Run) -> dict[str, Any]:
    """The whole report of a run."""
    created, study = run.created, run.study
    assert created is not None
    last = run.sessions[-1] if run.sessions else None
    return {
        "format": FORMAT,
        "name": created.name,
        "run_id": created.run_id,
        "created": created.created,
        **_standing(run, last),
        "study_hash": run.studies[-1][2],
        "workload": study["workload"],
        "after": study.get("after"),
        "objective": study["objective"],
        "tier": run.tier[1].tier if run.tier else None,
        "limits": study["limits"],
        "data": run.data,
        "seed": study["search"]["seed"],
        "command": last.opened.command if last else "",
        "machine": last.opened.machine if last else {},
        "slots": last.opened.slots if last else [],
        "versions": created.versions,
        **_judged(run),
        "best_so_far": _best_so_far(run),
        "spend": spend(run),
        "slot_use": _slot_use(run, last),
        "contention": _contention(run),
        "stragglers": expected_stragglers(run),
        "failures": _failures(run),
        "warnings": _warnings(run),
        "policies": [
            {"policy": each.policy, "action": each.action, "cause": each.cause, "evidence": each.evidence}
            for each in run.raised
        ],
        "amended": [change for each in run.amended for change in each.changes],
        "larger_tier": expected_offer(run),
        "questions": expected_questions(run),
        "timed": expected_timed(run),
        "packing": expected_packing(run),
        "calibration": _calibration(run.trials.get(0)),
        "plan": run.tier[1].plan if run.tier else None,
        "trials": [_row(trial, study) for _, trial in sorted(run.trials.items())],
    }


def _standing(run: Run, last: Session | None) -> dict[str, Any]:
    phases = sorted((record.number, phase) for phase, (record, _) in run.phases.items())
    phase = phases[-1][1] if phases else None
    if last is not None and isinstance(last.closed, SessionClosed):
        return {"state": last.closed.reason, "detail": last.closed.detail, "phase": phase}
    state = "planned" if last is None else "running" if last.closed is None else "interrupted"
    return {"state": state, "detail": "", "phase": phase}


def _judged(run: Run) -> dict[str, Any]:
    """Verdict, baseline and winner: after a verdict on the fresh seeds of the deciding phase."""
    calibrated = run.trials.get(0)
    looks = [{"look": look.look, "decision": look.decision, "numbers": look.numbers} for _, look in run.looks]
    if run.verdict is None:
        return {"verdict": None, "baseline": _values(calibrated, run.study), "winner": None, "looks": looks}
    event = run.verdict[1]
    winner = _fresh(run, event.winner) if event.winner is not None else None
    return {
        "verdict": {
            "verdict": event.verdict,
            "reasons": event.reasons,
            "numbers": event.numbers,
            "triggers": event.triggers,
            "more": event.more,
        },
        "baseline": _fresh(run, 0) or _values(calibrated, run.study),
        "looks": looks,
        "winner": None if winner is None else {**winner, "of": event.winner},
    }


def _fresh(run: Run, of: int) -> dict[str, Any] | None:
    """Whose config a trial confirms, on the seeds of all trials that do."""
    trials = [trial for trial in run.by_phase("decide") if trial.event.of == of]
    if not trials:
        return None
    values = [value for trial in trials for value in trial.values()]
    sign = -1.0 if run.study["objective"]["direction"] == "maximize" else 1.0
    losses = [sign * float(value) for value in values if value is not None]
    mean = sign * (sum(losses) / len(losses)) if len(losses) == len(values) else None
    if "target" in run.study["objective"]:
        known = [loss for trial in trials for loss in trial.losses() if loss is not None]
        mean = middle(known) if len(known) == len(values) else None
        mean = None if mean is None or mean >= NEVER else mean
    numbers = [trial.event.number for trial in trials]
    return {**(_values(trials[0], run.study) or {}), "trials": numbers, "values": values, "mean": mean}


def _values(trial: Trial | None, study: Mapping[str, Any]) -> dict[str, Any] | None:
    if trial is None:
        return None
    event = trial.event
    return {"number": event.number, **_config(trial, study), "values": trial.values(), "mean": trial.value()}


def _config(trial: Trial, study: Mapping[str, Any]) -> dict[str, Any]:
    """What was searched, and what of the trial's whole config the study computes from it."""
    config, names = trial.event.config, study.get("derived", {})
    whole = dict(leaves(full_config(study, config))) if names else {}
    return {"config": config, "derived": {key: whole[key] for key in names}}


def leaves(nested: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of everything in a nested config."""
    for name, value in nested.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _best_so_far(run: Run) -> list[dict[str, Any]]:
    """Improvements in the order of finishing, each with the device time of all ends up to there."""
    rows: list[dict[str, Any]] = []
    full = "recheck" if run.study.get("proxy") else "search"
    finished = {at: trial for at, trial in run.finished if trial.event.phase in ("calibrate", full)}
    best: float | None = None
    spent = 0.0
    for _, _, end, record in run.ended():
        spent += end.device_s
        trial = finished.get(record.number)
        loss = trial.loss() if trial else None
        value = trial.value() if trial else None
        if trial is not None and loss is not None and value is not None and (best is None or loss < best):
            best = loss
            number = trial.event.number if trial.event.of is None else trial.event.of
            rows.append({"trial": number, "spent_device_s": spent, "value": value})
    return rows


def _contended(attempt: Attempt) -> bool:
    return attempt.end is not None and attempt.end.contention is not None and attempt.end.contention > CONTENDED


def _contention(run: Run) -> dict[str, Any]:
    attempts = [attempt for trial in run.trials.values() for attempt in trial.attempts if attempt.end is not None]
    known = sum(attempt.end is not None and attempt.end.contention is not None for attempt in attempts)
    return {"contended": sum(map(_contended, attempts)), "known": known, "above": CONTENDED}


def _slot_use(run: Run, last: Session | None) -> list[dict[str, Any]]:
    """Every slot of the last session with what its attempts used of it; in the order of trials."""
    rows = []
    for slot in last.opened.slots if last else ():
        assert last is not None
        there = [a for _, trial in sorted(run.trials.items()) for a in trial.attempts if a.intent.slot == slot["index"]]
        there = [a for a in there if a.intent.session == last.opened.session]
        ends = [a.end for a in there if a.end is not None]
        running = [str(a.id) for a in there if a.end is None]
        rows.append(
            {
                "slot": slot["index"],
                "attempts": len(ends),
                "failed": sum(not end.interrupted and end.outcome not in ENDED_WELL for end in ends),
                "seconds": sum(end.ended_at - end.started_at for end in ends),
                **_used(ends, slot["threads"]),
                "running": running[0] if running else None,
                "quarantined": _quarantined(run, last, slot["index"]),
            }
        )
    return rows


def _used(ends: list[AttemptEnded], threads: int) -> dict[str, float | None]:
    """Figures over the attempts of which they are known, weighed by time."""
    cpu = [(end.cpu_s, end) for end in ends if end.cpu_s is not None]
    switches = [(sum(end.switches), end) for end in ends if end.switches is not None]
    others = [(end.contention * (end.ended_at - end.started_at), end) for end in ends if end.contention is not None]
    found = {}
    for name, amounts, each in (("load", cpu, threads), ("switches_per_s", switches, 1), ("contention", others, 1)):
        seconds = sum(end.ended_at - end.started_at for _, end in amounts)
        found[name] = sum(amount for amount, _ in amounts) / (each * seconds) if seconds else None
    return found


def _quarantined(run: Run, last: Session, slot: int) -> str | None:
    if slot in last.excluded:
        return EXCLUDED
    number = last.quarantined.get(slot)
    causes = [r.event.cause for r in run.records if r.number == number and isinstance(r.event, SlotQuarantined)]
    return causes[0] if causes else None


def _failures(run: Run) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for end in _ends_by_trial(run):
        if not end.interrupted and end.outcome not in ENDED_WELL:
            row = {"outcome": end.outcome, "count": 0, "example_cause": end.cause, "attempt": end.attempt}
            rows.setdefault(end.outcome, row)["count"] += 1
    return sorted(rows.values(), key=lambda row: (-row["count"], row["outcome"]))


def _warnings(run: Run) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for end in _ends_by_trial(run):
        flags = end.info.get("flags")
        for flag in map(str, flags) if isinstance(flags, list) else ():
            rows.setdefault(flag, {"flag": flag, "count": 0, "attempt": end.attempt})["count"] += 1
    return list(rows.values())


def _ends_by_trial(run: Run) -> Iterator[Any]:
    for _, trial in sorted(run.trials.items()):
        yield from (attempt.end for attempt in trial.attempts if attempt.end is not None)


def _calibration(trial: Trial | None) -> Mapping[str, Any] | None:
    if trial is None:
        return None
    seconds = [None if end is None else end.ended_at - end.started_at for end in trial.ends]
    values = trial.values()
    return {"seconds": seconds, "values": values, "noise_sd": pooled_sd([v for v in values if v is not None])}


def _row(trial: Trial, study: Mapping[str, Any]) -> dict[str, Any]:
    event = trial.event
    return {
        "number": event.number,
        "phase": event.phase,
        "of": event.of,
        **_config(trial, study),
        "values": trial.values(),
        "value": trial.value(),
        "outcome": _outcome(trial),
        "seconds": sum(attempt.device_s for attempt in trial.attempts),
        "train_flops": _flops(trial),
        "attempts": len(trial.attempts),
        "contended": sum(_contended(attempt) for attempt in trial.attempts),
    }


def _flops(trial: Trial) -> float | None:
    known = [sum(attempt.train_flops) for attempt in trial.attempts if attempt.train_flops]
    return sum(known) if known else None


def _outcome(trial: Trial) -> str:
    if not trial.finished:
        return "running" if any(attempt.end is None for attempt in trial.attempts) else "waiting"
    return next((end.outcome for end in trial.ends if end is not None and end.outcome != "ok"), "ok")
