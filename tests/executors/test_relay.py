"""Only sound messages of the right kinds pass, under the name of the attempt they came from."""

from __future__ import annotations

from typing import Any

import pytest

from flopwise.executors.relay import relay
from flopwise.wire import Ended, Measurement, Message, Progress, Reported, Shutdown, WireError, decode

NAME = "t0001.s0.a1"


@pytest.mark.parametrize(
    "message",
    [
        Measurement("forged", 3, 0.5, {"loss": 1.5, "grad": "nan"}),
        Progress("forged", "reading", 1, 2),
        Reported("forged", "ok", {"loss": 1}, {"steps": 3}),
    ],
)
def test_a_forged_attempt_is_corrected(message: Message) -> None:
    passed: Any = decode(relay(message, NAME)[4:])
    assert type(passed) is type(message)
    assert passed.attempt == NAME


BAD: list[Any] = [
    Shutdown(),
    Ended(NAME, 0.0, 1.0, 0, None, "exit"),
    Measurement(NAME, "3", 0.5, {}),  # type: ignore[arg-type]
    Measurement(NAME, True, 0.5, {}),
    Measurement(NAME, 3, float("inf"), {}),
    Measurement(NAME, 3, 0.5, [1.0]),  # type: ignore[arg-type]
    Measurement(NAME, 3, 0.5, {"loss": "high"}),
    Measurement(NAME, 3, 0.5, {"loss": float("inf")}),
    Measurement(NAME, 3, 0.5, {"loss": 10**400}),
    Measurement(NAME, 3, 0.5, {"loss": [1]}),  # type: ignore[dict-item]
    Progress(NAME, 5),  # type: ignore[arg-type]
    Reported(NAME, "splendid"),
    Reported(NAME, ["ok"]),  # type: ignore[arg-type]
    Reported(NAME, "ok", {"loss": "low"}),  # type: ignore[dict-item]
    Reported(NAME, "ok", {"loss": True}),
    Reported(NAME, "ok", {"loss": float("nan")}),
    Reported(NAME, "ok", info=[1]),  # type: ignore[arg-type]
    Reported(NAME, "ok", cause=None),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("message", BAD, ids=repr)
def test_what_a_worker_may_not_say_is_refused(message: Message) -> None:
    with pytest.raises(WireError):
        relay(message, NAME)
