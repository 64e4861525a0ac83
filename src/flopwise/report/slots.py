"""How busy the slots are: the CPU share and context switches of every running attempt, and when it began.

The keeper stamps the process and the start of every attempt in the run folder; shares and rates are the growth of
that process's and its children's counts between two looks, or since it began.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder

LOOK_EVERY_S = 1.0
"""Shares are measured over at least this long."""

LEAST_S = 0.2
"""A first share, since the process began, is measured over at least this long."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Start:
    """An attempt's process, as the keeper stamped it: monotonic seconds of this machine's boot."""

    pid: int
    at: float


@dataclass
class _Look:
    at: float
    cpu_s: float
    switches: int | None
    share: float = 0.0
    switches_per_s: float | None = None


class SlotMeter:
    """Looks at running attempts; knows nothing when the run is on another machine, or of an earlier boot.

    Args:
        place: The folder of a run.
        cpu_s: CPU seconds of a process and its children so far; None when it is gone.
        switches: Their context switches so far; None when that is unknown.
    """

    def __init__(
        self,
        place: Callable[[RunState], RunFolder],
        cpu_s: Callable[[int], float | None] | None = None,
        switches: Callable[[int], int | None] | None = None,
    ) -> None:
        self._place = place
        self._cpu_s = cpu_s or tree_cpu_s
        self._switches = switches or tree_switches
        self._starts: dict[str, Start] = {}
        self._looks: dict[str, _Look] = {}
        self._offset = 0

    def look(self, state: RunState, now: float) -> None:
        """Measure again what was not measured a moment ago.

        Args:
            state: Of the run.
            now: Monotonic seconds.
        """
        running = {str(attempt.id) for attempt in state.running()}
        if not running or not state.sessions or state.sessions[-1].opened.boot_id != _boot_id():
            return
        self._read_stamps(self._place(state).stamps)
        self._looks = {attempt: look for attempt, look in self._looks.items() if attempt in running}
        for attempt in running & self._starts.keys():
            self._measure(attempt, now)

    def started_at(self, attempt: str) -> float | None:
        """When an attempt's process began, in monotonic seconds; None while unknown."""
        start = self._starts.get(attempt)
        return None if start is None else start.at

    def share(self, attempt: str) -> float | None:
        """CPUs that an attempt kept busy when last measured; None while unknown."""
        look = self._looks.get(attempt)
        return None if look is None else look.share

    def switches_per_s(self, attempt: str) -> float | None:
        """Context switches a second when last measured; None while unknown."""
        look = self._looks.get(attempt)
        return None if look is None else look.switches_per_s

    def _measure(self, attempt: str, now: float) -> None:
        before = self._looks.get(attempt)
        if before is not None and now - before.at < LOOK_EVERY_S:
            return
        start = self._starts[attempt]
        cpu_s = self._cpu_s(start.pid)
        since = before or _Look(start.at, 0.0, 0)
        passed_s = now - since.at
        if cpu_s is not None and passed_s >= LEAST_S:
            switches = self._switches(start.pid)
            known = switches is not None and since.switches is not None
            rate = max(0, (switches or 0) - (since.switches or 0)) / passed_s if known else None
            self._looks[attempt] = _Look(now, cpu_s, switches, max(0.0, cpu_s - since.cpu_s) / passed_s, rate)

    def _read_stamps(self, path: Path) -> None:
        """Take in whole lines that were not there before."""
        try:
            with path.open("rb") as file:
                file.seek(self._offset)
                grown = file.read()
        except OSError:
            return
        whole = grown[: grown.rfind(b"\n") + 1]
        self._offset += len(whole)
        self._starts.update(_starts(whole.splitlines()))


def _starts(lines: Iterable[bytes]) -> Mapping[str, Start]:
    found = {}
    for line in lines:
        try:
            stamp = json.loads(line)
            if stamp["event"] == "start":
                found[str(stamp["attempt"])] = Start(int(stamp["pid"]), float(stamp["at"]))
        except (ValueError, KeyError, TypeError):
            continue
    return found


def tree_cpu_s(pid: int) -> float | None:
    """CPU seconds of a process and its living children so far; None when it is gone."""
    try:
        process = psutil.Process(pid)
        times = [process.cpu_times(), *(child.cpu_times() for child in process.children(recursive=True))]
    except (psutil.Error, OSError):
        return None
    return float(sum(time.user + time.system for time in times))


def tree_switches(pid: int) -> int | None:
    """Context switches, both kinds, of a process and its living children so far; None when it is gone."""
    try:
        process = psutil.Process(pid)
        counts = [each.num_ctx_switches() for each in (process, *process.children(recursive=True))]
    except (psutil.Error, OSError, NotImplementedError):
        return None
    return int(sum(count.voluntary + count.involuntary for count in counts))


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""
