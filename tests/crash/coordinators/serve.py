"""Coordinators on demand, without their start-up time: each line of stdin is forked into one that runs a study.

A line is JSON: ``study`` (sections of a study file), ``runs``, ``output`` (a file), and, where wanted,
``environment``, ``point`` (how and at which one; see ``points.py``), ``points`` (a file for the names of all
points), ``limits`` (resource name to soft limit), ``clock`` (seconds that every reading of the wall clock goes
back) and ``echo`` (every message of the executor comes twice, and again after the end of its attempt).
The answer is a line with the process id, and one with the exit status when it has ended.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import work
from points import Points

from flopwise.cli.finish import EXIT_CODES
from flopwise.clock import RealClock
from flopwise.engine.assemble import run
from flopwise.engine.request import Request
from flopwise.errors import FlopwiseError
from flopwise.events import Event
from flopwise.executors.local import LocalExecutor
from flopwise.executors.objective import encode_objective, identify_objective
from flopwise.journal.replay import RunState
from flopwise.registry import load, names
from flopwise.report.view import SilentView
from flopwise.study import study_from_mapping
from flopwise.wire import Ended

CRASHED = 70


class AcknowledgingView(SilentView):
    """Notes in a file how many events its user has been told of.

    Args:
        path: Of the file.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        self._write = os.pwrite

    def event(self, event: Event, state: RunState) -> None:
        """``state`` may be ahead of what was written, so the events are counted here."""
        self._told = getattr(self, "_told", 0) + 1
        self._write(self._fd, b"%12d" % self._told, 0)

    def message(self, text: str) -> None:
        print(text, flush=True)


class JumpingClock(RealClock):
    """The wall clock of a machine whose owner keeps changing it.

    Args:
        jump_s: How far every reading goes back, in seconds.
    """

    def __init__(self, jump_s: float) -> None:
        self._readings = itertools.count()
        self._jump_s = jump_s

    def wall(self) -> str:
        at = 1_700_000_000 - self._jump_s * next(self._readings)
        return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(at))


def echo(poll: Any) -> Any:
    """An executor's ``poll`` that says everything twice, and all about an attempt again after its end."""
    past: list[Any] = []

    def polled(*arguments: Any) -> list[Any]:
        said: list[Any] = []
        for message in poll(*arguments):
            past.append(message)
            said += [message, message]
            if isinstance(message, Ended):
                said += [m for m in past if getattr(m, "attempt", "") == message.attempt]
        return said

    return polled


def coordinate(order: dict[str, Any], points: Points) -> int:
    """Run the study; the exit status that the command line would give."""
    runs = Path(order["runs"])
    told = runs / ".cache" / "told"
    told.unlink(missing_ok=True)
    request = Request(
        runs=runs,
        view=AcknowledgingView(told),
        command="flopwise run",
        may_ask=True,
        objective=encode_objective(work.work),
        objective_id=identify_objective(work.work),
        clock=JumpingClock(order["clock"]) if "clock" in order else RealClock(),
    )
    study = study_from_mapping(order["study"])
    points.install()
    return EXIT_CODES[run(study, request).reason]


def be_coordinator(order: dict[str, Any]) -> int:
    """What the forked process does."""
    os.environ.update(order.get("environment", {}))
    for name, soft in order.get("limits", {}).items():
        number = getattr(resource, name)
        resource.setrlimit(number, (soft, resource.getrlimit(number)[1]))
    if "echo" in order:
        LocalExecutor.poll = echo(LocalExecutor.poll)  # type: ignore[method-assign]
    points = Points(*order.get("point", ()))
    try:
        return coordinate(order, points)
    except FlopwiseError as error:
        print(f"error: {error}", flush=True)
        return error.exit_code
    except Exception:
        traceback.print_exc()
        return CRASHED
    finally:
        if "points" in order:
            points.let_go()
            Path(order["points"]).write_text("\n".join(points.names))


def fork(order: dict[str, Any]) -> int:
    """Process id of a new coordinator."""
    pid = os.fork()
    if pid:
        return pid
    status = CRASHED
    try:
        output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for fd in (1, 2):
            os.dup2(output, fd)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        status = be_coordinator(order)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def serve() -> None:
    """One coordinator after the other, until stdin ends."""
    for family in ("searchers", "policies", "executors"):
        for name in names(family):
            load(family, name)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for line in sys.stdin:
        pid = fork(json.loads(line))
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
