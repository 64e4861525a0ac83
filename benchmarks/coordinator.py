"""What one attempt costs the coordinator: ``python -m benchmarks.coordinator``, Optuna's ask and tell beside it.

    python -m benchmarks.coordinator                          1,000, 10,000 and 100,000 attempts
    python -m benchmarks.coordinator --quick                  a look in seconds
    python -m benchmarks.coordinator --attempts 5000 --slots 1024

Random search over five parameters on the simulated executor, so nothing is trained and nobody waits. A cycle
is a proposal, an intent, a start, a result and everything the engine does with them: ledger, limits, policies,
and the journal on disk, synced before a process would start and before a result is shown. Results that come
in together share a sync. Each size runs in a process of its own; times and memory are those of the search, from
its first proposal to its last result.

cycles/s     attempts by wall time, which includes waiting for this disk's fsync
per CPU s    attempts by CPU time
RSS          growth of resident memory over the search, and what that is for an attempt
resume       CPU seconds to open and replay the journal

Optuna asks and tells the same search: in memory, and through its journal file, which syncs every operation.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from flopwise.engine.assemble import run
from flopwise.engine.record import Record
from flopwise.engine.request import Request
from flopwise.events import AttemptEnded, Event, PhaseStarted
from flopwise.journal.log import Journal
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder
from flopwise.report.view import SilentView
from flopwise.study import study_from_mapping
from flopwise.trial import Phase

ATTEMPTS = (1_000, 10_000, 100_000)
QUICK = (200,)
SLOTS = 256
PARAMETERS = [f"x{axis}" for axis in range(5)]
MOST_PEER = 10_000
"""Optuna is asked for at most so many: its own cost grows little, and its journal file is slow."""

LEAST_PER_S = 2_000.0
MOST_GROWTH_MB = 150.0
LONGEST_RESUME_S = 5.0
RESUMED = 10_000


class Meter(SilentView):
    """Reads the clocks and the memory when the search begins and when it is over."""

    def __init__(self) -> None:
        self.readings: list[tuple[float, float, float]] = []
        self.ended = 0

    def event(self, event: Event, state: RunState) -> None:
        """See :class:`flopwise.report.view.View`."""
        self.ended += isinstance(event, AttemptEnded)
        searching = bool(self.readings)
        if isinstance(event, PhaseStarted) and len(self.readings) < 2 and searching == (event.phase != Phase.SEARCH):
            self.readings.append((time.perf_counter(), time.process_time(), rss_mb()))

    def figures(self, attempts: int) -> dict[str, float]:
        """What the search took."""
        (wall, cpu, rss), (wall_end, cpu_end, rss_end) = self.readings
        return {
            "attempts": attempts,
            "per_s": attempts / (wall_end - wall),
            "per_cpu_s": attempts / (cpu_end - cpu),
            "growth_mb": rss_end - rss,
        }


def study(attempts: int, slots: int) -> Any:
    """Random search on a made-up surface; about a quarter of the slots end in the same round."""
    return study_from_mapping(
        {
            "name": "coordinator",
            "workload": "function",
            "space": {name: {"type": "float", "low": 0.0, "high": 1.0} for name in PARAMETERS},
            "objective": {"metric": "loss"},
            "search": {"method": "random"},
            "tiers": {"only": {"trials": attempts}},
            "policies": {"patience": {"generations": attempts}},
            "calibration": {"signal": False, "knobs": False},
            "execution": {
                "executor": "simulated",
                "slots": slots,
                "options": {"values": "surface", "seconds": 1.0, "spread": 0.3, "round_s": 0.2},
            },
        }
    )


def measure(attempts: int, slots: int, folder: Path) -> dict[str, float]:
    """One run, and its journal replayed."""
    meter = Meter()
    request = Request(folder, meter, "benchmark", objective="import:math:fsum", objective_id="import:math:fsum")
    finish = run(study(attempts, slots), request)
    began = time.process_time()
    with Journal.open(RunFolder(finish.folder)) as journal:
        record = Record(journal, SilentView())
    assert record.state.proposed(Phase.SEARCH) == attempts
    return {**meter.figures(attempts), "resume_s": time.process_time() - began}


def optuna_per_s(attempts: int, storage: JournalStorage | None) -> float:
    """Asks and tells a second of Optuna's random sampler."""
    box = {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in PARAMETERS}
    peer = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))
    began = time.perf_counter()
    for _ in range(attempts):
        trial = peer.ask(box)
        peer.tell(trial, sum(trial.params.values()))
    return attempts / (time.perf_counter() - began)


def rss_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def in_a_process(attempts: int, slots: int, folder: Path) -> dict[str, float]:
    """Memory is comparable only in a fresh process."""
    child = [sys.executable, "-m", "benchmarks.coordinator", "--one", str(attempts), "--slots", str(slots)]
    done = subprocess.run([*child, "--folder", str(folder)], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def report(sizes: list[int], slots: int, folder: Path) -> None:
    """Print a row a size, then the promises."""
    print(f"random search, {len(PARAMETERS)} parameters, {slots} simulated slots, {os.cpu_count()} cores")
    print(f"{'attempts':>9}{'cycles/s':>10}{'per CPU s':>11}{'RSS':>10}{'/attempt':>10}{'resume':>9}", end="")
    print(f"{'Optuna memory':>16}{'ratio':>7}{'Optuna journal':>16}{'ratio':>7}")
    rows = [_row(attempts, slots, folder) for attempts in sizes]
    last = rows[-1]
    _promise(f"at least {LEAST_PER_S:,.0f} cycles/s of CPU", min(r["per_cpu_s"] for r in rows) >= LEAST_PER_S)
    _promise(f"memory grows by less than {MOST_GROWTH_MB:g} MB", last["growth_mb"] < MOST_GROWTH_MB)
    resumed = [r["resume_s"] for r in rows if r["attempts"] <= RESUMED]
    _promise(f"{RESUMED:,} attempts resumed in {LONGEST_RESUME_S:g} s", max(resumed, default=0.0) <= LONGEST_RESUME_S)


def _row(attempts: int, slots: int, folder: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=folder) as room:
        own = in_a_process(attempts, slots, Path(room))
        peers = min(attempts, MOST_PEER)
        memory = optuna_per_s(peers, None)
        file = optuna_per_s(peers, JournalStorage(JournalFileBackend(f"{room}/optuna.log")))
    rate, each_kb = own["per_s"], 1000.0 * own["growth_mb"] / attempts
    print(f"{attempts:9,}{rate:10,.0f}{own['per_cpu_s']:11,.0f}{own['growth_mb']:7.0f} MB{each_kb:7.1f} kB", end="")
    print(f"{own['resume_s']:7.2f} s{memory:16,.0f}{rate / memory:7.2f}{file:16,.0f}{rate / file:7.2f}", flush=True)
    return own


def _promise(words: str, kept: bool) -> None:
    print(f"{words}: {'kept' if kept else 'BROKEN'}")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coordinator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--attempts", type=int, nargs="+", default=list(ATTEMPTS))
    parser.add_argument("--slots", type=int, default=SLOTS)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: the temporary folder")
    parser.add_argument("--quick", action="store_true", help="one small size")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    folder = options.folder or Path(tempfile.gettempdir())
    if options.one:
        print(json.dumps(measure(options.one, options.slots, folder)))
        return
    report(list(QUICK) if options.quick else options.attempts, options.slots, folder)


if __name__ == "__main__":
    main()
