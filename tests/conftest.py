"""Small studies and a way to run the command line, shared by all rooms."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile

import pytest

LONG = frozenset(
    {
        "test_bad_data.py",
        "test_staged_toy.py",
        "test_whole_study.py",
        "test_studies_share_a_machine.py",
        "test_command_docs.py",
        "test_language_model_data_docs.py",
        "test_synaptic_model.py",
        "test_synaptic_studies.py",
        "test_verify_damage.py",
        "test_report_plots.py",
        "test_python_page.py",
        "test_ask_tell.py",
        "test_calibration_docs.py",
        "test_kill_at_any_moment.py",
        "test_bad_workloads.py",
        "test_crafted_studies.py",
    }
)
"""Files of a quarter of a minute and more: they come first, so that no worker is left alone with one at the end."""

TOY = """\
name: toy
workload: language_model
base:
  model: {n_layer: 1, n_head: 2, n_embd: 32}
  data: {source: stdlib, tokenizer: byte, valid_tokens: 2048}
  train: {lr: 3e-3, batch_size: 4, sequence_length: 32}
space:
  train.lr: {type: float, low: 1e-4, high: 1e-1, scale: log}
  train.weight_decay: {type: float, low: 0.0, high: 0.3}
  model.n_embd: {type: int, low: 16, high: 48, step: 16}
objective: {metric: val_loss, direction: minimize}
evaluation: {stop: {steps: 20}, timeout: 60s}
search: {method: cmaes, seed: 3}
tiers:
  small: {population: 4, generations: 3}
calibration: {seeds: 2}
confirm: {top: 2, seeds: 3}
execution: {slots: 2, price_per_hour: 0.20}
"""

PLAIN = r"""
name: toy
workload: command
base:
  argv:
    - sh
    - -c
    - |
      sleep $(awk "BEGIN {{print $FLOPWISE_STOP / 400}}")
      loss=$(awk "BEGIN {{print (log({lr}) + 4.6) ^ 2 + 1 + $FLOPWISE_SEED % 97 / 1000}}")
      echo "{{\"val_loss\": $loss}}" > "$FLOPWISE_RESULT"
  params: {lr: 3e-3}
  reads_flopwise: true
space:
  params.lr: {type: float, low: 1e-4, high: 1e-1, scale: log}
objective: {metric: val_loss, direction: minimize}
evaluation: {stop: {steps: 20}, timeout: 60s}
search: {method: random, seed: 3}
tiers:
  small: {trials: 6}
calibration: {seeds: 2}
confirm: {top: 2, seeds: 3}
execution: {slots: 2, price_per_hour: 0.20}
"""


class Terminal:
    """A program in a pseudo-terminal of 80 columns, and what it shows.

    Args:
        command: Program and arguments.
        folder: Where it runs.
        lines: Of the terminal.
    """

    def __init__(self, command: Sequence[str], folder: Path, lines: int = 40) -> None:
        self.shown = ""
        self.status: int | None = None
        self._met = 0
        self._fd, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, 80, 0, 0))
        environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES", "CI")}
        self.pid = os.fork()
        if self.pid == 0:
            os.login_tty(theirs)
            os.chdir(folder)
            os.execvpe(command[0], list(command), {**environment, "TERM": "xterm-256color"})
        os.close(theirs)

    def until(self, text: str, seconds: float = 60.0, beside: Terminal | None = None) -> str:
        """Wait until that text is shown, after the one waited for before; returns what came up to its end.

        Args:
            text: Without colours in it.
            seconds: Longest wait.
            beside: Another one whose output is read meanwhile, so that it does not have to wait.
        """
        start, deadline = self._met, time.monotonic() + seconds
        while text not in self.shown[start:]:
            assert time.monotonic() < deadline, f"no {text!r} in {self.shown[-2000:]!r}"
            assert self._read(0.1), f"ended without {text!r}: {self.shown[-2000:]!r}"
            if beside is not None:
                beside._read(0.0)
        self._met = self.shown.index(text, start) + len(text)
        return self.shown[start : self._met]

    def _read(self, seconds: float) -> bool:
        """Take what is there, waiting for at most so long; False when nothing can come any more."""
        if select.select([self._fd], [], [], seconds)[0]:
            try:
                self.shown += os.read(self._fd, 65536).decode(errors="replace")
            except OSError:
                return False
        return True

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._fd, keys.encode())

    @property
    def cooked(self) -> bool:
        """Whether the terminal is as a shell leaves it: whole lines, echoed."""
        flags = termios.tcgetattr(self._fd)[3]
        return bool(flags & termios.ICANON) and bool(flags & termios.ECHO)

    def wait(self, seconds: float = 60.0) -> int:
        """Its exit status; negative for a signal."""
        deadline = time.monotonic() + seconds
        while self.status is None:
            assert time.monotonic() < deadline, f"still running: {self.shown[-2000:]!r}"
            self._read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status

    def end(self) -> None:
        """Make sure that nothing is left of it."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)


