"""Other ways to run many attempts at once: ``python -m benchmarks.scaling.peers PEER WORK SLOTS FOLDER``.

Reads ``ATTEMPTS AMOUNT`` a line, makes them, and answers with wall seconds. What a peer loads, starts and warms up
before its first attempt is not counted, as it is not for flopwise.
"""

from __future__ import annotations

import importlib
import itertools
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, TextIO

Measure = Callable[[int, float], float]
SLEEPER = "import sys, time; time.sleep(float(sys.argv[1]))"


def raw_fork(work: str, slots: int, root: Path) -> Measure:
    """Bare forks of a process that is loaded as a keeper is, and nothing else: no result, no isolation."""
    preload, contenders = (
        importlib.import_module(name) for name in ("flopwise.executors.preload", "benchmarks.scaling.contenders")
    )
    preload.preload(contenders.hello(work, root))

    def start(amount: float) -> None:
        if os.fork() == 0:
            _do(work, amount)
            os._exit(0)

    return lambda attempts, amount: _filled(attempts, slots, lambda: start(amount))


def fresh_interpreter(work: str, slots: int, root: Path) -> Measure:
    """``python -c`` for every attempt, without torch or anything else."""

    def start(amount: float) -> None:
        # The processes are waited for by os.wait.
        subprocess.Popen([sys.executable, "-c", SLEEPER, str(amount)]).returncode = 0

    return lambda attempts, amount: _filled(attempts, slots, lambda: start(amount))


def pinned(work: str, slots: int, root: Path) -> Measure:
    """Processes that stay, one a core, pinned, one thread each: nothing is started, loaded or ended meanwhile."""
    os.environ["OMP_NUM_THREADS"] = "1"
    return _pool(work, slots, pin=True)


def oversubscribed(work: str, slots: int, root: Path) -> Measure:
    """The same without pinning, and with as many threads each as torch takes by itself."""
    os.environ.pop("OMP_NUM_THREADS", None)
    return _pool(work, slots, pin=False)


def optuna_threads(work: str, slots: int, root: Path) -> Measure:
    """``study.optimize(n_jobs=…)`` in memory: threads of one process; torch has one thread in each."""
    os.environ["OMP_NUM_THREADS"] = "1"
    optuna = importlib.import_module("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    importlib.import_module(work).warm()

    def measure(attempts: int, amount: float) -> float:
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        began = time.perf_counter()
        study.optimize(
            lambda trial: _do(work, amount) + 0.0 * trial.suggest_float("x", 0, 1), n_trials=attempts, n_jobs=slots
        )
        return time.perf_counter() - began

    return measure


def ray_tasks(work: str, slots: int, root: Path) -> Measure:
    """Ray tasks on workers that stay and are there before the clock starts."""
    ray = _start_ray(slots)
    remote = ray.remote(num_cpus=1)(_do)
    ray.get([remote.remote(work, 1.0) for _ in range(2 * slots)])

    def measure(attempts: int, amount: float) -> float:
        began = time.perf_counter()
        ray.get([remote.remote(work, amount) for _ in range(attempts)])
        return time.perf_counter() - began

    return measure


def ray_tune(work: str, slots: int, root: Path) -> Measure:
    """Ray Tune, one CPU a trial, actors reused; the cluster is up before the clock starts."""
    _start_ray(slots)
    tune = importlib.import_module("ray.tune")

    def trainable(config: dict[str, Any]) -> None:
        tune.report({"loss": _do(work, config["amount"])})

    def measure(attempts: int, amount: float) -> float:
        silent = tune.RunConfig(verbose=0, storage_path=str(root))
        how = tune.TuneConfig(num_samples=attempts, max_concurrent_trials=slots, reuse_actors=True)
        space = {"x": tune.uniform(0, 1), "amount": amount}
        began = time.perf_counter()
        results = tune.Tuner(trainable, tune_config=how, param_space=space, run_config=silent).fit()
        taken = time.perf_counter() - began
        if results.num_errors:
            raise SystemExit(str(results.errors[0]))
        return taken

    return measure


def _filled(attempts: int, slots: int, start: Callable[[], None]) -> float:
    """Wall seconds of so many children, ``slots`` at a time."""
    began = time.perf_counter()
    for number in range(attempts + slots):
        if number >= slots:
            os.wait()
        if number < attempts:
            start()
    return time.perf_counter() - began


def _pool(work: str, slots: int, *, pin: bool) -> Measure:
    context = multiprocessing.get_context("spawn")
    turn = context.Value("i", 0)
    pool = ProcessPoolExecutor(slots, context, _settle, (work, turn, pin))
    list(pool.map(_wait, [work] * slots))

    def measure(attempts: int, amount: float) -> float:
        began = time.perf_counter()
        list(pool.map(_do, [work] * attempts, itertools.repeat(amount)))
        return time.perf_counter() - began

    return measure


def _settle(work: str, turn: Synchronized[int], pin: bool) -> None:
    """A process of the pool takes its core and warms up."""
    with turn.get_lock():
        own, turn.value = turn.value, turn.value + 1
    if pin:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, [cores[own % len(cores)]])
    importlib.import_module(work).warm()


def _wait(work: str) -> None:
    """Long enough that every process of the pool has one, and so is warm."""
    time.sleep(1.0)


def _start_ray(slots: int) -> Any:
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    ray = importlib.import_module("ray")
    ray.init(num_cpus=slots, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    return ray


def _do(work: str, amount: float) -> float:
    return float(importlib.import_module(work).run({"amount": amount}))


PEERS: dict[str, Callable[[str, int, Path], Measure]] = {
    "raw fork": raw_fork,
    "python -c": fresh_interpreter,
    "pinned processes": pinned,
    "oversubscribed processes": oversubscribed,
    "Optuna, threads": optuna_threads,
    "Ray tasks": ray_tasks,
    "Ray Tune": ray_tune,
}
NEEDS = {"Ray tasks": "ray", "Ray Tune": "ray"}


def _lines() -> Iterator[tuple[int, float]]:
    for line in sys.stdin:
        attempts, amount = line.split()
        yield int(attempts), float(amount)


def _answers() -> TextIO:
    """Standard output, for answers alone: what Ray says there goes to standard error from now on."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    answers = _answers()
    measure = PEERS[sys.argv[1]](sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    print("ready", file=answers)
    for attempts, amount in _lines():
        print(measure(attempts, amount), file=answers)
