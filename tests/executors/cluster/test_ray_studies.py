"""Whole studies on a Ray cluster whose parts are killed: the same proposals, nothing lost but what was running there.

``CLUSTER_KILLS`` says how many kills one run gets; ``CLUSTER_SEED`` draws other moments.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flopwise.engine.verify import verify
from flopwise.events import AttemptEnded, TrialProposed
from flopwise.journal.log import read_events
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder
from flopwise.trial import Outcome

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]
KILLS = int(os.environ.get("CLUSTER_KILLS", "3"))
SEED = int(os.environ.get("CLUSTER_SEED", "0"))
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
NODES = 3
GENERATIONS = 3 + KILLS // 4
PARTS = ("attempt", "keeper", "host", "raylet")
SCRIPT = """
import sys, time, flopwise

def objective(config, context):
    for step in range(10):
        context.report(step, loss=9.0)
        time.sleep(0.05)
    return (config["x"] - 0.3) ** 2 + 0.1 * config["y"] + 0.01 * (context.seed % 7)

flopwise.Study(
    name="valley",
    space={"x": flopwise.Float(0.0, 1.0), "y": flopwise.Float(0.0, 1.0)},
    objective=objective,
    search="cmaes",
    tiers={"only": {"population": 6, "generations": int(sys.argv[2])}},
    execution={"executor": sys.argv[1], "slots": 3 if sys.argv[1] == "ray" else 1, "retries": 20, "grace": 5.0},
    policies={"crash_rate": False, "throughput": False},
).run(quiet=True)
"""


class Study:
    """The study as a script in a folder of its own."""

    def __init__(self, root: Path, generations: int = GENERATIONS) -> None:
        self.root = root
        self.generations = generations
        root.mkdir(exist_ok=True)
        (root / "study.py").write_text(SCRIPT)

    def start(self, executor: str, address: str = "") -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "study.py", executor, str(self.generations)],
            cwd=self.root,
            env={**os.environ, "RAY_ADDRESS": address},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.root / "runs" / "valley")

    @property
    def events(self) -> list[Any]:
        return read_events(self.folder.journal)[0] if self.folder.journal.exists() else []

    @property
    def proposals(self) -> list[tuple[int, Any]]:
        return [(e.number, e.config) for e in self.events if isinstance(e, TrialProposed)]

    @property
    def results(self) -> dict[tuple[int, int], Any]:
        state = RunState(self.events)
        return {(n, i): end.metrics for n, trial in state.trials.items() for i, end in enumerate(trial.finals()) if end}

    def running(self) -> list[int]:
        """Processes of attempts that have begun and not ended."""
        lines = self.folder.stamps.read_text().splitlines() if self.folder.stamps.exists() else []
        stamps = [json.loads(line) for line in lines if line.endswith("}")]
        ended = {s["attempt"] for s in stamps if s["event"] == "end"}
        began = [s for s in stamps if s["event"] == "start" and s["attempt"] not in ended]
        return [s["pid"] for s in began if is_there(s["pid"])]

    def survivors(self) -> list[int]:
        created = RunState(self.events).created
        assert created is not None
        mark = f"FLOPWISE_RUN={created.run_id}.".encode()
        return [pid for pid in numbers() if any(part.startswith(mark) for part in environment(pid))]


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def numbers() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def above(attempt: int, part: str) -> int:
    """The process of a part: attempt, keeper, (its guard,) host, raylet, each the parent of the one before."""
    pid = attempt
    for _ in range({"attempt": 0, "keeper": 1, "host": 3, "raylet": 4}[part]):
        pid = parent(pid)
    return pid


def until(condition: Callable[[], Any], limit_s: float, what: str) -> Any:
    end = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The same study on this machine, undisturbed."""
    study = Study(tmp_path_factory.mktemp("calm"))
    process = study.start("local")
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return study


@pytest.fixture
def make_cluster() -> Iterator[Callable[[], Any]]:
    made: list[Any] = []

    def make() -> Any:
        made.append(pytest.importorskip("ray.cluster_utils").Cluster(initialize_head=True, head_node_args=NODE))
        for _ in range(NODES - 1):
            made[-1].add_node(**NODE)
        return made[-1]

    yield make
    for cluster in made:
        cluster.shutdown()


def same(study: Study, calm: Study) -> None:
    """Everything that a disturbed run has to have in common with a calm one; the sums are checked from the journal."""
    assert study.proposals == calm.proposals
    assert study.results == calm.results
    assert verify(study.folder) == []
    for end in (e for e in study.events if isinstance(e, AttemptEnded)):
        assert end.outcome == Outcome.OK or end.lost or "SIGKILL" in end.cause or end.interrupted, end
    until(lambda: not study.survivors(), 10.0, f"survivors {study.survivors()}")


def test_kills_at_random_moments_change_nothing(calm: Study, make_cluster: Any, tmp_path: Path) -> None:
    draw = random.Random(SEED)
    cluster, study = make_cluster(), Study(tmp_path / "ray")
    process = study.start("ray", cluster.address)
    done: list[str] = []
    began = time.monotonic()
    while process.poll() is None and len(done) < KILLS:
        time.sleep(draw.uniform(0.2, 2.5))
        running, part = study.running(), PARTS[len(done) % len(PARTS)]
        if not running or process.poll() is not None:
            assert time.monotonic() - began < 900
            continue
        attempt = draw.choice(running)
        try:
            victim = above(attempt, part)
            os.kill(victim, signal.SIGKILL)
        except (OSError, IndexError):
            continue
        done.append(part)
        until(lambda attempt=attempt: not is_there(attempt), 10.0, f"the attempt below a killed {part}")
        if part == "raylet":
            cluster.add_node(**NODE)
            time.sleep(2.0)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    lost = [e.lost for e in study.events if isinstance(e, AttemptEnded) and e.lost]
    print(f"{len(done)} kills ({', '.join(done)}), {len(lost)} attempts lost", file=sys.stderr)
    assert len(done) == KILLS and len(lost) >= KILLS - done.count("attempt")
    same(study, calm)


def test_a_run_goes_on_with_a_new_cluster_when_the_head_was_lost(
    calm: Study, make_cluster: Any, tmp_path: Path
) -> None:
    cluster, study = make_cluster(), Study(tmp_path / "ray")
    process = study.start("ray", cluster.address)
    until(lambda: len(study.proposals) >= 1 and study.running(), 300.0, "the first proposal")
    victims = study.running()
    head = [info.process.pid for kind in ("gcs_server", "raylet") for info in cluster.head_node.all_processes[kind]]
    for pid in {*head, *(above(attempt, "raylet") for attempt in victims)}:
        os.kill(pid, signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0 and "ExecutorError" in output, output
    until(lambda: not any(map(is_there, victims)) and not study.survivors(), 10.0, "what outlived the head")
    cluster.shutdown()
    again = study.start("ray", make_cluster().address)
    output, _ = again.communicate(timeout=600)
    assert again.returncode == 0, output
    same(study, calm)
