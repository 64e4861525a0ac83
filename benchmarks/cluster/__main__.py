"""What a cluster costs: ``python -m benchmarks.cluster``, the local executor and Ray Tune in the same run.

Two nodes of one core each on this machine, two slots in all. ``second`` sleeps one second, so what is measured is how
well slots are kept busy; ``nothing`` returns at once, so what is left is the executor's. All take turns in
every round. Ray Tune runs where it is installed (``pip install 'ray[tune]'``), on the same cluster; as by its
default, a trial may get a process that another one has used.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster

from flopwise.executors.cluster.executor import RayExecutor
from flopwise.executors.local import LocalExecutor
from flopwise.executors.slots import Share, make_slots
from flopwise.executors.topology import topology
from flopwise.trial import AttemptId, Outcome
from flopwise.wire import Ended, Hello, Job, Reported

HERE = Path(__file__).parent
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
SLOTS = 2
COUNTS = {"second": 20, "nothing": 100}
TUNE_COUNTS = {"second": 20, "nothing": 20}
LEAST_RATE = 0.90
MOST_ADDED_MS = 20.0


class Contender:
    """Attempts through an executor of ours."""

    def __init__(self, executor: Any, root: Path, work: str) -> None:
        self._executor, self._root, self._round = executor, root, 0
        root.mkdir()
        executor.open(
            Hello(
                run_id=f"cluster{os.getpid()}{root.name}",
                stamps=str(root / "keeper.jsonl"),
                sys_path=(str(HERE), *sys.path),
                preload=("flopwise.workloads.function.run",),
                objective=f"import:work:{work}",
                folder=str(HERE),
            )
        )

    def measure_s(self, count: int) -> float:
        """Wall seconds of ``count`` attempts."""
        self._round += 1
        began = time.perf_counter()
        waiting = [str(AttemptId(self._round, 0, attempt)) for attempt in range(1, count + 1)]
        free = list(self._executor.slots)
        busy: dict[str, Any] = {}
        while waiting or busy:
            while waiting and free:
                busy[waiting[-1]] = free[-1]
                self._executor.start(self._job(waiting.pop(), free.pop()))
            for message in self._executor.poll(10.0):
                if isinstance(message, Reported) and message.outcome != Outcome.OK:
                    raise SystemExit(f"{message.attempt}: {message.cause}")
                if isinstance(message, Ended):
                    free.append(busy.pop(message.attempt))
        return time.perf_counter() - began

    def close(self) -> None:
        """End what it started."""
        self._executor.close()

    def _job(self, attempt: str, slot: Any) -> Job:
        folder = self._root / attempt
        folder.mkdir(mode=0o700)
        return Job(attempt, "evaluate", "function", {"x": 1}, {}, 0, slot, str(folder), str(self._root), metric="loss")


def tune_s(work: str, address: str) -> float:
    """Wall seconds of Ray Tune's trials."""
    words = [sys.executable, str(HERE / "tune.py"), work, str(TUNE_COUNTS[work]), str(SLOTS)]
    environment = {**os.environ, "RAY_ADDRESS": address, "RAY_AIR_NEW_OUTPUT": "0"}
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.split()[-1])


def measure(work: str, rounds: int, address: str, root: Path) -> dict[str, list[float]]:
    """Milliseconds an attempt, by contender, one figure a round."""
    found: dict[str, list[float]] = {"local": [], "ray": [], "Ray Tune": []}
    for number in range(rounds):
        section = {"slots": SLOTS, "threads": 1, "options": {"address": address}}
        for name in ("local", "ray"):
            made: Any = LocalExecutor(make_slots(topology(), Share(slots=SLOTS)))
            contender = Contender(
                made if name == "local" else RayExecutor.from_study(section), root / f"{work}{number}{name}", work
            )
            contender.measure_s(2 * SLOTS)
            found[name].append(1000 * contender.measure_s(COUNTS[work]) / COUNTS[work])
            contender.close()
        if find_spec("ray.tune") is not None and find_spec("tensorboardX") is not None and number == 0:
            found["Ray Tune"].append(1000 * tune_s(work, address) / TUNE_COUNTS[work])
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    try:
        cluster.add_node(**NODE)
        with tempfile.TemporaryDirectory() as folder:
            figures = {work: measure(work, rounds, cluster.address, Path(folder)) for work in COUNTS}
    finally:
        cluster.shutdown()
    print(f"{'ms per attempt, 2 slots':26}" + "".join(f"{work:>22}" for work in figures))
    for name in ("local", "ray", "Ray Tune"):
        cells = [f"{statistics.median(f[name]):.1f} ({min(f[name]):.1f})" if f[name] else "-" for f in figures.values()]
        print(f"{name:26}" + "".join(f"{cell:>22}" for cell in cells))
    rate = statistics.median(figures["second"]["local"]) / statistics.median(figures["second"]["ray"])
    added = SLOTS * (statistics.median(figures["nothing"]["ray"]) - statistics.median(figures["nothing"]["local"]))
    print(f"rate for 1 s attempts: {rate:.1%} of local's; target {LEAST_RATE:.0%}: {_word(rate >= LEAST_RATE)}")
    print(f"added by a cluster: {added:.1f} ms an attempt; target {MOST_ADDED_MS:g}: {_word(added <= MOST_ADDED_MS)}")


def _word(met: bool) -> str:
    return "met" if met else "missed"


if __name__ == "__main__":
    main()
