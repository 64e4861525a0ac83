"""Small studies that a coordinator of its own works on, what must hold of them after any fault, and how often to try.

A fault test is written once and runs as often as its mark says: ``@pytest.mark.fault("F1", suite=5, long=60)`` gives
it ``rounds`` of 5 in the suite and of 60 behind ``scripts/test faults``, which prints a table of what came of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
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
from flopwise.events import AttemptEnded, AttemptStarted, Event, RunCreated, TrialProposed
from flopwise.executors.sweep import marked
from flopwise.executors.topology import usable_cores
from flopwise.journal.lock import holder
from flopwise.journal.log import read_events
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder

collect_ignore = ["coordinators"]  # programs that run on their own

COORDINATORS = Path(__file__).parent / "coordinators"
HANGS_S = 60.0
"""Longer than anything here takes; reached only when something is broken."""
GONE_S = 10.0
"""How long processes may outlive their coordinator."""

STUDY: dict[str, Any] = {
    "name": "valley",
    "workload": "function",
    "base": {"do": "behave"},
    "space": {"x": {"type": "float", "low": -10.0, "high": 10.0}, "n": {"type": "int", "low": 1, "high": 4}},
    "objective": {"metric": "loss", "direction": "minimize"},
    "search": {"method": "cmaes", "seed": 1},
    "tiers": {"only": {"population": 4, "generations": 2}},
    "confirm": {"top": 2, "seeds": 2},
    "calibration": {"seeds": 2},
    "execution": {"executor": "local", "slots": min(2, len(usable_cores())), "price_per_hour": 1.0},
}


def merged(study: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Sections of mappings are merged, others replaced."""
    both = {key: {**study[key], **value} for key, value in changes.items() if key in ("base", "execution")}
    return {**study, **changes, **both}


