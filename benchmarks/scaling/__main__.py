"""Many slots: ``python -m benchmarks.scaling``.

128 slots on whatever cores there are, 512 attempts that do nothing but sleep, for 2 s and for 10 s; ideal are 8 s and
40 s. What comes on top is the price of a process of its own: for flopwise with its folder, session, pinning,
environment, output files, summary synced to disk, result over the wire, stamps, and the end of its whole process tree
confirmed; for the bare fork, of a process loaded in the same way, with nothing of that. Then the share of an
attempt that is not its own sleep, with 2 slots.

Contenders take turns, so that a busy machine is busy for all of them. Exit code 1 when a promise is broken: at most
3 points of the ideal time above the bare fork, at most 10 ms an attempt.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.scaling.contenders import Contender, Flopwise, RawFork

OURS, RAW = "flopwise", "raw fork"
CONTENDERS: dict[str, type[Contender]] = {OURS: Flopwise, RAW: RawFork}
SLOTS, ATTEMPTS = 128, 512
MOST_ABOVE_RAW = 0.03
FEW_SLOTS, FEW_ATTEMPTS, SHORT_S = 2, 40, 0.3
MOST_OWN_MS = 10.0


def main() -> int:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, nargs="*", default=[2.0, 10.0], help="sleeps with 128 slots")
    options = parser.parse_args()
    print(f"load average of the last minute before: {os.getloadavg()[0]:.2f}")
    kept = [_many(seconds, options.rounds) for seconds in options.seconds]
    kept.append(_few(options.rounds))
    print("promises kept" if all(kept) else "a promise is broken")
    return 0 if all(kept) else 1


def _many(seconds: float, rounds: int) -> bool:
    ideal_s = ATTEMPTS / SLOTS * seconds
    print(f"\n{SLOTS} slots, {ATTEMPTS} attempts that sleep {seconds:g} s; ideal {ideal_s:g} s")
    with _contenders(SLOTS) as contenders:
        walls = _measure(contenders, ATTEMPTS, seconds, rounds)
    for name, figures in walls.items():
        wall_s = statistics.median(figures)
        print(f"{name:12} {wall_s:6.2f} s, {wall_s / ideal_s:6.1%} of ideal   ({_listed(figures)})")
    above = (statistics.median(walls[OURS]) - statistics.median(walls[RAW])) / ideal_s
    print(f"{OURS} above {RAW}: {100 * above:+.1f} points, at most {100 * MOST_ABOVE_RAW:g}")
    return above <= MOST_ABOVE_RAW


def _few(rounds: int) -> bool:
    print(f"\n{FEW_SLOTS} slots, {FEW_ATTEMPTS} attempts that sleep {SHORT_S:g} s; ms an attempt beyond its sleep")
    with _contenders(FEW_SLOTS) as contenders:
        walls = _measure(contenders, FEW_ATTEMPTS, SHORT_S, rounds)
    own = {name: [1000 * (w * FEW_SLOTS / FEW_ATTEMPTS - SHORT_S) for w in figures] for name, figures in walls.items()}
    for name, figures in own.items():
        print(f"{name:12} {statistics.median(figures):6.1f} ms   ({_listed(figures)})")
    return statistics.median(own[OURS]) <= MOST_OWN_MS


def _measure(contenders: dict[str, Contender], attempts: int, seconds: float, rounds: int) -> dict[str, list[float]]:
    walls: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            walls[name].append(contender.measure_s(attempts, seconds))
    return walls


@contextmanager
def _contenders(slots: int) -> Iterator[dict[str, Contender]]:
    with ExitStack() as stack:
        opened: dict[str, Contender] = {}
        for name, kind in CONTENDERS.items():
            opened[name] = kind(slots, Path(stack.enter_context(tempfile.TemporaryDirectory())))
            stack.callback(opened[name].close)
        yield opened


def _listed(figures: list[float]) -> str:
    return ", ".join(f"{figure:.2f}" for figure in figures)


if __name__ == "__main__":
    sys.exit(main())
