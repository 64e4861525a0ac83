"""All runs of a folder, a line each: how they ended or where they are, what they found, what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flopwise.errors import FlopwiseError
from flopwise.journal.lock import holder
from flopwise.paths import RunFolder
from flopwise.report.grid import Column, Grid, gives, right
from flopwise.report.headline import Summary
from flopwise.report.read import read_run
from flopwise.report.summary import summarise
from flopwise.report.text import BLANK, clip, number
from flopwise.units import format_money, format_seconds

METRIC = 12
"""Characters of a metric's name."""

STATES = {"GO": "best", "NO-GO": "", "INCONCLUSIVE": "", "running": "baseline", "killed": "failed", "damaged": "failed"}
"""Mark of a row by its standing; others are quiet."""


@dataclass(frozen=True)
class Result:
    """One run in short.

    Args:
        run: Its folder's name.
        standing: The verdict; before there is one the state: planned, running, killed (its process is gone and it
            can be resumed), paused, interrupted, failed; damaged when its journal cannot be read.
        workload: Of the study.
        metric: Of the study.
        baseline: Its mean; on fresh seeds after a verdict. None while unknown.
        best: The winner's mean on fresh seeds; before a verdict, or without a winner, the best value of the search.
        confirmed: Whether ``best`` is from fresh seeds.
        evaluations: Seeds of trials that ended.
        device_s: Seconds on one slot.
        price: Everything the run cost.
        created: Wall time, ISO 8601.
        problem: Why it cannot be read; else empty.
    """

    run: str
    standing: str
    workload: str = ""
    metric: str = ""
    baseline: float | None = None
    best: float | None = None
    confirmed: bool = False
    evaluations: int = 0
    device_s: float = 0.0
    price: float = 0.0
    created: str = ""
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        return asdict(self)


def list_results(runs: Path) -> list[Result]:
    """Every run under a folder, newest first; one that cannot be read says why and hides nothing else.

    Args:
        runs: Need not exist.
    """
    found = [_result(RunFolder(journal.parent)) for journal in sorted(runs.glob("*/journal.log"))]
    return sorted(found, key=lambda result: result.created, reverse=True)


def _result(folder: RunFolder) -> Result:
    try:
        summary = summarise(read_run(folder))
        standing = _standing(summary, folder)
    except FlopwiseError as error:
        return Result(folder.name, "damaged", problem=error.problem)
    winner, best, baseline = summary["winner"], summary["best_so_far"], summary["baseline"]
    return Result(
        run=folder.name,
        standing=standing,
        workload=summary["workload"],
        metric=summary["objective"]["metric"],
        baseline=baseline["mean"] if baseline else None,
        best=winner["mean"] if winner else best[-1]["value"] if best else None,
        confirmed=winner is not None,
        evaluations=summary["spend"]["evaluations"],
        device_s=summary["spend"]["device_s"],
        price=summary["spend"]["total_price"],
        created=summary["created"],
    )


def _standing(summary: Summary, folder: RunFolder) -> str:
    if summary["verdict"]:
        return str(summary["verdict"]["verdict"])
    if summary["state"] == "running" and holder(folder.lock) is None:
        return "killed"
    return str(summary["state"])


def results_grid(results: Sequence[Result]) -> Grid:
    """A row a run; the price only where anything has one, unconfirmed values with a ``~``."""
    priced = any(result.price for result in results)
    titles = ["baseline", "best", "evals", "device time", *(["price"] if priced else [])]
    columns: list[str | Column] = [gives("run"), "verdict", "metric", *(right(title) for title in titles)]
    rows = [_row(result)[: len(columns)] for result in results]
    return Grid.of(columns, rows, [STATES.get(result.standing, "quiet") for result in results])


def _row(result: Result) -> tuple[str, ...]:
    best = BLANK if result.best is None else f"{'' if result.confirmed else '~'}{number(result.best)}"
    return (
        result.run,
        result.standing,
        clip(result.metric, METRIC),
        number(result.baseline),
        best,
        f"{result.evaluations:,}",
        format_seconds(result.device_s),
        format_money(result.price),
    )