CommandLine = Callable[..., "subprocess.CompletedProcess[str]"]


class Commands:
    """The command line in forks of one warm process (``serve_commands.py``)."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = [sys.executable, str(Path(__file__).with_name("serve_commands.py")), str(theirs.fileno())]
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "120"}
        self._server = subprocess.Popen(program, pass_fds=[theirs.fileno()], env=environment, stdout=subprocess.DEVNULL)
        theirs.close()

    def call(self, folder: Path, *arguments: str, timeout: float = 150) -> subprocess.CompletedProcess[str]:
        """Run a command and wait for its end.

        Raises:
            subprocess.TimeoutExpired: When that does not come; it has been killed.
        """
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "120"}
        request = {"folder": str(folder), "arguments": arguments, "environment": environment}
        reply, theirs = socket.socketpair()
        with Path(os.devnull).open() as stdin, TemporaryFile("w+") as stdout, TemporaryFile("w+") as stderr, reply:
            descriptors = [stdin.fileno(), stdout.fileno(), stderr.fileno(), theirs.fileno()]
            socket.send_fds(self._requests, [json.dumps(request).encode()], descriptors)
            theirs.close()
            told = reply.makefile()
            pid = int(told.readline())
            reply.settimeout(timeout)
            try:
                status = int(told.readline())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(arguments, timeout) from None
            texts = [file.seek(0) or file.read() for file in (stdout, stderr)]
        return subprocess.CompletedProcess(arguments, status, *texts)

    def end(self) -> None:
        """Nothing more is asked for."""
        self._requests.close()
        self._server.wait(10)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture(scope="session")
def toy_text() -> str:
    """A study that takes seconds, as text."""
    return TOY


@pytest.fixture(scope="session")
def plain_text() -> str:
    """The same with a program that sleeps in place of a training, where neither model nor torch matter."""
    return PLAIN


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """That as a file."""
    path = tmp_path / "toy.yaml"
    path.write_text(PLAIN)
    return path


@pytest.fixture(scope="session", autouse=True)
def leases_of_this_worker() -> Iterator[None]:
    """Fixtures that several tests share lease nothing that other test processes see."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOPWISE_MACHINE", secrets.token_hex(8))
        yield


@pytest.fixture(scope="session", autouse=True)
def nothing_in_the_home_of_who_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What runs start is written down elsewhere than for real runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def leases_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test has the machine's leases to itself: others run beside it, on the same few cores."""
    monkeypatch.setenv("FLOPWISE_MACHINE", secrets.token_hex(8))


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """The same as a file."""
    path = tmp_path / "toy.yaml"
    path.write_text(TOY)
    return path


@pytest.fixture(scope="session")
def call_flopwise() -> Iterator[CommandLine]:
    """``call_flopwise(folder, verb, …)``: run a verb there, without a terminal."""
    commands = Commands()
    yield commands.call
    commands.end()


@pytest.fixture
def flopwise(tmp_path: Path, call_flopwise: CommandLine) -> CommandLine:
    """``flopwise(verb, …)``: run a verb in the test's own folder."""
    return partial(call_flopwise, tmp_path)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """``terminal(command, folder, lines)``: run a program in a pseudo-terminal; ended with the test."""
    opened: list[Terminal] = []

    def run(command: Sequence[str], folder: Path = tmp_path, lines: int = 40) -> Terminal:
        opened.append(Terminal(command, folder, lines))
        return opened[-1]

    yield run
    for each in opened:
        each.end()
