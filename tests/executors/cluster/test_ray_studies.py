"""Whole studies on a Ray cluster whose parts are killed: the same proposals, nothing lost but what was running there.

``CLUSTER_KILLS`` says how many kills of every kind there are; ``CLUSTER_SEED`` draws other moments. ``scripts/test
kills`` has twenty in all, and prints what came of them.
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flopwise.engine.verify import verify
from flopwise.events import AttemptEnded, AttemptStarted, LateResult, TrialProposed
from flopwise.executors.cluster import scratch
from flopwise.journal.log import read_events
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder
from flopwise.trial import AttemptId, Outcome

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]
KILLS = int(os.environ.get("CLUSTER_KILLS", "1"))
SEED = int(os.environ.get("CLUSTER_SEED", "0"))
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
NODES = 3
GENERATIONS = 2 + 3 * KILLS
LONGEST_S = 4.0
"""Between two kills, beyond what it takes until attempts run again."""

GONE_S = 10.0
"""How long processes may outlive what ran them."""

ABOVE = {"attempt": 0, "keeper": 1, "host": 3, "raylet": 4}
"""Parents of an attempt: keeper, (its guard,) host, raylet."""

KINDS = (*ABOVE, "head")
WORK = """
import time

def objective(config, context):
    for step in range(10):
        context.report(step, loss=9.0)
        time.sleep(0.08)
    return (config["x"] - 0.3) ** 2 + 0.1 * config["y"] + 0.01 * (context.seed % 7)
"""
SCRIPT = """
import sys, flopwise, work

ON_RAY = {"executor": "ray", "slots": 3, "options": {"lost_after": 3.0}}

flopwise.Study(
    name="valley",
    space={"x": flopwise.Float(0.0, 1.0), "y": flopwise.Float(0.0, 1.0)},
    objective=work.objective,
    search="cmaes",
    tiers={"only": {"population": 6, "generations": int(sys.argv[2])}},
    execution={**(ON_RAY if sys.argv[1] == "ray" else {"slots": 1}), "retries": 20, "grace": 5.0},
    policies={"crash_rate": False, "throughput": False},
).run(quiet=True)
"""


class Study:
    """The study as a script in a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        (root / "work.py").write_text(WORK)
        (root / "study.py").write_text(SCRIPT)

    def start(self, executor: str, address: str = "") -> subprocess.Popen[str]:
        return self._begin(["study.py", executor, str(GENERATIONS)], address)

    def resume(self, address: str) -> subprocess.Popen[str]:
        return self._begin(["-m", "flopwise.cli", "resume", "valley", "--quiet"], address)

    def _begin(self, words: list[str], address: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *words],
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

    @property
    def ends(self) -> list[AttemptEnded]:
        return [event for event in self.events if isinstance(event, AttemptEnded)]

    def running(self) -> dict[str, int]:
        """Attempts that have begun and not ended, and their processes."""
        lines = self.folder.stamps.read_text().splitlines() if self.folder.stamps.exists() else []
        stamps = [json.loads(line) for line in lines if line.endswith("}")]
        ended = {s["attempt"] for s in stamps if s["event"] == "end"}
        began = [s for s in stamps if s["event"] == "start" and s["attempt"] not in ended]
        return {s["attempt"]: s["pid"] for s in began if is_there(s["pid"])}

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


def line_of(attempt: int) -> list[int]:
    """An attempt's process and those above it, up to its node's raylet."""
    line = [attempt]
    while len(line) <= ABOVE["raylet"]:
        line.append(parent(line[-1]))
    return line


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


@pytest.fixture(scope="module")
def table() -> Iterator[list[list[Any]]]:
    """A row a kind; printed at the end (``-s``)."""
    rows: list[list[Any]] = []
    yield rows
    print("\n| killed -9 | n | attempts lost | others that failed | gone after at most | run again elsewhere |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")


