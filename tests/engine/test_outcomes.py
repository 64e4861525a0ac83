"""What the worker said and what the keeper saw, put together in one outcome."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopwise.engine.outcomes import classify
from flopwise.trial import Outcome
from flopwise.wire import Ended, Reported

EXIT = Ended("t0001.s0.a1", 0.0, 1.0, 0, None, "exit")
OK = Reported("t0001.s0.a1", "ok", {"loss": 1.0})
STOPPED = Reported("t0001.s0.a1", "killed", cause="stopped before it was finished")


@pytest.mark.parametrize(
    ("reported", "ended", "outcome", "interrupted", "word"),
    [
        (OK, EXIT, Outcome.OK, False, ""),
        (OK, replace(EXIT, reason="timeout"), Outcome.OK, False, ""),
        (None, replace(EXIT, reason="timeout"), Outcome.TIMEOUT, False, "60 s"),
        (STOPPED, replace(EXIT, reason="timeout"), Outcome.TIMEOUT, False, "60 s"),
        (STOPPED, replace(EXIT, reason="stopped"), Outcome.KILLED, True, "study"),
        (None, replace(EXIT, reason="stopped"), Outcome.KILLED, True, "study"),
        (None, replace(EXIT, exit_code=None, signal=9), Outcome.KILLED, False, "SIGKILL"),
        (None, replace(EXIT, exit_code=None, signal=11), Outcome.KILLED, False, "SIGSEGV"),
        (None, replace(EXIT, exit_code=3), Outcome.ERROR, False, "status 3"),
        (None, EXIT, Outcome.ERROR, False, "without a result"),
        (None, replace(EXIT, reason="protocol"), Outcome.ERROR, False, "not a message"),
        (replace(OK, outcome="nan", cause="loss is nan"), EXIT, Outcome.NAN, False, "loss is nan"),
    ],
)
def test_one_outcome(reported: Reported | None, ended: Ended, outcome: Outcome, interrupted: bool, word: str) -> None:
    ending = classify(reported, ended, 60.0)
    assert (ending.outcome, ending.interrupted) == (outcome, interrupted)
    assert word in ending.cause
