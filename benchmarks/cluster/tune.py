"""Ray Tune on the same cluster: ``tune.py WORK COUNT SLOTS`` prints wall seconds of COUNT trials."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ray
from ray import tune

sys.path.insert(0, str(Path(__file__).parent))

from work import WORK


def main(work: str, count: int, slots: int) -> float:
    """Wall seconds; joining the cluster, and a first trial, are not counted."""
    function = WORK[work]

    def trainable(config: dict[str, Any]) -> None:
        tune.report({"loss": function(config)})

    runtime = {"env_vars": {"PYTHONPATH": str(Path(__file__).parent)}}
    ray.init(address=os.environ["RAY_ADDRESS"], log_to_driver=False, logging_level="ERROR", runtime_env=runtime)
    taken = 0.0
    for trials in (1, count):
        silent = tune.RunConfig(verbose=0, storage_path=tempfile.mkdtemp())
        config = tune.TuneConfig(num_samples=trials, max_concurrent_trials=slots)
        began = time.perf_counter()
        tuner = tune.Tuner(trainable, tune_config=config, param_space={"x": tune.uniform(0, 1)}, run_config=silent)
        results = tuner.fit()
        taken = time.perf_counter() - began
        if results.num_errors:
            raise SystemExit(str(results.errors[0]))
    return taken


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
