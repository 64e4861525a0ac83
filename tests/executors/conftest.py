"""A small engine: opens an executor, runs jobs, and keeps what it hears."""

from __future__ import annotations

import itertools
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flopwise.clock import Clock, RealClock
from flopwise.executors import cgroup
from flopwise.executors.cluster.executor import RayExecutor
from flopwise.executors.executor import Executor
from flopwise.executors.inline import InlineExecutor
from flopwise.executors.local import LocalExecutor
from flopwise.executors.simulated import SimulatedExecutor
from flopwise.executors.simulation import Options
from flopwise.executors.topology import usable_cores
from flopwise.wire import Ended, Hello, Job, KeeperLost, Measurement, Message, Progress, Ready, Reported, Slot, Started

WORKLOADS = Path(__file__).parent / "workloads_under_test"
RUDE = "import:rude:run"
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
PATIENCE_S = 30.0
"""Longer than anything here takes; reached only when something is broken."""


def is_alive(pid: int) -> bool:
    """Whether a process exists and is not just a zombie that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition: Callable[[], Any], limit_s: float = PATIENCE_S) -> Any:
    """Poll until ``condition()`` is true; its value."""
    end = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)
    return value


@dataclass
class Heard:
    """What was said about one attempt."""

    folder: Path
    messages: list[Message] = field(default_factory=list)

    def only(self, kind: type) -> Any:
        """The one message of a kind."""
        (found,) = [m for m in self.messages if isinstance(m, kind)]
        return found

    @property
    def reported(self) -> Reported | None:
        found = [m for m in self.messages if isinstance(m, Reported)]
        assert len(found) <= 1
        return found[0] if found else None

    @property
    def outcome(self) -> str | None:
        return self.reported.outcome if self.reported else None

    @property
    def ended(self) -> Ended:
        assert isinstance(self.messages[-1], Ended), "the end comes last"
        found: Ended = self.only(Ended)
        return found

    @property
    def rows(self) -> list[Measurement]:
        return [m for m in self.messages if isinstance(m, Measurement)]

    @property
    def progress(self) -> list[Progress]:
        return [m for m in self.messages if isinstance(m, Progress)]

    @property
    def started(self) -> Started:
        found: Started = self.only(Started)
        return found

    def pids(self) -> list[int]:
        """Processes that the attempt left behind, as it wrote them down."""
        return [int(word) for word in (self.folder / "pids").read_text().split()]


class Bench:
    """An executor and a folder for its attempts.

    Args:
        executor: Not open yet.
        root: Holds stamps, log and attempts.
        **hello: Fields of ``Hello`` that differ from the usual.
    """

    def __init__(self, executor: Executor, root: Path, **hello: Any) -> None:
        self.executor = executor
        self.root = root
        fields: dict[str, Any] = {
            "run_id": secrets.token_hex(8),
            "stamps": str(root / "keeper.jsonl"),
            "sys_path": (str(WORKLOADS), *sys.path),
            "preload": ("flopwise.workloads.function.run",),
            "objective": RUDE,
            "folder": str(Path.cwd()),
        }
        self.hello = Hello(**{**fields, **hello})
        self.heard: dict[str, Heard] = {}
        self.lost: list[KeeperLost] = []
        self._numbers = itertools.count(1)

    @property
    def clock(self) -> Clock:
        """What the executor's stamps are read from: virtual time of its own, or the machine's."""
        return self.executor.traits.clock or RealClock()

    @property
    def writes_summaries(self) -> bool:
        """Whether an attempt leaves ``summary.json`` on disk; a simulated one leaves nothing."""
        return not isinstance(self.executor, SimulatedExecutor)

    def open(self) -> Ready:
        return self.executor.open(self.hello)

    def start(self, do: str = "behave", *, slot: int = 0, job: dict[str, Any] | None = None, **config: Any) -> str:
        """Start an attempt of a rude function; its name."""
        name = f"t{next(self._numbers):04d}.s0.a1"
        folder = self.root / name
        folder.mkdir(mode=0o700)
        self.heard[name] = Heard(folder)
        fields: dict[str, Any] = {
            "attempt": name,
            "kind": "evaluate",
            "workload": "function",
            "config": {"do": do, **config},
            "stop": {},
            "seed": 7,
            "slot": self.executor.slots[slot],
            "folder": str(folder),
            "cache": str(self.root),
            "metric": "loss",
            "grace_s": 0.2,
        }
        self.executor.start(Job(**{**fields, **(job or {})}))
        return name

    def listen(self, until: Callable[[], Any]) -> None:
        """Take messages until ``until()`` is true."""
        end = time.monotonic() + PATIENCE_S
        while not until():
            assert time.monotonic() < end, f"waited in vain; heard {self.heard}"
            for message in self.executor.poll(1.0):
                if isinstance(message, KeeperLost):
                    self.lost.append(message)
                elif not (isinstance(message, Progress) and not message.attempt):  # else a word for the user
                    self.heard[message.attempt].messages.append(message)  # type: ignore[attr-defined]

    def finish(self, *names: str) -> Heard:
        """Listen until all of these have ended; what was said about the last one."""
        self.listen(lambda: all(self.has(name, Ended) for name in names))
        return self.heard[names[-1]]

    def has(self, name: str, kind: type) -> bool:
        return any(isinstance(m, kind) for m in self.heard[name].messages)

    def run(self, do: str = "behave", *, job: dict[str, Any] | None = None, **config: Any) -> Heard:
        """One attempt from start to end."""
        return self.finish(self.start(do, job=job, **config))

    def start_and_hear(self, do: str, *, job: dict[str, Any] | None = None, **config: Any) -> str:
        """Start an attempt and wait for its first row: by then it is in the middle of it."""
        name = self.start(do, job=job, **config)
        self.listen(lambda: self.has(name, Measurement))
        return name


def execution(address: str, **options: Any) -> dict[str, Any]:
    """A study's section for a Ray cluster."""
    return {"slots": None, "threads": 1, "options": {"address": address, "lost_after": 5.0, **options}}


