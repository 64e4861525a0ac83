"""The few calls that have no name in Python do what they say, and only to whom they should."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

from flopwise.executors import linux

COLLAPSE = """
from flopwise.executors.linux import collapse_heap
blocks = [bytes([n]) * 100_000 for n in range(200)]
done = collapse_heap()
assert done >= 0 and all(block == bytes([n]) * 100_000 for n, block in enumerate(blocks))
"""

ORPHAN = """
import os
from flopwise.executors.linux import die_with_parent
die_with_parent(os.getppid() + 1)
print("alive")
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_collapsing_the_heap_changes_nothing_in_it() -> None:
    done = python(COLLAPSE)
    assert done.returncode == 0, done.stderr


def test_a_process_whose_parent_is_dead_already_ends_at_once() -> None:
    done = python(ORPHAN)
    assert (done.returncode, done.stdout) == (128 + signal.SIGKILL, "")


def test_only_the_whole_mark_counts(processes: Any) -> None:
    with subprocess.Popen(["sleep", "300"], env={"PATH": os.environ["PATH"], "FLOPWISE_RUN": "abcd"}) as process:
        processes.wait_for(lambda: linux.has_marker(process.pid, b"FLOPWISE_RUN=abcd"))
        assert not linux.kill_marked(process.pid, b"FLOPWISE_RUN=abc")
        assert not linux.kill_marked(process.pid, b"abcd")
        assert not linux.kill_marked(process.pid, b"FLOPWISE_RUN=abcde")
        assert process.poll() is None
        assert linux.kill_marked(process.pid, b"FLOPWISE_RUN=abcd")
        assert process.wait() == -signal.SIGKILL


def test_a_number_that_nobody_has_is_not_killed() -> None:
    process = subprocess.Popen(["true"], env={"FLOPWISE_RUN": "abcd", "PATH": os.environ["PATH"]})
    process.wait()
    assert not linux.kill_marked(process.pid, b"FLOPWISE_RUN=abcd")


def test_children_lists_the_living_and_the_unburied() -> None:
    with subprocess.Popen(["sleep", "300"]) as process:
        assert process.pid in linux.children()
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert process.pid in linux.children()
    assert process.pid not in linux.children()
