"""Does the journal say of every attempt what the attempt itself wrote into its ``summary.json``?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flopwise.engine.verify.difference import MISSING, Difference, compare, read_json, show
from flopwise.engine.verify.run import Attempt, Run, Trial
from flopwise.events import AttemptEnded, Measured
from flopwise.paths import RunFolder

WHOLE_CURVE = 10_000
"""Longer curves are thinned by the worker, so a journaled row need not be among those kept."""


def check_summaries(run: Run, folder: RunFolder) -> Iterator[Difference]:
    """Results of attempts that ended ok, and learning curves of all that left a summary."""
    summaries: dict[str, dict[str, Any]] = {}
    for trial, attempt, end, record in run.ended():
        path = folder.summary(end.attempt)
        summary = read_json(path.read_bytes()) if path.is_file() else {}
        if path.is_file() and end.outcome == "ok":
            yield from _result(record.where, summary, trial, attempt, end)
            yield from _conditions(record.where, summary, run, trial, attempt)
        summaries[end.attempt] = summary
    yield from _curves(run, summaries)


def _result(
    where: str, summary: Mapping[str, Any], trial: Trial, attempt: Attempt, end: AttemptEnded
) -> Iterator[Difference]:
    recorded = {
        "attempt": end.attempt,
        "seed": attempt.intent.seed,
        "outcome": end.outcome,
        "metrics": end.metrics,
        "info": end.info,
    }
    yield from compare(where, {key: summary.get(key) for key in recorded}, recorded, "summary.json")
    config = summary.get("config")
    if isinstance(config, dict):
        used = {key: config.get(key, _dotted(config, key)) for key in trial.event.config}
        yield from compare(where, used, trial.event.config, "summary.json config")


def _conditions(
    where: str, summary: Mapping[str, Any], run: Run, trial: Trial, attempt: Attempt
) -> Iterator[Difference]:
    """What it was given: stop, data, and the cores and threads of its slot. Older summaries may lack some.

    Which cores a slot on a node of a cluster has is the node's business.
    """
    given = {"stop": trial.event.stop, "data": run.data, **_slot(run, attempt)}
    known = {key: given[key] for key in ("stop", "data", "cores", "threads") if key in summary and key in given}
    yield from compare(where, {key: summary[key] for key in known}, known, "summary.json")


def _slot(run: Run, attempt: Attempt) -> Mapping[str, Any]:
    slots = [s.opened.slots for s in run.sessions if s.opened.session == attempt.intent.session]
    found = next((slot for slot in (slots[0] if slots else ()) if slot.get("index") == attempt.intent.slot), {})
    return {key: value for key, value in found.items() if key != "cores" or "host" not in found}


def _dotted(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = config.get(part) if isinstance(config, dict) else None
    return config


def _curves(run: Run, summaries: Mapping[str, Mapping[str, Any]]) -> Iterator[Difference]:
    """Every journaled row is one of the attempt's own; without them, time at least does not go back."""
    latest: dict[str, float] = {}
    for record in run.records:
        event = record.event
        if isinstance(event, Measured):
            curve = summaries.get(event.attempt, {}).get("curve")
            for index, row in enumerate(event.rows):
                if isinstance(curve, list) and len(curve) <= WHOLE_CURVE:
                    yield from _row(record.where, curve, row, f"rows[{index}]")
                if row["elapsed_s"] < latest.get(event.attempt, 0.0):
                    expected = f"at least {latest[event.attempt]!r}"
                    yield Difference(record.where, f"rows[{index}].elapsed_s", expected, show(row["elapsed_s"]))
                latest[event.attempt] = row["elapsed_s"]


def _row(where: str, curve: Sequence[Any], row: Mapping[str, Any], what: str) -> Iterator[Difference]:
    there = [own for own in curve if isinstance(own, dict) and own.get("step") == row.get("step")]
    if not there:
        yield Difference(where, f"{what}.step", "a step of the attempt's own curve", show(row.get("step", MISSING)))
    elif row not in there:
        yield from compare(where, there[0], row, what)
