"""Folders of hosts that were killed are removed by the next host there, those of living ones never."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from flopwise.executors.cluster import scratch
from flopwise.executors.cluster.scratch import Scratch

HOST = """
import os, signal
from flopwise.executors.cluster.scratch import Scratch
root = Scratch().root
(root / "attempts/t0001.s0.a1").mkdir(parents=True)
(root / "attempts/t0001.s0.a1/model.bin").write_bytes(b"w" * 1000)
print(root, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def killed_host(node: Path) -> Path:
    environment = {**os.environ, "TMPDIR": str(node)}
    done = subprocess.run([sys.executable, "-c", HOST], env=environment, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -9
    return Path(done.stdout.strip())


def test_the_next_host_removes_what_a_killed_one_left(node: Path) -> None:
    left = killed_host(node)
    assert (left / "attempts/t0001.s0.a1/model.bin").exists()
    made = Scratch()
    assert list(node.iterdir()) == [made.root]
    made.remove()
    assert list(node.iterdir()) == []


def test_a_living_hosts_folder_stays(node: Path) -> None:
    one, other = Scratch(), Scratch()
    assert scratch.sweep() == [] and one.root.exists()
    one.remove()
    other.remove()
    other.remove()


def test_one_that_is_just_being_made_stays_and_half_removed_ones_go_later(node: Path) -> None:
    made = node / f"{scratch.PREFIX}new"
    made.mkdir()
    assert scratch.sweep() == []
    os.utime(made, (1.0, 1.0))
    assert scratch.sweep() == [made]


def test_nothing_else_is_touched(node: Path) -> None:
    (node / "flopwise-notes").mkdir()
    (node / f"{scratch.PREFIX}file").write_text("")
    target = node / "kept"
    target.mkdir()
    (target / "alive").write_text("")
    (node / f"{scratch.PREFIX}link").symlink_to(target)
    assert scratch.sweep() == [] and (target / "alive").exists()
