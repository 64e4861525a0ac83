"""Exactly one outcome for whatever a workload returned or raised."""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flopwise
from flopwise.errors import NonFinite, ProgramKilled, ProgramOutOfMemory, WorkloadError
from flopwise.trial import Outcome, Result
from flopwise.worker.values import describe, number, plain, wire_number

LONGEST_CAUSE = 300
LONGEST_PART = 2000
"""Characters of one part of a refusal: room for a path."""
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What torch says in a plain ``RuntimeError`` when an allocation fails."""

PACKAGE = str(Path(flopwise.__file__).parent)


def judge(value: Any, metric: str, facts: Mapping[str, Any], *, stopped: bool) -> Result:
    """The result of an evaluation that returned.

    Finite numbers become metrics. What else stands beside the needed metric is kept as a fact.

    Args:
        value: What the workload returned.
        metric: Name of the metric the study needs; empty for none.
        facts: What it noted.
        stopped: It was told to stop and cut its work short.

    Raises:
        WorkloadError: If it is not a mapping, or the needed metric is missing or not a number.
    """
    if not isinstance(value, Mapping):
        raise WorkloadError(
            "the workload must return its metrics",
            expected=f"a mapping such as {{'{metric or 'loss'}': 0.5}}",
            got=describe(value),
        )
    if stopped:
        return _stopped(value, facts)
    _require(metric, value)
    metrics, others = _split(value)
    info = {**others, **facts}
    if metric and metric not in metrics:
        return Result(Outcome.NAN, metrics, info, f"{metric} is {others[metric]}")
    return Result(Outcome.OK, metrics, info)


def judge_pin(value: Any, facts: Mapping[str, Any]) -> Result:
    """The result of preparing data: what it returned pins the data.

    Raises:
        WorkloadError: If it is not a mapping with a JSON form.
    """
    if not isinstance(value, Mapping):
        raise WorkloadError("prepare must return a pin", expected="a mapping", got=describe(value))
    return Result(Outcome.OK, {}, {**facts, "pin": plain("pin", value)})


def failure(error: BaseException, facts: Mapping[str, Any], *, stopped: bool) -> Result:
    """The result of an attempt that raised.

    Args:
        error: What it raised.
        facts: What it noted before.
        stopped: The study had asked it to end, so the error may be only how it did.
    """
    cause = one_line(error)
    if stopped:
        return Result(Outcome.KILLED, {}, facts, f"told to stop, it raised {cause}")
    return Result(_kind(error), {}, facts, cause)


def refusal(error: BaseException) -> dict[str, Any]:
    """What a workload says against the data it was given, part by part; empty for any other failure.

    Args:
        error: What its ``prepare`` raised.
    """
    if not isinstance(error, WorkloadError):
        return {}
    parts = {name: getattr(error, name) for name in ("problem", "expected", "got", "where", "fix")}
    return {"refused": {name: text[:LONGEST_PART] for name, text in parts.items() if text}}


def one_line(error: BaseException) -> str:
    """``ValueError: bad rate (train.py:12)``: type, first lines of the message, and where outside flopwise."""
    if isinstance(error, SystemExit):
        text = f"the workload called sys.exit({error.code!r}) before it had a result"
    elif isinstance(error, WorkloadError):
        text = "; ".join(line.strip() for line in str(error).splitlines())
    else:
        text = " ".join(traceback.format_exception_only(error)[-1].split())
    text = text if len(text) <= LONGEST_CAUSE else text[:LONGEST_CAUSE] + "…"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(PACKAGE)]
    return f"{text} ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else text


def _kind(error: BaseException) -> Outcome:
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, ProgramKilled):
        return Outcome.KILLED
    if isinstance(error, MemoryError | ProgramOutOfMemory) or "OutOfMemoryError" in names:
        return Outcome.OOM
    if isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY):
        return Outcome.OOM
    if isinstance(error, NonFinite | FloatingPointError):
        return Outcome.NAN
    return Outcome.ERROR


def _stopped(value: Mapping[str, Any], facts: Mapping[str, Any]) -> Result:
    """Values of a cut-short evaluation are kept as facts: they are not what was asked for."""
    return Result(Outcome.KILLED, {}, {**facts, "partial": plain("partial", value)}, "stopped early, as asked")


def _require(metric: str, value: Mapping[str, Any]) -> None:
    if not metric:
        return
    if metric not in value:
        came = ", ".join(str(key) for key in value) or "nothing"
        raise WorkloadError("the study's metric is missing", expected=f"a value for {metric!r}", got=came)
    number(metric, value[metric])


def _split(value: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, Any]]:
    """Finite numbers, and everything else as JSON."""
    metrics: dict[str, float] = {}
    others: dict[str, Any] = {}
    for key, item in value.items():
        try:
            found = number(str(key), item)
        except WorkloadError:
            others[str(key)] = plain(str(key), item)
            continue
        if math.isfinite(found):
            metrics[str(key)] = found
        else:
            others[str(key)] = wire_number(found)
    return metrics, others
