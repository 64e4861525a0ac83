"""What waiting for generations costs, and what not waiting costs: CMA-ES both ways on a virtual clock.

    python -m benchmarks.stragglers

Ten parameters, a rotated bowl whose axes differ in length a hundredfold, with noise; 8 slots; durations log-normal.
For each population: idle share of the slots during the search, wall clock and best value of the search, as medians
over studies, whole generations and asynchronous side by side with the same number of trials.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import flopwise
from flopwise.events import AttemptEnded, AttemptStarted, TrialProposed
from flopwise.journal.log import read_events

SLOTS, KNOBS, TRIALS = 8, 10, 240
TURN = np.linalg.qr(np.random.default_rng(1).normal(size=(KNOBS, KNOBS)))[0]
LENGTHS = 10.0 ** np.linspace(0.0, 2.0, KNOBS)


def bowl(config: Mapping[str, Any], context: Any) -> float:
    """At its centre 1, and noise of a thousandth."""
    point = TURN @ (np.array([config[f"x{i}"] for i in range(KNOBS)]) - 0.6)
    noise = np.random.default_rng(context.seed).normal() * 1e-3
    return float(1.0 + (LENGTHS * point**2).sum() + noise)


def study(root: Path, seed: int, population: int, spread: float, *, asynchronous: bool) -> tuple[float, float, float]:
    """Idle share and seconds of the search, and the best value it saw."""
    done = flopwise.Study(
        name="bowl",
        runs=root,
        space={f"x{i}": flopwise.Float(0, 1) for i in range(KNOBS)},
        base={f"x{i}": 0.3 for i in range(KNOBS)},
        objective=bowl,
        search={"method": "cmaes", "asynchronous": asynchronous},
        seed=seed,
        tiers={"only": {"population": population, "generations": TRIALS // population}},
        execution={"executor": "simulated", "slots": SLOTS, "options": {"spread": spread, "seed": seed}},
        policies={"patience": False, "crash_rate": False, "crash_loop": False, "throughput": False},
        calibration={"seeds": 2, "signal": False, "knobs": False},
        confirm={"top": 1, "seeds": 2},
    ).run(quiet=True)
    events = read_events(Path(done.folder) / "journal.log")[0]
    search = {e.number for e in events if isinstance(e, TrialProposed) and e.phase == "search"}
    ends = [e for e in events if isinstance(e, AttemptEnded) and int(e.attempt[1:5]) in search]
    assert (
        len(search) == len(ends) == sum(isinstance(e, AttemptStarted) and int(e.attempt[1:5]) in search for e in events)
    )
    wall_s = max(e.ended_at for e in ends) - min(e.started_at for e in ends)
    best = min(e.metrics["loss"] for e in ends) - 1.0
    return 1.0 - math.fsum(e.device_s for e in ends) / (SLOTS * wall_s), wall_s, best


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=5)
    parser.add_argument("--spread", type=float, default=0.4)
    given = parser.parse_args()
    print("| population | generations | idle | hours | best | asynchronous: idle | hours | best |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for population in (8, 16, 24):
        cells = []
        for asynchronous in (False, True):
            found = []
            for seed in range(given.studies):
                with tempfile.TemporaryDirectory() as root:
                    found.append(study(Path(root), seed, population, given.spread, asynchronous=asynchronous))
            idle, wall_s, best = (statistics.median(column) for column in zip(*found, strict=True))
            cells.append(f"{idle:.0%} | {wall_s / 3600:.2f} | {best:.3g}")
        print(f"| {population} | {TRIALS // population} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