@dataclass
class Killer:
    """Kills one kind of thing below a study that runs.

    Attributes:
        victims: Attempts that ran where something was killed.
        slowest_s: Until the last process of any of them was gone.
    """

    kind: str
    study: Study
    make_cluster: Callable[[], Any]
    draw: random.Random
    victims: set[str] = field(default_factory=set)
    slowest_s: float = 0.0

    def run(self) -> None:
        """The study from start to end, with so many kills on the way."""
        self.cluster = self.make_cluster()
        process = self.study.start("ray", self.cluster.address)
        for _ in range(KILLS):
            until(self.study.running, 120.0, "an attempt")
            time.sleep(self.draw.uniform(0.0, LONGEST_S))
            until(self._strike, 120.0, "anything to kill")
            if self.kind == "head":
                output, _ = process.communicate(timeout=60)
                assert process.returncode != 0 and "no answer from the Ray cluster" in output, output
                until(lambda: not self.study.survivors(), GONE_S, f"survivors {self.study.survivors()}")
                self.cluster.shutdown()
                self.cluster = self.make_cluster()
                process = self.study.resume(self.cluster.address)
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 0, output

    def _strike(self) -> bool:
        """Kill one; False where there is nothing to kill at the moment."""
        running = self.study.running()
        lines = {}
        for name, pid in running.items():
            try:
                lines[name] = line_of(pid)
            except (OSError, IndexError):
                return False
        if self.kind == "raylet":
            lines = {name: line for name, line in lines.items() if line[-1] not in self._head}
        if not lines:
            return False
        chosen = self.draw.choice(sorted(lines))
        struck = sorted(lines) if self.kind == "head" else [chosen]
        self.victims |= set(struck)
        for pid in self._head if self.kind == "head" else [lines[chosen][ABOVE[self.kind]]]:
            os.kill(pid, signal.SIGKILL)
        self._see_them_go([pid for name in struck for pid in lines[name][: ABOVE.get(self.kind, ABOVE["host"] + 1)]])
        if self.kind == "raylet":
            self.cluster.add_node(**NODE)
        return True

    @property
    def _head(self) -> list[int]:
        """The head node's processes that hold the cluster together."""
        node = self.cluster.head_node
        return [info.process.pid for kind in ("gcs_server", "raylet") for info in node.all_processes[kind]]

    def _see_them_go(self, below: list[int]) -> None:
        began = time.monotonic()
        until(lambda: not any(map(is_there, below)), GONE_S, f"{below}, below a killed {self.kind}")
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)


def same(study: Study, calm: Study) -> None:
    """Everything that a disturbed run has to have in common with a calm one; the sums are checked from the journal."""
    assert study.proposals == calm.proposals
    assert study.results == calm.results
    assert verify(study.folder) == []
    until(lambda: not study.survivors(), GONE_S, f"survivors {study.survivors()}")
    assert scratch.sweep() == [], "what killed hosts leave is removed by the next"


def elsewhere(study: Study) -> int:
    """How many attempts lost with their node were run again on another one; all have to be."""
    state = RunState(study.events)
    started = {e.attempt: e for e in study.events if isinstance(e, AttemptStarted)}
    count = 0
    for end in (end for end in study.ends if end.lost == "node"):
        attempt = AttemptId.parse(end.attempt)
        again = started[str(AttemptId(attempt.trial, attempt.seed_index, attempt.attempt + 1))]
        assert host(state, again) != host(state, started[end.attempt]), again
        count += 1
    return count


def host(state: RunState, start: AttemptStarted) -> Any:
    session = next(each for each in state.sessions if each.opened.session == start.session)
    return session.opened.slots[start.slot]["host"]


@pytest.mark.parametrize("kind", KINDS)
def test_kills_at_random_moments_change_nothing(
    kind: str, calm: Study, make_cluster: Any, tmp_path: Path, table: list[list[Any]]
) -> None:
    killer = Killer(kind, Study(tmp_path / "ray"), make_cluster, random.Random(f"{SEED} {kind}"))
    killer.run()
    study = killer.study
    failed = [end for end in study.ends if end.outcome != Outcome.OK]
    others = [end for end in failed if end.attempt not in killer.victims and not end.lost and not end.interrupted]
    assert others == [], "no other attempt fails"
    assert kind == "head" or len(failed) <= KILLS, "there is one slot a node"
    assert all(end.device_s > 0.0 for end in failed if end.attempt in killer.victims), "what is lost is charged"
    same(study, calm)
    again = elsewhere(study) if kind not in ("attempt", "head") else "-"
    table.append([kind, KILLS, len(failed), len(others), f"{killer.slowest_s:.2f} s", again])


def test_a_node_that_was_cut_off_returns_with_a_result_that_counts_for_nothing(
    calm: Study, make_cluster: Any, tmp_path: Path
) -> None:
    study = Study(tmp_path / "ray")
    process = study.start("ray", make_cluster().address)
    until(lambda: study.proposals and study.running(), 120.0, "an attempt")
    cut_off, pid = sorted(study.running().items())[-1]
    silent = line_of(pid)[ABOVE["host"]]
    os.kill(silent, signal.SIGSTOP)
    until(lambda: any(end.attempt == cut_off for end in study.ends), 60.0, "its loss")
    os.kill(silent, signal.SIGCONT)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    (lost,) = [end for end in study.ends if end.outcome != Outcome.OK]
    assert (lost.attempt, lost.lost) == (cut_off, "node")
    (late,) = [event for event in study.events if isinstance(event, LateResult)]
    assert (late.attempt, late.outcome) == (cut_off, Outcome.OK)
    assert elsewhere(study) == 1
    same(study, calm)
