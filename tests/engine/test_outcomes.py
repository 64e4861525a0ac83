"""What the worker said and what the keeper saw, put together in one outcome."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopwise.engine.outcomes import classify
from flopwise.trial import Outcome
from flopwise.wire import Ended, Job, Reported, Slot

JOB = Job(
    "t0001.s0.a1", "evaluate", "command", {}, {}, 0, Slot(0, (0,), 1, memory_bytes=2**31), "/f", "/c",
    timeout_s=60.0, progress_s=30.0,
)  # fmt: skip
EXIT = Ended("t0001.s0.a1", 0.0, 1.0, 0, None, "exit")
OK = Reported("t0001.s0.a1", "ok", {"loss": 1.0})
STOPPED = Reported("t0001.s0.a1", "killed", cause="stopped before it was finished")


@pytest.mark.parametrize(
    ("reported", "ended", "outcome", "interrupted", "word"),
    [
        (OK, EXIT, Outcome.OK, False, ""),
        (OK, replace(EXIT, reason="timeout"), Outcome.OK, False, ""),
        (OK, replace(EXIT, reason="silent"), Outcome.OK, False, ""),
        (None, replace(EXIT, reason="timeout"), Outcome.TIMEOUT, False, "not finished after 60 s"),
        (STOPPED, replace(EXIT, reason="timeout"), Outcome.TIMEOUT, False, "60 s"),
        (None, replace(EXIT, reason="silent"), Outcome.TIMEOUT, False, "no progress: no measurement for 30 s"),
        (STOPPED, replace(EXIT, reason="silent"), Outcome.TIMEOUT, False, "no progress"),
        (None, replace(EXIT, reason="memory", signal=9), Outcome.OOM, False, "its slot's 2.0 GiB of memory"),
        (STOPPED, replace(EXIT, reason="stopped"), Outcome.KILLED, True, "study"),
        (None, replace(EXIT, reason="stopped"), Outcome.KILLED, True, "study"),
        (None, replace(EXIT, exit_code=3), Outcome.ERROR, False, "status 3"),
        (None, EXIT, Outcome.ERROR, False, "status 0 without a result"),
        (None, replace(EXIT, reason="protocol"), Outcome.ERROR, False, "not a message"),
        (replace(OK, outcome="nan", cause="loss is nan"), EXIT, Outcome.NAN, False, "loss is nan"),
    ],
)
def test_one_outcome(reported: Reported | None, ended: Ended, outcome: Outcome, interrupted: bool, word: str) -> None:
    ending = classify(reported, ended, JOB)
    assert (ending.outcome, ending.interrupted) == (outcome, interrupted)
    assert word in ending.cause


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (9, "SIGKILL (out of memory, or killed from outside)"),
        (11, "SIGSEGV (its native code used memory"),
        (7, "SIGBUS (memory went away"),
        (6, "SIGABRT"),
        (25, "SIGXFSZ (it wrote a larger file"),
        (40, "signal 40"),
    ],
)
def test_every_signal_has_a_cause_of_its_own(number: int, words: str) -> None:
    ending = classify(None, replace(EXIT, exit_code=None, signal=number), JOB)
    assert ending.outcome == Outcome.KILLED
    assert words in ending.cause


def test_causes_are_distinct() -> None:
    ends = [
        replace(EXIT, reason=reason, exit_code=code, signal=signal)
        for reason, code, signal in [
            ("exit", 0, None), ("exit", 1, None), ("exit", None, 9), ("exit", None, 11), ("exit", None, 7),
            ("timeout", None, 15), ("silent", None, 15), ("memory", None, 9), ("protocol", None, 9),
            ("stopped", 0, None),
        ]
    ]  # fmt: skip
    causes = [classify(None, end, JOB).cause for end in ends]
    assert len(set(causes)) == len(causes)


def test_without_a_known_limit_the_cause_still_says_what_happened() -> None:
    bare = replace(JOB, slot=Slot(0, (0,), 1), timeout_s=None, progress_s=None)
    causes = [classify(None, replace(EXIT, reason=reason), bare).cause for reason in ("timeout", "silent", "memory")]
    assert causes == ["not finished in time", "no progress", "out of memory"]
