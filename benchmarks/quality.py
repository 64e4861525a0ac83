"""How good are the searchers? Their regret beside Optuna's, on four rotated functions of ten parameters.

    python benchmarks/quality.py                           all budgets: about half an hour of one core
    python benchmarks/quality.py --budgets 16              a minute

Every method gets the same functions, the same budget and the same batches: a whole batch is proposed
before any of it is told. The functions are those of Hansen et al., "Real-Parameter Black-Box
Optimization Benchmarking 2009", INRIA RR-6829 (without their distortions), on the box [-5, 5]^10: the
optimum, drawn in [-4, 4]^10, and the rotation change with the seed. The baseline that a study starts
from is the middle of the box.

Regret: 0 is the optimum, 1 is what Optuna's random search finds at the same budget; the median over
seeds for each function, then the mean over functions. Below the table, regret of ours divided by that
of Optuna's sampler of the same kind.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import optuna
from numpy.typing import NDArray

from flopwise import registry
from flopwise.space import Float, Space
from flopwise.trial import Told

DIMENSIONS = 10
LOW, HIGH = -5.0, 5.0
BATCHES = {16: 8, 120: 12, 480: 16}
"""Budget (evaluations) to batch: 2, 10 and 30 generations."""
SEEDS = {16: 80, 120: 16, 480: 5}
"""Budget to runs of each function: at small budgets it is mostly luck what is found."""

SPACE = Space({f"x{axis}": Float(LOW, HIGH) for axis in range(DIMENSIONS)})
MIDDLE = dict.fromkeys(SPACE.keys, 0.0)

Vector = NDArray[np.float64]
Evaluate = Callable[[Vector], float]


def sphere(z: Vector) -> float:
    return float(np.sum(z**2))


def ellipsoid(z: Vector) -> float:
    return float(np.sum(10.0 ** (6.0 * np.arange(len(z)) / (len(z) - 1)) * z**2))


def rosenbrock(z: Vector) -> float:
    z = z + 1.0
    return float(np.sum(100.0 * (z[:-1] ** 2 - z[1:]) ** 2 + (z[:-1] - 1.0) ** 2))


def rastrigin(z: Vector) -> float:
    return float(10.0 * (len(z) - np.sum(np.cos(2.0 * np.pi * z))) + np.sum(z**2))


FUNCTIONS = {f.__name__: f for f in (sphere, ellipsoid, rosenbrock, rastrigin)}


def instance(name: str, seed: int) -> Evaluate:
    """A function with its optimum (value 0) at a place, and turned by a rotation, of the seed's."""
    function = FUNCTIONS[name]
    draw = np.random.default_rng([seed, list(FUNCTIONS).index(name)])
    optimum = draw.uniform(-4.0, 4.0, DIMENSIONS)
    rotation, _ = np.linalg.qr(draw.standard_normal((DIMENSIONS, DIMENSIONS)))
    return lambda x: function(rotation @ (x - optimum))


def ours(method: str, evaluate: Evaluate, seed: int, budget: int, batch: int) -> float:
    """Best value that a searcher of flopwise finds."""
    kind = registry.load("searchers", method)
    searcher = kind(SPACE, seed, kind.Options(), MIDDLE, batch if kind.generational else None)
    best = np.inf
    for start in range(1, budget + 1, batch):
        proposals = searcher.ask(range(start, start + batch))
        losses = [evaluate(np.array([p.config[key] for key in SPACE.keys])) for p in proposals]
        searcher.tell([Told(p.number, p.config, p.point, loss) for p, loss in zip(proposals, losses, strict=True)])
        best = min(best, *losses)
    return float(best)


def theirs(method: str, evaluate: Evaluate, seed: int, budget: int, batch: int) -> float:
    """Best value that a sampler of Optuna's finds through its own ask and tell."""
    samplers: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed),
        "cmaes": lambda: optuna.samplers.CmaEsSampler(seed=seed, popsize=batch),
        "nsga2": lambda: optuna.samplers.NSGAIISampler(seed=seed, population_size=batch),
        "qmc": lambda: optuna.samplers.QMCSampler(seed=seed, scramble=True),
    }
    study = optuna.create_study(sampler=samplers[method]())
    box = {key: optuna.distributions.FloatDistribution(LOW, HIGH) for key in SPACE.keys}
    for _ in range(0, budget, batch):
        trials = [study.ask(box) for _ in range(batch)]
        for trial in trials:
            study.tell(trial, evaluate(np.array([trial.params[key] for key in SPACE.keys])))
    return float(study.best_value)


@dataclass(frozen=True)
class Row:
    """One method at one budget.

    Args:
        best: Function to the median of the best values over seeds.
        wall_s: Seconds of one run, evaluations included.
    """

    best: dict[str, float]
    wall_s: float


def measure(find: Callable[..., float], method: str, budget: int, seeds: int) -> Row:
    """Median of the best values over seeds, for each function."""
    began = time.perf_counter()
    best = {
        name: statistics.median(
            find(method, instance(name, seed), seed, budget, BATCHES[budget]) for seed in range(seeds)
        )
        for name in FUNCTIONS
    }
    return Row(best, (time.perf_counter() - began) / (seeds * len(FUNCTIONS)))


def regret(row: Row, random: Row) -> float:
    """Mean over functions of the best value, as a share of random search's."""
    return statistics.mean(row.best[name] / random.best[name] for name in FUNCTIONS)


def report(budget: int, seeds: int, methods: list[str]) -> None:
    """Measure one budget and print its table and ratios."""
    random = measure(theirs, "random", budget, seeds)
    print(f"\n{budget} evaluations in batches of {BATCHES[budget]}, {seeds} seeds")
    print(f"{'':24}{'regret':>8}" + "".join(f"{name:>12}" for name in FUNCTIONS) + f"{'s a run':>9}")
    ratios = []
    for method in methods:
        pair = {"Optuna": measure(theirs, method, budget, seeds), "flopwise": measure(ours, method, budget, seeds)}
        for who, row in pair.items():
            shares = "".join(f"{row.best[name] / random.best[name]:12.3f}" for name in FUNCTIONS)
            print(f"{who + ' ' + method:24}{regret(row, random):8.3f}{shares}{row.wall_s:9.2f}", flush=True)
        ratios.append(f"{method} {regret(pair['flopwise'], random) / regret(pair['Optuna'], random):.2f}")
    print("ratio flopwise / Optuna: " + " · ".join(ratios), flush=True)


def main() -> None:
    """Read the command line and print one table a budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, help="runs of each function (80, 16 and 5)")
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BATCHES), choices=list(BATCHES))
    parser.add_argument("--methods", nargs="+", default=["random", "qmc", "cmaes", "tpe", "nsga2"])
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for budget in arguments.budgets:
        report(budget, arguments.seeds or SEEDS[budget], arguments.methods)


if __name__ == "__main__":
    main()