class Coordinators:
    """One process that forks coordinators (``coordinators/serve.py``), one at a time."""

    def __init__(self) -> None:
        self._running = False
        self._pidfd: int | None = None
        paths = [str(COORDINATORS), *sys.path]
        self._server = subprocess.Popen(
            [sys.executable, str(COORDINATORS / "serve.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )

    def start(self, order: dict[str, Any]) -> int:
        """Process id of a new coordinator; one that a failed test left running is killed first."""
        assert self._server.stdin is not None
        if self._running:
            self.send(signal.SIGKILL)
            self.status()
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        pid = self._line()
        self._running = True
        with contextlib.suppress(ProcessLookupError):
            self._pidfd = os.pidfd_open(pid)
        return pid

    def send(self, number: int) -> None:
        """Send a signal to the one started last, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            if self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd, number)

    def status(self) -> int:
        """Of the one started last, once it has ended; negative when a signal ended it."""
        status, self._running = self._line(), False
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        return status

    def _line(self) -> int:
        assert self._server.stdout is not None
        return int(self._server.stdout.readline())

    def close(self) -> None:
        """End the server, and what still runs."""
        self.send(signal.SIGKILL)
        self._server.communicate(timeout=HANGS_S)


@dataclass
class Valley:
    """One small study and its run folder.

    Args:
        root: For its runs, its output and notes.
        coordinators: Where to have one from.
        changes: Sections of the study that differ.
    """

    root: Path
    coordinators: Coordinators
    changes: dict[str, Any] = field(default_factory=dict)
    pid: int = 0

    def start(self, **order: Any) -> None:
        """A coordinator that begins the study, or goes on with it."""
        (self.root / "runs" / ".cache").mkdir(parents=True, exist_ok=True)
        standard = {"study": merged(STUDY, self.changes), "runs": str(self.root / "runs"), "output": str(self._output)}
        machine = {name: value for name, value in os.environ.items() if name == "FLOPWISE_MACHINE"}
        environment = {**machine, **order.pop("environment", {})}
        self.pid = self.coordinators.start({**standard, "environment": environment, **order})

    def wait(self) -> int:
        """Its exit status; negative when a signal ended it."""
        return self.coordinators.status()

    def run(self, **order: Any) -> int:
        """From start to end."""
        self.start(**order)
        return self.wait()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal, if it is still there."""
        self.coordinators.send(number)

    @property
    def _output(self) -> Path:
        return self.root / "output.txt"

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def folder(self) -> RunFolder:
        """The newest run; before there is one, where it will be."""
        runs = [path for path in (self.root / "runs").iterdir() if re.fullmatch(r"valley(-\d+)?", path.name)]
        first = self.root / "runs" / "valley"
        return RunFolder(max(runs, key=lambda path: int(path.name.partition("-")[2] or 1), default=first))

    @property
    def events(self) -> list[Event]:
        """Of the newest run, none when it has not begun."""
        return read_events(self.folder.journal)[0] if self.folder.journal.exists() else []

    @property
    def state(self) -> RunState:
        return RunState(self.events)

    @property
    def told(self) -> int:
        """How many events the last coordinator told its user of."""
        path = self.root / "runs" / ".cache" / "told"
        return int(path.read_text() or 0) if path.exists() else 0

    @property
    def ran(self) -> dict[str, int]:
        """Attempts whose process began, and its id."""
        path = self.root / "runs" / ".cache" / "ran"
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return {name: int(pid) for name, pid in (line.split() for line in lines)}

    @property
    def ends(self) -> list[AttemptEnded]:
        return [event for event in self.events if isinstance(event, AttemptEnded)]

    @property
    def started(self) -> list[str]:
        return [event.attempt for event in self.events if isinstance(event, AttemptStarted)]

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Wait for something of this study."""
        end = time.monotonic() + HANGS_S
        while not condition():
            assert time.monotonic() < end, f"waited in vain for {what}: {self.output}"
            time.sleep(0.002)

    def until_running(self, trial: int = 1) -> None:
        """Wait until an attempt of a trial of the search, or of a later one, has begun its work."""
        self.until(lambda: max((int(name[1:5]) for name in self.ran), default=-1) >= trial, f"trial {trial}")

    # What must hold

    def check_after_death(self, before: int) -> int:
        """After a coordinator died: what was told is in the journal, nobody holds the run, nothing of it lives.

        Args:
            before: Events in the journal when that coordinator began.

        Returns:
            Events in the journal now.
        """
        events = self.events
        assert before + self.told <= len(events), "an event that the user was told of is not in the journal"
        created = [event for event in events if isinstance(event, RunCreated)]
        if created:
            assert holder(self.folder.lock) is None, "a dead coordinator's lock is held"
            self.until_gone(created[0].run_id)
        return len(events)

    def until_gone(self, run_id: str) -> None:
        """No process of the run lives any more."""
        end = time.monotonic() + GONE_S
        while left := marked(run_id):
            assert time.monotonic() < end, f"processes {left} outlive their coordinator"
            time.sleep(0.005)

    def check_same_as(self, calm: Valley) -> None:
        """A whole run, in which everything is proposed and measured as without any fault."""
        assert verify(self.folder) == []
        state, other = self.state, calm.state
        assert state.verdict is not None and other.verdict is not None
        assert [t.trial for t in state.trials.values()] == [t.trial for t in other.trials.values()]
        assert [t.losses(state.objective) for t in state.trials.values()] == [
            t.losses(other.objective) for t in other.trials.values()
        ]
        assert sum(isinstance(event, TrialProposed) for event in self.events) == len(other.trials)
        assert state.verdict.numbers == other.verdict.numbers

    def calm_down(self) -> None:
        """From now on every attempt behaves."""
        (self.root / "runs" / ".cache").mkdir(parents=True, exist_ok=True)
        (self.root / "runs" / ".cache" / "calm").touch()

    def settle(self, calm: Valley) -> None:
        """Go on after faults, to the end that an undisturbed run has."""
        self.calm_down()
        assert self.run() == 0, self.output
        self.check_same_as(calm)


Valleys = Callable[..., Valley]


@pytest.fixture(scope="session")
def coordinators() -> Iterator[Coordinators]:
    """Where studies get their coordinator from."""
    made = Coordinators()
    yield made
    made.close()


@pytest.fixture
def valley(tmp_path: Path, coordinators: Coordinators) -> Valleys:
    """``valley(base={…}, …)``: a new small study, with these sections of its file changed."""
    made: list[Valley] = []

    def make(**changes: Any) -> Valley:
        made.append(Valley(tmp_path / f"v{len(made)}", coordinators, changes))
        return made[-1]

    return make


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory, coordinators: Coordinators) -> Valleys:
    """``calm(base={…}, …)``: the same study, run without any fault; once a session."""
    made: dict[str, Valley] = {}

    def make(**changes: Any) -> Valley:
        key = json.dumps(changes, sort_keys=True)
        if key not in made:
            made[key] = Valley(tmp_path_factory.mktemp("calm"), coordinators, changes)
            made[key].calm_down()
            assert made[key].run() == 0, made[key].output
            assert verify(made[key].folder) == []
        return made[key]

    return make


# How often


@dataclass
class Rounds:
    """Tries a fault several times, and counts.

    Args:
        fault: Number in ``docs/reliability.md``.
        count: How often, at most.
        record: Keeps what came of it for the table.
    """

    fault: str
    count: int
    record: Callable[[str, Any], None]

    def each(self, check: Callable[[int], None], numbers: list[int] | None = None) -> None:
        """Call ``check(0)``, ``check(1)``, …; fails after all of them, with those that failed.

        Args:
            check: Raises ``AssertionError`` where the promise is broken.
            numbers: What to call it with instead, spread evenly when they are more than ``count``.
        """
        chosen = self._spread(numbers) if numbers is not None else list(range(self.count))
        broken, began = [], time.monotonic()
        for number in chosen:
            try:
                check(number)
            except AssertionError as error:
                broken.append(f"round {number}: {error}")
        self.record("fault", [self.fault, len(chosen), len(broken), time.monotonic() - began])
        assert not broken, "\n".join(broken)

    def _spread(self, numbers: list[int]) -> list[int]:
        if len(numbers) <= self.count:
            return numbers
        return [numbers[index * len(numbers) // self.count] for index in range(self.count)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A marked test comes twice: short for the suite, long behind ``scripts/test faults``."""
    mark = metafunc.definition.get_closest_marker("fault")
    if mark is None:
        return
    long = pytest.param(mark.kwargs["long"], id="long", marks=[pytest.mark.faults, pytest.mark.timeout(3600)])
    counts = [pytest.param(mark.kwargs["suite"], id="suite"), long] if mark.kwargs["suite"] else [long]
    metafunc.parametrize("rounds", counts, indirect=True)


@pytest.fixture
def rounds(request: pytest.FixtureRequest, record_property: Callable[[str, Any], None]) -> Rounds:
    """How often to try, and whom to tell."""
    (fault,) = request.node.get_closest_marker("fault").args
    return Rounds(fault, request.param, record_property)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table for ``docs/log.md``, after the long part."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    rows = [
        (*value, report.nodeid.rpartition("::")[2].replace("[long]", "").replace("[long-", "["))
        for report in reports
        for name, value in report.user_properties
        if name == "fault" and "[long" in report.nodeid
    ]
    if rows:
        terminalreporter.section("faults")
        terminalreporter.write_line("| fault | test | n | violations | seconds |\n|---|---|---|---|---|")
        for fault, count, violations, seconds, test in sorted(rows, key=lambda row: (int(row[0].strip("F+")), row[4])):
            terminalreporter.write_line(f"| {fault} | `{test}` | {count} | {violations} | {seconds:.0f} |")
