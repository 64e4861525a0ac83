"""Other ways to give every attempt a process of its own: ``peers.py PEER WORK SLOTS``.

Reads a number of attempts a line, makes them, and answers with wall seconds. What a peer loads before its
first attempt is not counted, as it is not for flopwise.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FRESH = f"import sys; sys.path.insert(0, {str(HERE)!r}); import work; work.WORK[sys.argv[1]]()"

Measure = Callable[[int], float]


def fresh_interpreter(work: str, slots: int) -> Measure:
    """``python -c "import torch; …"``, ``slots`` at a time."""

    def measure(count: int) -> float:
        began = time.perf_counter()
        running: list[subprocess.Popen[bytes]] = []
        for _ in range(count):
            running.append(subprocess.Popen([sys.executable, "-c", FRESH, work]))
            if len(running) == slots:
                running.pop(0).wait()
        for process in running:
            process.wait()
        return time.perf_counter() - began

    return measure


def spawn_pool(work: str, slots: int) -> Measure:
    """``concurrent.futures`` with spawned processes, one task each."""

    def measure(count: int) -> float:
        context = multiprocessing.get_context("spawn")
        began = time.perf_counter()
        with ProcessPoolExecutor(slots, mp_context=context, max_tasks_per_child=1) as pool:
            list(pool.map(_do, [work] * count))
        return time.perf_counter() - began

    return measure


def raw_fork(work: str, slots: int) -> Measure:
    """``os.fork`` of a process with torch loaded and warm, and nothing else: no result, no isolation."""
    importlib.import_module("torch._dynamo")
    importlib.import_module("torch").set_num_threads(1)
    _do(work)
    gc.collect()
    gc.freeze()

    def measure(count: int) -> float:
        began = time.perf_counter()
        for number in range(count + slots):
            if number >= slots:
                os.wait()
            if number < count and os.fork() == 0:
                _do(work)
                os._exit(0)
        return time.perf_counter() - began

    return measure


def ray_task(work: str, slots: int) -> Measure:
    """A Ray task in a worker process that serves one task only."""
    ray = _start_ray(slots)
    remote = ray.remote(max_calls=1, num_cpus=1)(_do)

    def measure(count: int) -> float:
        began = time.perf_counter()
        ray.get([remote.remote(work) for _ in range(count)])
        return time.perf_counter() - began

    return measure


def ray_tune(work: str, slots: int) -> Measure:
    """Ray Tune with a function trainable, one CPU a trial; the cluster is up before the clock starts."""
    _start_ray(slots)
    tune = importlib.import_module("ray.tune")

    def trainable(config: dict[str, Any]) -> None:
        tune.report({"loss": _do(work)})

    def measure(count: int) -> float:
        silent = tune.RunConfig(verbose=0, storage_path=tempfile.mkdtemp())
        config = tune.TuneConfig(num_samples=count, max_concurrent_trials=slots)
        space = {"x": tune.uniform(0, 1)}
        began = time.perf_counter()
        results = tune.Tuner(trainable, tune_config=config, param_space=space, run_config=silent).fit()
        taken = time.perf_counter() - began
        if results.num_errors:
            raise SystemExit(str(results.errors[0]))
        return taken

    return measure


def _start_ray(slots: int) -> Any:
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    os.environ["PYTHONPATH"] = str(HERE)
    ray = importlib.import_module("ray")
    ray.init(num_cpus=slots, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    return ray


def syne_tune(work: str, slots: int) -> Measure:
    """Syne Tune's local backend, polling every 0.05 s, not 5 s; a trial more than asked for counts as one."""
    tuner, backend, baselines, space = (
        importlib.import_module(f"syne_tune{name}")
        for name in ("", ".backend", ".optimizer.baselines", ".config_space")
    )
    logging.disable(logging.INFO)
    os.environ["SYNETUNE_FOLDER"] = tempfile.mkdtemp()
    config = {"work": work, "x": space.uniform(0, 1)}

    def measure(count: int) -> float:
        job = tuner.Tuner(
            trial_backend=backend.LocalBackend(entry_point=str(HERE / "reporting.py"), rotate_gpus=False),
            scheduler=baselines.RandomSearch(config, metrics=["loss"], do_minimize=True),
            stop_criterion=tuner.StoppingCriterion(max_num_trials_started=count),
            n_workers=slots,
            sleep_time=0.05,
            print_update_interval=1e9,
            results_update_interval=1e9,
            save_tuner=False,
            wait_trial_completion_when_stopping=True,
        )
        began = time.perf_counter()
        with contextlib.redirect_stdout(sys.stderr):
            job.run()
        taken = time.perf_counter() - began
        return taken * count / job.tuning_status.num_trials_started

    return measure


def _do(work: str) -> float:
    return float(importlib.import_module("work").WORK[work]())


PEERS = {
    "raw fork": raw_fork,
    "fresh interpreter": fresh_interpreter,
    "spawn pool": spawn_pool,
    "Ray task": ray_task,
    "Ray Tune": ray_tune,
    "Syne Tune": syne_tune,
}

if __name__ == "__main__":
    measure = PEERS[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
    print("ready", flush=True)
    for line in sys.stdin:
        print(measure(int(line)), flush=True)
