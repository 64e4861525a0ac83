"""Single keys from a real pseudo-terminal, and the terminal given back on every way out."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from flopwise.report.keys import Keys, terminal_keys

READER = """
import sys, time
from flopwise.report.keys import Keys
keys = Keys(0, lambda away: print("away" if away else "back", flush=True))
keys.open()
print("ready", flush=True)
end = time.monotonic() + 30
while time.monotonic() < end:
    got = keys.pressed()
    if got:
        print("got", repr(got), flush=True)
    if "q" in got:
        break
    time.sleep(0.02)
keys.close()
keys.close()
print("closed", flush=True)
time.sleep(float(sys.argv[1]))
"""

SHELL = """
import os, signal, sys, termios
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
before = termios.tcgetattr(0)
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpgrp())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.executable, [sys.executable, sys.argv[1], "0"])
os.waitpid(child, os.WUNTRACED)
os.tcsetpgrp(0, os.getpgrp())
print("cooked" if termios.tcgetattr(0) == before else "raw", "while suspended", flush=True)
os.tcsetpgrp(0, child)
os.kill(child, signal.SIGCONT)
os.waitpid(child, 0)
"""


@pytest.fixture
def reader(tmp_path: Path) -> str:
    path = tmp_path / "reader.py"
    path.write_text(READER)
    return str(path)


def test_keys_come_one_by_one_unechoed_and_the_terminal_is_given_back(terminal: Any, reader: str) -> None:
    screen = terminal([sys.executable, reader, "1"])
    screen.until("ready")
    assert not screen.cooked
    screen.type("x")
    assert screen.until("got 'x'").count("x") == 1
    screen.type("q")
    screen.until("closed")
    assert screen.cooked


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, -signal.SIGQUIT)],
)
def test_no_signal_leaves_the_terminal_behind(terminal: Any, reader: str, number: int, status: int) -> None:
    screen = terminal([sys.executable, reader, "0"])
    screen.until("ready")
    os.kill(screen.pid, number)
    assert screen.wait() == status
    assert screen.cooked


def test_a_suspended_process_has_given_the_terminal_back(terminal: Any, reader: str, tmp_path: Path) -> None:
    (tmp_path / "shell.py").write_text(SHELL)
    screen = terminal([sys.executable, str(tmp_path / "shell.py"), reader])
    screen.until("ready")
    screen.type("\x1a")
    shown = screen.until("while suspended")
    assert "away" in shown and "cooked while suspended" in shown
    screen.until("back")
    screen.type("q")
    screen.until("closed")


def test_in_the_background_nothing_is_touched(terminal: Any, reader: str, tmp_path: Path) -> None:
    (tmp_path / "shell.py").write_text(
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, {reader!r}, '0'], process_group=0)\n"
        "print('started', flush=True)\n"
        "sys.stdin.readline()\n"
        "print('stopped' if child.poll() is None and open(f'/proc/{child.pid}/stat').read().split()[2] == 'T' "
        "else 'goes on', flush=True)\n"
        "child.kill()\n"
    )
    screen = terminal([sys.executable, str(tmp_path / "shell.py")])
    screen.until("ready")
    assert screen.cooked
    screen.type("q\n")
    screen.until("goes on")


def test_another_thread_takes_no_keys() -> None:
    keys, found = Keys(0), []
    thread = threading.Thread(target=lambda: (keys.open(), found.append(keys.pressed())))
    thread.start()
    thread.join()
    assert found == [""]


def test_without_a_terminal_there_are_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert terminal_keys() is None
    monkeypatch.setattr(sys, "stdin", None)
    assert terminal_keys() is None
