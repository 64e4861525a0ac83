"""What an attempt leaves on disk: ``summary.json`` for programs and ``run.md`` for people."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import flopwise
from flopwise.trial import Result
from flopwise.wire import Job


def write(job: Job, result: Result, rows: Sequence[dict[str, Any]], wall_s: float) -> Result:
    """Write both files into the attempt's folder; what a program reads is whole or not there at all.

    Args:
        job: What ran.
        result: How it ended.
        rows: The learning curve.
        wall_s: Wall seconds from the worker's start.

    Returns:
        The result; where the files could not be written (a full disk) with the fact ``not_written``.
    """
    summary, page = compose(job, result, rows, wall_s)
    folder = Path(job.folder)
    try:
        beside = folder / "summary.json.part"
        _write(beside, summary, durable=True)
        beside.rename(folder / "summary.json")
        _write(folder / "run.md", page, durable=False)
    except OSError as error:
        with contextlib.suppress(OSError):  # stderr may lie on the same full disk
            print(f"summary not written: {error}", file=sys.stderr, flush=True)
        return replace(result, info={**result.info, "not_written": str(error)})
    return result


def compose(job: Job, result: Result, rows: Sequence[dict[str, Any]], wall_s: float) -> tuple[str, str]:
    """What goes into the two files; arguments as for :func:`write`."""
    content = _summary(job, result, rows, wall_s)
    return json.dumps(content, allow_nan=False), _page(content)


def _summary(job: Job, result: Result, rows: Sequence[dict[str, Any]], wall_s: float) -> dict[str, Any]:
    return {
        "attempt": job.attempt,
        "kind": job.kind,
        "workload": job.workload,
        "outcome": result.outcome.value,
        "cause": result.cause,
        "metrics": dict(result.metrics),
        "info": dict(result.info),
        "config": job.config,
        "seed": job.seed,
        "stop": job.stop,
        "data": job.data,
        "threads": job.slot.threads,
        "cores": job.slot.cores,
        "device": _device(),
        "versions": _versions(),
        "wall_s": wall_s,
        "curve": rows,
    }


def _write(path: Path, text: str, *, durable: bool) -> None:
    """Only what a program reads is synced: a page for people that a power cut took is no loss."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(text.encode())
        if durable:
            file.flush()
            os.fsync(fd)


def _versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0], "flopwise": flopwise.__version__}
    for name in ("numpy", "torch"):
        if name in sys.modules:
            found[name] = str(getattr(sys.modules[name], "__version__", "unknown"))
    return found


def _device() -> str:
    """The accelerator if one was used, else ``cpu``."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return str(cuda.get_device_name()) if cuda is not None and cuda.is_initialized() else "cpu"


def _page(summary: dict[str, Any]) -> str:
    cause = f": {summary['cause']}" if summary["cause"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
    sections = [
        f"# {summary['attempt']}: {summary['outcome']}{cause}",
        f"{summary['workload']}, seed {summary['seed']}, stop {json.dumps(summary['stop'])}, "
        f"{summary['wall_s']:.3f} s on {summary['device']}, {summary['threads']} threads; {versions}",
        _table("Metrics", summary["metrics"]),
        _table("Facts", summary["info"]),
        _table("Config", dict(_flat(summary["config"]))),
        _curve(summary["curve"]),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _table(title: str, values: dict[str, Any]) -> str:
    if not values:
        return ""
    lines = [f"| {key} | {json.dumps(value)} |" for key, value in values.items()]
    return "\n".join([f"## {title}", "", "| | |", "|---|---|", *lines])


def _flat(config: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Dotted keys, as in a study file."""
    pairs: list[tuple[str, Any]] = []
    for key, value in config.items():
        pairs += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return pairs


def _curve(rows: Sequence[dict[str, Any]]) -> str:
    """About ten rows, evenly spaced, the last among them."""
    if not rows:
        return ""
    every = -(-len(rows) // 10)
    shown = list(rows[(len(rows) - 1) % every :: every])
    lines = [f"- step {row['step']}, {row['elapsed_s']:.3f} s: {json.dumps(row['values'])}" for row in shown]
    return "\n".join([f"## Learning curve ({len(rows)} rows)", "", *lines])
