"""How often do policies pause a healthy study? Whole simulated studies with random failures and noise.

    python -m benchmarks.false_alarms                      200 studies of each kind of failure: minutes of one core
    python -m benchmarks.false_alarms --studies 20         a look

Every study is the seed system's target tier: 12 trials a generation, 10 generations, 4 slots, evaluations of a minute
that differ in length by 20%. What is searched is smooth in two knobs, so that there is something to find. A share
of the attempts fails, at random: all kinds mixed, or all of one kind. The same studies with 15% of failures are beside
them, so that a policy that never pauses does not look good.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import flopwise

KINDS = {
    "mixed": {"error": 0.4, "nan": 0.3, "killed": 0.2, "oom": 0.1},
    "error": {"error": 1.0},
    "nan": {"nan": 1.0},
    "killed": {"killed": 1.0},
}
"""Of the failures, how many are of which kind."""

MOST_FALSE = 2
"""Healthy studies that may pause, of 200."""


def bowl(config: dict[str, Any], context: Any) -> dict[str, float]:
    """Smooth, with noise of its own for every config and seed; the baseline is one third of the way up."""
    noise = math.sin(1e4 * (config["x"] + 3.0 * config["y"]) + context.seed % 1000)
    return {"loss": 1.0 + (config["x"] - 0.2) ** 2 + (config["y"] - 0.8) ** 2 + 0.01 * noise}


def run(root: Path, seed: int, kind: str, share: float, search: str) -> Any:
    """One study to its end."""
    failures = {name: share * part for name, part in KINDS[kind].items()}
    options = {"seed": seed, "seconds": 60.0, "spread": 0.2, "failures": failures, "durability": "none"}
    study = flopwise.Study(
        name=f"{kind}-{share:g}-{search}-{seed}",
        space={"x": flopwise.Float(0.0, 1.0), "y": flopwise.Float(0.0, 1.0)},
        objective=bowl,
        base={"x": 0.5, "y": 0.5},
        search={"method": search},
        seed=seed,
        tiers={"target": {"population": 12, "generations": 10} if search == "cmaes" else {"trials": 120}},
        confirm={"top": 2, "seeds": 3},
        execution={"executor": "simulated", "slots": 4, "options": options},
        runs=root,
    )
    return study.run(quiet=True)


def row(kind: str, share: float, search: str, studies: int) -> int:
    """Run the studies, print what became of them; returns how many paused or were stopped."""
    began, ended, spoke = time.monotonic(), Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(studies):
            done = run(Path(folder), seed, kind, share, search)
            ended[done.reason] += 1
            spoke.update(f"{each['policy']} {each['action']}" for each in done.summary["policies"])
    halted = ended["paused"] + ended["stopped"]
    words = ", ".join(f"{name} {count}" for name, count in spoke.most_common()) or "nothing"
    print(
        f"{kind:7s} {share:5.0%} {search:7s} {halted:4d} of {studies} halted, {ended['failed']} without a baseline; "
        f"said: {words}  ({time.monotonic() - began:.0f} s)",
        flush=True,
    )
    return halted


def main() -> None:
    """The table, and whether the promise holds."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--studies", type=int, default=200)
    options.add_argument("--search", default="random", choices=["random", "cmaes"])
    options.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    given = options.parse_args()
    worst = max(row(kind, 0.01, given.search, given.studies) for kind in given.kinds)
    for kind in given.kinds:
        row(kind, 0.15, given.search, max(1, given.studies // 10))
    print(f"at most {worst} of {given.studies} healthy studies halted; promised: at most {MOST_FALSE} of 200")


if __name__ == "__main__":
    main()