@pytest.fixture(scope="session")
def bench_class() -> type[Bench]:
    """For benches with an executor of their own."""
    return Bench


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray cluster of two nodes of one core each, on this machine."""
    found = pytest.importorskip("ray.cluster_utils").Cluster(initialize_head=True, head_node_args=NODE)
    found.add_node(**NODE)
    yield found
    found.shutdown()


def two_slots() -> tuple[Slot, ...]:
    """Two slots, on the same core where there is only one."""
    cores = usable_cores()
    return Slot(0, cores[:1], 1), Slot(1, cores[-1:], 1)


BenchMaker = Callable[..., Bench]


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[BenchMaker]:
    """``make_bench(**hello)``: a bench with a local executor that is not open yet."""
    made: list[Bench] = []

    def make(executor: Executor | None = None, **hello: Any) -> Bench:
        made.append(Bench(executor or LocalExecutor(two_slots()), tmp_path, **hello))
        return made[-1]

    yield make
    for bench in made:
        bench.executor.close()


@pytest.fixture(scope="module")
def make_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BenchMaker]:
    """``make_local(**hello)``: as ``local``, with a ``Hello`` of the module's own; open."""
    made: list[Bench] = []

    def make(**hello: Any) -> Bench:
        made.append(Bench(LocalExecutor(two_slots()), tmp_path_factory.mktemp("local"), **hello))
        made[-1].open()
        return made[-1]

    yield make
    for bench in made:
        bench.executor.close()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One keeper for all tests of a module: what one attempt does must not touch the next."""
    bench = Bench(LocalExecutor(two_slots()), tmp_path_factory.mktemp("local"))
    bench.open()
    yield bench
    bench.executor.close()


@pytest.fixture(scope="module", params=["local", "inline", "simulated", pytest.param("ray", marks=pytest.mark.cluster)])
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Each member of the family in turn; ``simulated`` runs the workload and makes up its time."""
    kinds: dict[str, Callable[[Any], Executor]] = {
        "local": LocalExecutor,
        "inline": InlineExecutor,
        "simulated": lambda slots: SimulatedExecutor(slots, Options(seconds=1.0)),
        "ray": lambda _: RayExecutor.from_study(execution(request.getfixturevalue("cluster").address)),
    }
    bench = Bench(kinds[request.param](two_slots()), tmp_path_factory.mktemp(request.param))
    sys.path.insert(0, str(WORKLOADS))
    bench.open()
    yield bench
    bench.executor.close()
    sys.path.remove(str(WORKLOADS))


@dataclass(frozen=True)
class Processes:
    """Questions about processes."""

    is_alive = staticmethod(is_alive)
    wait_for = staticmethod(wait_for)

    @staticmethod
    def wait_until_calm(*pids: int) -> None:
        """Until all of these have been asleep at twenty looks in a row."""
        calm = 0
        end = time.monotonic() + PATIENCE_S
        while calm < 20:
            assert time.monotonic() < end, "they never rested"
            states = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] for pid in pids]
            calm = calm + 1 if set(states) == {"S"} else 0
            time.sleep(0.005)

    @staticmethod
    def state(pid: int) -> str:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]

    @staticmethod
    def parent(pid: int) -> int:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])

    @staticmethod
    def memory_bytes(pid: int) -> int:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    @staticmethod
    def groups_of(run_id: str) -> list[str]:
        """Folders of a run's control groups, anywhere."""
        name = cgroup.name_of(run_id)
        walks = [os.walk(hierarchy.top) for hierarchy in cgroup.hierarchies()]
        return [str(Path(folder) / name) for walk in walks for folder, inside, _ in walk if name in inside]

    @staticmethod
    def descriptors(pid: int) -> int:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.fixture(scope="session")
def processes() -> Processes:
    """What is alive, who is whose parent, and how much they hold."""
    return Processes()
