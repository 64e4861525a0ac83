"""How long does a proposal take? Our searchers beside Optuna's own samplers, with many results told.

    python benchmarks/ask.py                   at 100 and 1,000 results, ten parameters
    python benchmarks/ask.py --told 5000

Ours are asked as a run asks them: one result is told, one trial is asked for. Every tenth result arrives
out of order. Below each table, time of ours divided by that of Optuna's study in memory.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import optuna

from flopwise import registry
from flopwise.space import Float, Space
from flopwise.trial import Told

DIMENSIONS = 10
ASKS = 20
SPACE = Space({f"x{axis}": Float(0.0, 1.0) for axis in range(DIMENSIONS)})
BOX = {key: optuna.distributions.FloatDistribution(0.0, 1.0) for key in SPACE.keys}
METHODS: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
    "random": lambda: optuna.samplers.RandomSampler(seed=0),
    "qmc": lambda: optuna.samplers.QMCSampler(seed=0, scramble=True),
    "tpe": lambda: optuna.samplers.TPESampler(seed=0, constant_liar=False),
}


def loss(point: tuple[float, ...]) -> float:
    return sum((x - 0.3) ** 2 for x in point)


def history(count: int) -> list[Told]:
    """Even draws and their losses; every tenth swaps places with the one after it."""
    drawn = registry.load("searchers", "qmc")
    proposals = drawn(SPACE, 0, drawn.Options(), dict.fromkeys(SPACE.keys, 0.5), None).ask(range(1, count + 1))
    told = [Told(p.number, p.config, p.point, loss(p.point)) for p in proposals]
    for late in range(9, count - 1, 10):
        told[late], told[late + 1] = told[late + 1], told[late]
    return told


def ours(method: str, told: list[Told]) -> float:
    """Seconds to tell one result and ask for one trial."""
    kind = registry.load("searchers", method)
    searcher = kind(SPACE, 0, kind.Options(), dict.fromkeys(SPACE.keys, 0.5), None)
    searcher.tell(told[:-ASKS])
    searcher.ask([len(told) + 1])
    began = time.perf_counter()
    for place, result in enumerate(told[-ASKS:]):
        searcher.tell([result])
        searcher.ask([len(told) + 2 + place])
    return (time.perf_counter() - began) / ASKS


def theirs(method: str, told: list[Told]) -> float:
    """The same through Optuna's ask and tell."""
    study = optuna.create_study(sampler=METHODS[method]())
    trials = [
        optuna.trial.create_trial(params=dict(result.config), distributions=BOX, value=result.loss) for result in told
    ]
    study.add_trials(trials[:-ASKS])
    study.ask(BOX)
    began = time.perf_counter()
    for trial in trials[-ASKS:]:
        study.add_trial(trial)
        study.ask(BOX)
    return (time.perf_counter() - began) / ASKS


def main() -> None:
    """Read the command line and print one table a number of results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--told", type=int, nargs="+", default=[100, 1000], help="results told before (100 1000)")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for count in parser.parse_args().told:
        told = history(count)
        print(f"\n{count} results, {DIMENSIONS} parameters: ms to tell one and ask for one")
        for method in METHODS:
            own, other = ours(method, told), theirs(method, told)
            print(f"{method:8} flopwise {own * 1e3:8.2f}   Optuna {other * 1e3:8.2f}   ratio {own / other:.2f}")


if __name__ == "__main__":
    main()
