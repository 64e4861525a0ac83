"""What a worker may say: its frames are checked here before anything else reads them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flopwise.trial import Outcome
from flopwise.wire import Measurement, Message, Progress, Reported, WireError, encode

OUTCOMES = frozenset(outcome.value for outcome in Outcome)
NON_FINITE = frozenset({"nan", "inf", "-inf"})


def relay(message: Message, attempt: str) -> bytes:
    """A worker's message as a frame for the coordinator.

    The attempt is the one whose pipe it came through, whatever the message claims.

    Args:
        message: As decoded from the worker's pipe.
        attempt: Whose pipe it was.

    Raises:
        WireError: If a worker may not send such a message, or its fields are not what they should be.
    """
    if not isinstance(message, Measurement | Progress | Reported):
        raise WireError(f"a worker may not send {type(message).__name__}")
    if not _is_sound(message):
        raise WireError(f"{type(message).__name__} with values of the wrong type")
    return encode(replace(message, attempt=attempt))


def _is_sound(message: Measurement | Progress | Reported) -> bool:
    match message:
        case Measurement():
            return _is_int(message.step) and _is_number(message.elapsed_s) and _are_values(message.values)
        case Progress():
            return isinstance(message.text, str) and _is_number(message.done) and _is_number(message.total)
        case Reported():
            texts = isinstance(message.cause, str) and isinstance(message.info, Mapping)
            return texts and _is_one_of(OUTCOMES, message.outcome) and _are_metrics(message.metrics)


def _are_values(values: Any) -> bool:
    return isinstance(values, Mapping) and all(_is_number(v) or _is_one_of(NON_FINITE, v) for v in values.values())


def _are_metrics(values: Any) -> bool:
    return isinstance(values, Mapping) and all(_is_number(v) for v in values.values())


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    """Finite; the comparison holds for ints of any size, too."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_one_of(words: frozenset[str], value: Any) -> bool:
    return isinstance(value, str) and value in words
