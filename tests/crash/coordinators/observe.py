"""Watches the processes of attempts from outside, and writes down how long each lived: the ledger's counter-check.

    python observe.py ATTEMPTS FILE

An attempt's process is one whose working directory is a folder in ATTEMPTS; all of ``/proc`` is looked at every two
milliseconds. Its life as an attempt began when the kernel says that the process began; or, where the process is older
than the attempt's stdout (it was forked ahead of need), between the making of that file and the first look that shows
it at work. Its end wakes the observer (a pidfd). Each end is a line of JSON in FILE: ``attempt``, ``after`` and
``before`` (of its beginning), ``end``, in seconds of CLOCK_MONOTONIC, and ``late_s``: how much later than asked for the
observer itself was woken at worst so far, on a machine that has too much to do. Nothing here knows flopwise.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import time
from pathlib import Path

LOOK_MS = 2
TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


def born_s(pid: int) -> float:
    """When a process began by the kernel's account, to a clock tick, in seconds of CLOCK_MONOTONIC."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    asleep_s = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    return int(fields[19]) * TICK_S - asleep_s


class Observer:
    """Everything that is known so far.

    Args:
        attempts: Folder that holds a folder for each attempt.
        file: Where lives are written to.
    """

    def __init__(self, attempts: Path, file: Path) -> None:
        self._prefix = f"{attempts}{os.sep}"
        self._file = file.open("w", buffering=1)
        self._alive: dict[int, tuple[int, str, float, float]] = {}
        self._late_s = 0.0
        self._pids: set[int] = set()
        self._poll = select.poll()

    def run(self) -> None:
        """Until it is killed."""
        asked_at = time.monotonic()
        while True:
            ended = self._poll.poll(LOOK_MS)
            late_s = time.monotonic() - asked_at - LOOK_MS / 1e3
            self._late_s = max(self._late_s, late_s)
            for fd, _ in ended:
                self._ended(fd)
            self._look()
            asked_at = time.monotonic()

    def _look(self) -> None:
        for name in os.listdir("/proc"):  # noqa: PTH208 - hundreds of times a second
            if name.isdecimal() and int(name) not in self._pids:
                with contextlib.suppress(OSError):
                    folder = os.readlink(f"/proc/{name}/cwd")  # noqa: PTH115
                    if folder.startswith(self._prefix):
                        self._began(int(name), Path(folder), time.monotonic())

    def _began(self, pid: int, folder: Path, now: float) -> None:
        fd = os.pidfd_open(pid)
        born = born_s(pid)
        made = folder.joinpath("stdout").stat().st_ctime - (time.time() - time.monotonic())
        is_older = born + TICK_S < made
        life = (pid, folder.name, made, now) if is_older else (pid, folder.name, born, min(now, born + TICK_S))
        self._alive[fd] = life
        self._pids.add(pid)
        self._poll.register(fd, select.POLLIN)

    def _ended(self, fd: int) -> None:
        pid, attempt, after, before = self._alive.pop(fd)
        life = {
            "attempt": attempt,
            "after": after,
            "before": before,
            "end": time.monotonic(),
            "late_s": self._late_s,
        }
        print(json.dumps(life), file=self._file)
        self._poll.unregister(fd)
        os.close(fd)
        self._pids.discard(pid)


if __name__ == "__main__":
    Observer(Path(sys.argv[1]).resolve(), Path(sys.argv[2])).run()
