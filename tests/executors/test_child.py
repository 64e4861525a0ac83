"""What a forked process says when it cannot even begin."""

from __future__ import annotations

import os
from pathlib import Path

from flopwise.executors.child import CRASHED, Part, Task, fork
from flopwise.trial import Outcome
from flopwise.wire import Frames, Job, Reported, Slot


def test_a_folder_that_is_gone_is_no_failure_of_the_config(tmp_path: Path) -> None:
    """Between the making of its files and its first step the folder is moved away."""
    part = Part(main=lambda *_: os.abort(), rehearse=lambda: None, objective=None)
    job = Job("t0003.s0.a1", "evaluate", "function", {}, {}, 0, Slot(0, (), 1), str(tmp_path / "gone"), "/")
    out, err = (os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in ("stdout", "stderr"))
    child = fork(part, [], Task(job, out, err))
    status = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
    (said,) = Frames().feed(os.read(child.pipe, 1 << 16))
    for fd in (child.pidfd, child.pipe, out, err):
        os.close(fd)
    assert status == CRASHED
    assert isinstance(said, Reported)
    assert (said.attempt, said.outcome) == ("t0003.s0.a1", Outcome.KILLED)
    assert "could not be started" in said.cause and "gone" in said.cause
