"""How fast is the journal? ``python benchmarks/journal.py [--trials 10000] [--seconds 3] [--folder DIR]``

1. Acknowledged durable events a second, in the engine's pattern: 8 attempts in flight, for every trial a
   proposal, an intent, learning-curve rows and an end; one commit before processes start, one after
   results came in. ``together``: all 8 end in the same round. That is where a busy study goes by itself: while
   a commit waits for the disk, more attempts end, and share the next one. ``one by one``: attempts end
   singly, the least that a disk can do. Beside it, in the same process and on the same disk, the same records
   in SQLite (WAL, synchronous=FULL, one transaction a commit) and in Optuna's journal file.
2. Replay: read and check a journal of many trials and fold it into a ``RunState``, in a fresh process.

Exit code 1 when a promise is broken: at least 500 events a second ``together``, 10,000 trials read in 5
seconds. What one append and fsync take on this disk right now is printed first.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from flopwise.events import (
    FORMAT,
    AttemptEnded,
    AttemptStarted,
    Event,
    Measured,
    PhaseStarted,
    RunCreated,
    SessionOpened,
    TrialProposed,
    to_json,
)
from flopwise.journal.log import Journal
from flopwise.journal.read import read_events
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder

try:
    from optuna.storages.journal import JournalFileBackend
except ImportError:
    JournalFileBackend = None  # said aloud in the output

SLOTS = 8
LEAST_EVENTS_PER_S = 500.0
LONGEST_REPLAY_S = 5.0
PROMISED_TRIALS = 10_000

STUDY = {
    "objective": {"metric": "val_loss", "direction": "minimize"},
    "execution": {"retries": 2, "price_per_hour": 0.2},
}


class Log(Protocol):
    """What takes groups of events and returns once they are durable."""

    def commit(self, events: Sequence[Event]) -> None: ...

    def close(self) -> None: ...


class Flopwise:
    """Our journal."""

    def __init__(self, folder: Path) -> None:
        self._journal = Journal.create(RunFolder(folder / "run"))

    def commit(self, events: Sequence[Event]) -> None:
        self._journal.append(events)
        self._journal.commit()

    def close(self) -> None:
        self._journal.close()


class Sqlite:
    """One table of JSON texts, one transaction a commit."""

    def __init__(self, folder: Path) -> None:
        self._db = sqlite3.connect(folder / "events.sqlite", isolation_level=None)
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("pragma synchronous=full")
        self._db.execute("create table events (number integer primary key, content text)")

    def commit(self, events: Sequence[Event]) -> None:
        self._db.execute("begin immediate")
        rows = [(json.dumps(to_json(event), separators=(",", ":")),) for event in events]
        self._db.executemany("insert into events (content) values (?)", rows)
        self._db.execute("commit")

    def close(self) -> None:
        self._db.close()


class Optuna:
    """Optuna's journal file, its own lock and fsync included."""

    def __init__(self, folder: Path) -> None:
        self._log = JournalFileBackend(str(folder / "optuna.log"))

    def commit(self, events: Sequence[Event]) -> None:
        self._log.append_logs([to_json(event) for event in events])

    def close(self) -> None:
        return


def opening() -> list[Event]:
    """A run up to its search."""
    slots = [{"index": slot, "cores": [slot], "threads": 1} for slot in range(SLOTS)]
    return [
        RunCreated(FORMAT, "bench", "ab", STUDY, "h", "k", "python", {}, "2026-01-01"),
        SessionOpened(1, os.getpid(), "host", "boot", "now", {}, slots, "flopwise run", 0.0),
        PhaseStarted("search"),
    ]


def proposed(number: int) -> Event:
    config = {f"model.section.parameter_{i}": number * 1e-5 + i / 7 for i in range(10)}
    return TrialProposed(number, "search", config, {"flops": 1e12}, [123456789], list(config.values()))


def started(number: int) -> Event:
    return AttemptStarted(f"t{number:04d}.s0.a1", 123456789, number % SLOTS, None, 1)


def ended(number: int) -> list[Event]:
    attempt, at = f"t{number:04d}.s0.a1", number * 0.1
    values = {"train_loss": 3.0 + 1 / (1 + number), "lr": 1e-3}
    rows = [{"step": step, "elapsed_s": 0.2 * step, "values": values} for step in range(4)]
    metrics = {"val_loss": 2.0 + 1 / (3 + number), "perplexity": 9.1}
    info = {"steps": 4, "tokens": 8192, "flops": 1.2e12, "steps_per_s": 18.7}
    end = AttemptEnded(attempt, "ok", metrics, info, at, at + 0.9, 0.9, 0.9 * 0.2 / 3600 / SLOTS, 0.88, 162_000_000)
    return [Measured(attempt, rows), end]


