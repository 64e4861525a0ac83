"""Frames and messages: whatever is sent arrives whole, and whatever else arrives is refused."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.wire import (
    MAX_FRAME,
    Ended,
    Frames,
    Hello,
    Job,
    Measurement,
    Message,
    Reported,
    Shutdown,
    Slot,
    Started,
    WireError,
    decode,
    encode,
)

names = st.text(max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
values = st.recursive(
    st.none() | st.booleans() | numbers | names, lambda inner: st.dictionaries(names, inner, max_size=3), max_leaves=6
)
slots = st.builds(Slot, st.integers(0, 200), st.tuples(st.integers(0, 200)), st.integers(1, 64))
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Shutdown),
    st.builds(Started, names, st.integers(1, 2**22), numbers),
    st.builds(Measurement, names, st.integers(0, 10**9), numbers, st.dictionaries(names, numbers, max_size=4)),
    st.builds(Reported, names, names, st.dictionaries(names, numbers), st.dictionaries(names, values), names),
    st.builds(Hello, names, names, st.tuples(names, names), st.tuples(names), st.none() | names),
    st.builds(
        Job,
        attempt=names,
        kind=st.sampled_from(["prepare", "evaluate"]),
        workload=names,
        config=st.dictionaries(names, values, max_size=4),
        stop=st.dictionaries(names, numbers, max_size=1),
        seed=st.integers(0, 2**32 - 1),
        slot=slots,
        folder=names,
        cache=names,
        timeout_s=st.none() | numbers,
    ),
)


@given(messages)
def test_decoding_gives_back_what_was_encoded(message: Message) -> None:
    assert decode(encode(message)[4:]) == message


@given(st.lists(messages, max_size=5), st.lists(st.integers(0, 4000), max_size=12))
def test_frames_may_be_cut_at_any_byte(sent: list[Message], cuts: list[int]) -> None:
    stream = b"".join(encode(message) for message in sent)
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    frames = Frames()
    heard = [message for a, b in itertools.pairwise(edges) for message in frames.feed(stream[a:b])]
    assert heard == sent


@given(st.binary(max_size=300))
def test_garbage_bodies_are_refused_and_nothing_else_is_raised(body: bytes) -> None:
    with pytest.raises(WireError):
        decode(body)


@given(st.dictionaries(st.sampled_from(["message", "attempt", "slot", "step", "x"]), values, max_size=5))
def test_json_that_is_no_message_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        decode(json.dumps(data).encode())


@pytest.mark.parametrize(
    "body",
    [
        b'{"message": []}',
        b'{"message": "Job", "slot": {}}',
        b'{"message": "Job", "slot": 7}',
        b'{"message": "Started", "attempt": "a"}',
        b'{"message": "Started", "attempt": "a", "pid": 1, "at": 0, "more": 1}',
        b"[" * 1_000_000,
        b'{"message": "Started", "pid": ' + b"9" * 5000 + b"}",
        b"\xff\xfe",
    ],
)
def test_malformed_messages_are_refused(body: bytes) -> None:
    with pytest.raises(WireError):
        decode(body)


@given(st.binary(min_size=1, max_size=300))
def test_a_stream_of_garbage_never_gives_a_message(stream: bytes) -> None:
    heard = []
    try:
        heard += Frames().feed(stream)
    except WireError:
        return
    assert heard == []


def test_a_frame_that_claims_too_much_is_refused_before_it_is_read() -> None:
    with pytest.raises(WireError, match="at most"):
        list(Frames().feed((MAX_FRAME + 1).to_bytes(4, "big")))


def test_a_message_that_is_too_long_is_refused() -> None:
    with pytest.raises(WireError, match="at most"):
        encode(Reported("a", "ok", info={"text": "x" * MAX_FRAME}))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"bytes", object()])
def test_what_json_has_no_form_for_is_refused(value: Any) -> None:
    with pytest.raises(WireError):
        encode(Reported("a", "ok", info={"value": value}))


def test_ended_survives_the_trip_with_nothing_known() -> None:
    ended = Ended("t0001.s0.a1", 1.0, 2.0, None, 9, "timeout")
    assert decode(encode(ended)[4:]) == ended
