"""The end of a program: its exit status, its last words, and its final metrics."""

from __future__ import annotations

import json
import os
import re
import signal
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flopwise.errors import ProgramFailed, ProgramKilled, ProgramOutOfMemory
from flopwise.workloads.command.config import CommandConfig
from flopwise.workloads.command.lines import SPELT_OUT
from flopwise.workloads.command.process import open_regular
from flopwise.workloads.command.rows import Rows, missing

LONGEST_RESULT = 1 << 20
"""Bytes of the result file."""
LONGEST_OUTPUT = 16 << 20
"""Bytes at the end of stdout that regular expressions are held against."""
TAIL_BYTES = 4096
LONGEST_WORDS = 240
"""Characters of the last lines that an error quotes."""

OUT_OF_MEMORY = re.compile(
    r"out of memory|OutOfMemory|MemoryError|std::bad_alloc|cannot allocate (memory|vector)|can't allocate memory"
)
CRASHES = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGSYS})
"""Signals that a program brings upon itself, so trying again is no use."""
SHELL_KILLED = 128 + signal.SIGKILL
"""Exit status of a shell whose program was killed."""


def require_success(status: int, folder: Path) -> None:
    """See that the program ended well.

    Args:
        status: Its exit status; minus the number of the signal that ended it.
        folder: Holds what it printed.

    Raises:
        ProgramFailed: With its last lines.
    """
    if status == 0:
        return
    words = last_words(folder)
    ended = f"ended by signal {_name(-status)}" if status < 0 else f"exited with status {status}"
    kind: type[ProgramFailed] = ProgramFailed
    if status == SHELL_KILLED or (status < 0 and -status not in CRASHES):
        kind = ProgramKilled
        ended += " (out of memory, or killed from outside)" if status in (SHELL_KILLED, -signal.SIGKILL) else ""
    elif OUT_OF_MEMORY.search(words):
        kind = ProgramOutOfMemory
    raise kind(f"the program {ended}" + (f": {words}" if words else ", and printed nothing"))


def final_metrics(config: CommandConfig, rows: Rows, metric: str, folder: Path) -> dict[str, Any]:
    """What the program found out.

    Args:
        config: Says where to look.
        rows: What it said while it ran.
        metric: Name of the metric the study needs.
        folder: The attempt's.

    Raises:
        ProgramFailed: If the metric is nowhere, or the place where it should be cannot be read.
    """
    match config.metrics_from:
        case "rows":
            found: dict[str, Any] = {**rows.last, **rows.result}
        case "stdout":
            found = _matched(config.stdout_regex, folder / "stdout")
            if metric in config.stdout_regex and metric not in found:
                raise _unmatched(metric, config.stdout_regex[metric], folder)
        case "result":
            found = {**rows.result, **_result_file(folder / config.result_file)}
    if metric and metric not in found:
        raise missing(metric, found, rows, config.result_file)
    return {name: _spelt_out(value) for name, value in found.items()}


def last_words(folder: Path) -> str:
    """The last lines of stderr, or of stdout when that is empty, in one line."""
    for name in ("stderr", "stdout"):
        text = _tail(folder / name, TAIL_BYTES).decode(errors="replace")
        lines = [" ".join(line.split()) for line in text.replace("\r", "\n").splitlines() if line.strip()]
        if lines:
            words = " | ".join(lines[-3:])
            return words if len(words) <= LONGEST_WORDS else f"…{words[-LONGEST_WORDS:]}"
    return ""


def _result_file(path: Path) -> Mapping[str, Any]:
    """A JSON object; empty when there is no file."""
    fd = open_regular(path)
    if fd is None:
        return {}
    with os.fdopen(fd, "rb") as file:
        data = file.read(LONGEST_RESULT + 1)
    wanted = 'one JSON object, such as {"val_loss": 3.2}'
    if len(data) > LONGEST_RESULT:
        raise ProgramFailed(f"{path.name} is longer than {LONGEST_RESULT} bytes", expected=wanted)
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        got = repr(data[:80].decode(errors="replace"))
        raise ProgramFailed(f"{path.name} is not JSON: {error}", expected=wanted, got=got) from None
    if not isinstance(found, dict):
        raise ProgramFailed(f"{path.name} is not a JSON object", expected=wanted, got=repr(found)[:80])
    return found


def _matched(patterns: Mapping[str, str], path: Path) -> dict[str, Any]:
    """The last match of every pattern, as a number; a carriage return ends a line as well."""
    text = _tail(path, LONGEST_OUTPUT).decode(errors="replace").replace("\r", "\n")
    found: dict[str, Any] = {}
    for name, pattern in patterns.items():
        last = deque(re.finditer(pattern, text, re.MULTILINE), maxlen=1)
        if last:
            found[name] = _printed_number(name, last[0])
    return found


def _printed_number(name: str, match: re.Match[str]) -> float:
    try:
        return float(match.group(1))
    except (TypeError, ValueError):
        raise ProgramFailed(
            f"stdout_regex.{name} found something that is not a number",
            expected="a group (…) around the number alone",
            got=f"{match.group(1)!r:.60} in {match.group()!r:.80}",
        ) from None


def _unmatched(metric: str, pattern: str, folder: Path) -> ProgramFailed:
    return ProgramFailed(
        f"nothing that the program printed matches stdout_regex.{metric}",
        expected=f"a match of {pattern!r:.80}",
        got=last_words(folder) or "no output",
    )


def _spelt_out(value: Any) -> Any:
    """``"nan"`` and its like as the numbers they stand for."""
    return SPELT_OUT.get(value.strip().lower(), value) if isinstance(value, str) else value


def _tail(path: Path, size: int) -> bytes:
    """The last bytes of a file; nothing when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size))
            return file.read(size)
    except FileNotFoundError:
        return b""


def _name(number: int) -> str:
    try:
        return f"{number} {signal.Signals(number).name}"
    except ValueError:
        return str(number)