def rounds(together: int) -> Iterator[list[Event]]:
    """Endless groups of events, each to be committed before the next: results, then proposals, then intents."""
    first = 1
    while True:
        numbers = range(first, first + together)
        yield [proposed(number) for number in numbers]
        yield [started(number) for number in numbers]
        yield [event for number in numbers for event in ended(number)]
        first += together


def events_per_s(make: Callable[[Path], Log], together: int, seconds: float, folder: Path) -> float:
    """Acknowledged events a second."""
    room = Path(tempfile.mkdtemp(dir=folder))
    log = make(room)
    log.commit(opening())
    count, began = 0, time.perf_counter()
    for group in rounds(together):
        log.commit(group)
        count += len(group)
        if (passed := time.perf_counter() - began) >= seconds:
            break
    log.close()
    shutil.rmtree(room)
    return count / passed


def fsync_ms(folder: Path, times: int = 100) -> float:
    """Milliseconds of a bare durable append, median."""
    fd = os.open(folder / "fsync", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    passed = []
    for _ in range(times):
        began = time.perf_counter()
        os.write(fd, b"x" * 600)
        os.fsync(fd)
        passed.append(time.perf_counter() - began)
    os.close(fd)
    return 1e3 * statistics.median(passed)


def median_rates(together: int, seconds: float, folder: Path) -> dict[str, float]:
    """Each log measured in turn, three times over: the disk is not equally fast at all times."""
    rates: dict[str, list[float]] = {}
    for _ in range(3):
        for name, make in peers().items():
            rates.setdefault(name, []).append(events_per_s(make, together, seconds / 3, folder))
    return {name: statistics.median(found) for name, found in rates.items()}


def peers() -> dict[str, Callable[[Path], Log]]:
    found: dict[str, Callable[[Path], Log]] = {"flopwise": Flopwise, "SQLite WAL FULL": Sqlite}
    if JournalFileBackend is not None:
        found["Optuna journal file"] = Optuna
    return found


def write_run(folder: Path, trials: int) -> RunFolder:
    """A finished search of ``trials`` trials, in groups of 8."""
    run = RunFolder(folder / "replay")
    with Journal.create(run) as journal:
        journal.append(opening())
        groups = rounds(SLOTS)
        for _ in range(3 * (trials // SLOTS)):
            journal.append(next(groups))
        journal.commit()
    return run


def replay(journal: Path) -> None:
    """In the child process: read, fold, print figures as JSON."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    events, _ = read_events(journal)
    read_s = time.perf_counter() - began
    state = RunState(events)
    total_s = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = {"read_s": read_s, "total_s": total_s, "events": len(events), "trials": len(state.completed)}
    print(json.dumps({**figures, "rss_mb": after / 1024, "before_mb": before / 1024}))


def replay_s(folder: Path, trials: int) -> float:
    run = write_run(folder, trials)
    child = [sys.executable, __file__, "--replay", str(run.journal)]
    found = json.loads(subprocess.run(child, check=True, capture_output=True, text=True).stdout)
    size = run.journal.stat().st_size / 1e6
    print(f"replay of {found['trials']} trials ({found['events']} events, {size:.1f} MB):")
    print(f"  read and check {found['read_s']:.2f} s, with the fold {found['total_s']:.2f} s")
    print(f"  peak memory {found['rss_mb']:.0f} MB, of which {found['before_mb']:.0f} MB before reading")
    return float(found["total_s"])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=PROMISED_TRIALS)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: the temporary folder")
    parser.add_argument("--replay", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.replay:
        replay(options.replay)
        return 0
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        return report(Path(name), options.seconds, options.trials)


def report(folder: Path, seconds: float, trials: int) -> int:
    if JournalFileBackend is None:
        print("optuna is not installed: its journal file is left out\n")
    print(f"one append of 600 bytes and its fsync: {fsync_ms(folder):.2f} ms\n")
    for label, together in (("one by one", 1), ("together", SLOTS)):
        print(f"durable events/s, {SLOTS} attempts in flight, ending {label}:")
        rates = median_rates(together, seconds, folder)
        for name, rate in rates.items():
            ratio = "" if name == "flopwise" else f"   flopwise is {rates['flopwise'] / rate:.2f} x as fast"
            print(f"  {name:20} {rate:7.0f}{ratio}")
        print()
    needed_s = replay_s(folder, trials)
    kept = rates["flopwise"] >= LEAST_EVENTS_PER_S and (trials > PROMISED_TRIALS or needed_s <= LONGEST_REPLAY_S)
    promise = f"{LEAST_EVENTS_PER_S:.0f} events/s, {PROMISED_TRIALS} trials in {LONGEST_REPLAY_S:g} s"
    print(f"\npromise ({promise}): {'kept' if kept else 'BROKEN'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
