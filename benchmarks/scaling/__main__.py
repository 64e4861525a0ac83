"""How well slots are filled: ``python -m benchmarks.scaling training|sleeping|short``, peers in the same run.

    training   4 trainings of 4.4 s on two cores: flopwise beside two bare pinned processes that stay, processes with
               torch's own number of threads, Optuna's threads, Ray Tune. Promise: at least 97% of the pinned ones.
               Three rounds take about 4 minutes with Ray, 3 without.
    sleeping   128 slots, 512 attempts that sleep 2 s (ideal 8 s): beside bare forks, `python -c`, Optuna's threads,
               Ray tasks. Promise: at most 3 points of the ideal time above the bare forks. About 4 minutes.
               `--seconds 10 --rounds 1` (ideal 40 s): at least 97% of ideal as well. About 5 minutes.
    short      2 slots, 40 attempts that sleep 0.3 s: what an attempt takes beyond that. Promise: 10 ms. Half a minute.

What comes on top of an attempt's own work is the price of a process of its own: for flopwise with its folder,
session, pinning, environment, output files, summary synced to disk, result over the wire, stamps, and the end of its
whole process tree confirmed; the others leave out most or all of that. Contenders take turns in every round, so that
a busy machine is busy for all of them. Ray is measured where it is installed, and named where it is not. Tables are
ready for docs/log.md; the exit code is 1 when a promise is broken.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from benchmarks.scaling.contenders import Contender, Flopwise, Peer
from benchmarks.scaling.peers import NEEDS

OURS, RAW, PINNED = "flopwise", "raw fork", "pinned processes"

TRAINERS = (PINNED, OURS, "oversubscribed processes", "Optuna, threads", "Ray Tune")
TRAININGS, CORES, TRAINING_S = 4, 2, 4.4
LEAST_OF_PINNED = 0.97

SLEEPERS = (RAW, OURS, "python -c", "Optuna, threads", "Ray tasks")
SLOTS, ATTEMPTS, SLEEP_S = 128, 512, 2.0
MOST_ABOVE_RAW, LEAST_OF_IDEAL, LONG_S = 0.03, 0.97, 10.0

FEW_SLOTS, FEW_ATTEMPTS, SHORT_S = 2, 40, 0.3
MOST_OWN_MS = 10.0


def main() -> int:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["training", "sleeping", "short"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, help="of one attempt; 4.4, 2 and 0.3 where nothing is said")
    options = parser.parse_args()
    print(f"load average of the last minute before: {os.getloadavg()[0]:.2f}")
    part = {"training": _training, "sleeping": _sleeping, "short": _short}[options.part]
    kept = part(options.seconds, options.rounds)
    print("promise kept" if kept else "a promise is BROKEN")
    return 0 if kept else 1


def _training(seconds: float | None, rounds: int) -> bool:
    steps = import_module("benchmarks.scaling.training").steps_for(seconds or TRAINING_S)
    print(f"\n{TRAININGS} trainings of {steps} steps, {CORES} at a time on {CORES} cores; wall seconds\n")
    with _contenders(TRAINERS, "training", CORES) as contenders:
        walls = _measure(contenders, TRAININGS, steps, rounds)
    best = statistics.median(walls[PINNED])
    print(f"| | s, median | rounds | throughput, of {PINNED} |\n|---|---|---|---|")
    for name, figures in walls.items():
        print(f"| {name} | {_median(figures)} | {_listed(figures)} | {best / statistics.median(figures):.1%} |")
    share = statistics.median(a / b for a, b in zip(walls[PINNED], walls[OURS], strict=True))
    print(f"\n{OURS} / {PINNED}, round by round: {share:.1%}, promised {LEAST_OF_PINNED:.0%}")
    return share >= LEAST_OF_PINNED


def _sleeping(seconds: float | None, rounds: int) -> bool:
    sleep_s = seconds or SLEEP_S
    ideal_s = ATTEMPTS / SLOTS * sleep_s
    print(f"\n{SLOTS} slots, {ATTEMPTS} attempts that sleep {sleep_s:g} s; ideal {ideal_s:g} s\n")
    with _contenders(SLEEPERS, "work", SLOTS) as contenders:
        walls = _measure(contenders, ATTEMPTS, sleep_s, rounds)
    print("| | s, median | rounds | of ideal |\n|---|---|---|---|")
    for name, figures in walls.items():
        print(f"| {name} | {_median(figures)} | {_listed(figures)} | {ideal_s / statistics.median(figures):.1%} |")
    ours, raw = (statistics.median(walls[name]) for name in (OURS, RAW))
    above = (ours - raw) / ideal_s
    print(f"\n{OURS} above {RAW}: {100 * above:+.1f} points, at most {100 * MOST_ABOVE_RAW:g}")
    return above <= MOST_ABOVE_RAW and (sleep_s < LONG_S or ideal_s / ours >= LEAST_OF_IDEAL)


def _short(seconds: float | None, rounds: int) -> bool:
    sleep_s = seconds or SHORT_S
    print(f"\n{FEW_SLOTS} slots, {FEW_ATTEMPTS} attempts that sleep {sleep_s:g} s; ms an attempt beyond its sleep\n")
    with _contenders((RAW, OURS), "work", FEW_SLOTS) as contenders:
        walls = _measure(contenders, FEW_ATTEMPTS, sleep_s, rounds)
    own = {name: [1000 * (w * FEW_SLOTS / FEW_ATTEMPTS - sleep_s) for w in figures] for name, figures in walls.items()}
    print("| | ms, median | rounds |\n|---|---|---|")
    for name, figures in own.items():
        print(f"| {name} | {statistics.median(figures):.1f} | {_listed(figures)} |")
    return statistics.median(own[OURS]) <= MOST_OWN_MS


def _measure(contenders: dict[str, Contender], attempts: int, amount: float, rounds: int) -> dict[str, list[float]]:
    walls: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            walls[name].append(contender.measure_s(attempts, amount))
    return walls


@contextmanager
def _contenders(names: Sequence[str], work: str, slots: int) -> Iterator[dict[str, Contender]]:
    """Those that are installed, open, in that order."""
    with ExitStack() as stack:
        opened: dict[str, Contender] = {}
        for name in names:
            if name in NEEDS and find_spec(NEEDS[name]) is None:
                print(f"{name} is not installed and not measured")
                continue
            root = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
            opened[name] = Flopwise(work, slots, root) if name == OURS else Peer(name, work, slots, root)
            stack.callback(opened[name].close)
        yield opened


def _median(figures: list[float]) -> str:
    return f"{statistics.median(figures):.2f}"


def _listed(figures: list[float]) -> str:
    return ", ".join(f"{figure:.2f}" for figure in figures)


if __name__ == "__main__":
    sys.exit(main())
