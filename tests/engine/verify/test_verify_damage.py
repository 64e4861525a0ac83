"""One altered number anywhere in the journal: verify fails, names the record, and mostly the number too."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from flopwise.engine.verify import Difference, chain, verify
from flopwise.engine.verify.checksum import NUMBER, restore, states_before
from flopwise.engine.verify.records import read_records
from flopwise.paths import RunFolder

Path = tuple[Any, ...]
Mutation = tuple[int, Path, bytes]

NOWHERE_ELSE = {
    "AttemptStarted.limit_s",
    "AttemptStarted.slot",
    "DataPrepared.pin.tokens",
    "DataPrepared.seconds",
    "Measured.rows[].elapsed_s",
    "Measured.rows[].step",
    "Measured.rows[].values.loss",
    "SessionOpened.machine.cores",
    "SessionOpened.machine.memory_bytes",
    "SessionOpened.pid",
    "SessionOpened.slots[].cores[]",
    "SessionOpened.slots[].index",
    "SessionOpened.slots[].threads",
}
"""Observations that stand nowhere but in the journal (slots and rows: of attempts that were killed; limits that
are no time-out): the chain guards them, and nothing can if somebody computes the whole chain anew."""


def payloads_of(data: bytes) -> list[bytes]:
    return [line[18:] for line in data.splitlines()]


def written_crcs(data: bytes) -> dict[int, int]:
    return {index: int(line[9:17], 16) for index, line in enumerate(data.splitlines())}


def chained(payloads: list[bytes], crcs: dict[int, int] | None = None) -> bytes:
    """A journal of these payloads; ``crcs`` are written as they are, the others computed."""
    lines, previous = [], 0
    for index, payload in enumerate(payloads):
        previous = (crcs or {}).get(index, zlib.crc32(payload, previous))
        lines.append(b"%08x %08x %b\n" % (len(payload), previous, payload))
    return b"".join(lines)


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    """Paths of all numbers."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, key))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path


def changed(content: Any, path: Path) -> bytes:
    """The content as JSON with one number altered: one more, or half as much again and one."""
    copy = json.loads(json.dumps(content))
    here = copy
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = here[path[-1]] + 1 if isinstance(here[path[-1]], int) else here[path[-1]] * 1.5 + 1
    return json.dumps(copy, separators=(",", ":")).encode()


def mutations(data: bytes, of_each: int | None = None) -> Iterator[Mutation]:
    """Every number of every record, altered: record index, path, payload.

    Args:
        data: The journal.
        of_each: Only so many for each field of each event.
    """
    seen: dict[str, int] = {}
    for index, payload in enumerate(payloads_of(data)):
        content = json.loads(payload)
        for path in leaves(content):
            kind = field(content, path)
            seen[kind] = seen.get(kind, 0) + 1
            if of_each is None or seen[kind] <= of_each:
                yield index, path, changed(content, path)


def field(content: dict[str, Any], path: Path) -> str:
    return f"{content['event']}.{re.sub(r'[0-9]+(?=[]])', '', name(path))}"


def name(path: Path) -> str:
    """As verify writes it."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")


def at(found: list[Difference], index: int) -> list[Difference]:
    return [each for each in found if f"record {index + 1}," in each.where]


def with_record(folder: RunFolder, data: bytes, index: int, altered: bytes, checksum: str) -> None:
    """Write the journal with one record altered.

    Args:
        folder: Of the run.
        data: The journal as it was.
        index: Of the record.
        altered: Its new payload.
        checksum: ``old``, ``new`` (of that record) or ``all`` computed anew.
    """
    crcs = written_crcs(data)
    if checksum == "new":
        crcs[index] = zlib.crc32(altered, crcs.get(index - 1, 0))
    payloads = payloads_of(data)
    payloads[index] = altered
    folder.journal.write_bytes(chained(payloads, None if checksum == "all" else crcs))


@pytest.mark.parametrize("step", [pytest.param(4, id="every fourth"), pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("checksum", ["old", "new"])
def test_every_altered_number_is_noticed_by_the_chain_alone(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, checksum: str, step: int
) -> None:
    data = folder.journal.read_bytes()
    last = len(payloads_of(data)) - 1
    monkeypatch.setattr(chain, "MOST_SEARCHES", 0)
    count = 0
    for index, path, altered in list(mutations(data))[::step]:
        if index < last or checksum == "old":
            with_record(folder, data, index, altered, checksum)
            assert at(read_records(folder).differences, index), (index, path)
            count += 1
    assert count > 700 // step


@pytest.mark.parametrize("checksum", ["old", "new"])
def test_altered_numbers_are_named(folder: RunFolder, checksum: str) -> None:
    data = folder.journal.read_bytes()
    last = len(payloads_of(data)) - 1
    count = named = 0
    for index, path, altered in mutations(data, of_each=1):
        with_record(folder, data, index, altered, checksum)
        found = verify(folder)
        assert found
        assert at(found, index) or index == last
        count += 1
        named += any(name(path) in each.what for each in at(found, index))
    assert count > 90
    assert named >= 0.85 * count


@pytest.mark.parametrize("checksum", ["old", "new"])
def test_a_changed_digit_is_named_with_what_it_was(folder: RunFolder, checksum: str) -> None:
    data = folder.journal.read_bytes()
    for index, payload in enumerate(payloads_of(data)[:-1:13]):
        index *= 13
        content = json.loads(payload)
        for found in re.finditer(rb"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?=[,}\]])", payload):
            place = found.start() + (payload[found.start()] in b"-")
            digit = b"%d" % ((payload[place] - ord("0")) % 9 + 1)
            altered = payload[:place] + digit + payload[place + 1 :]
            path = next(p for p in leaves(content) if value(content, p) != value(json.loads(altered), p))
            with_record(folder, data, index, altered, checksum)
            (difference,) = verify(folder)
            assert difference in at([difference], index)
            assert difference.what == name(path)
            assert json.loads(difference.expected) == value(content, path)
            assert json.loads(difference.found) == value(json.loads(altered), path)


def value(content: Any, path: Path) -> Any:
    for key in path:
        content = content[key]
    return content


def test_the_last_record_with_a_new_checksum_disagrees_with_the_report(folder: RunFolder) -> None:
    data = folder.journal.read_bytes()
    index = len(payloads_of(data)) - 1
    content = json.loads(payloads_of(data)[index])
    assert content["event"] == "SessionClosed"
    with_record(folder, data, index, changed(content, ("t",)), "all")
    assert any("session_s" in each.what for each in verify(folder))
    with_record(folder, data, index, changed(content, ("session",)), "all")
    assert any(each.what == "session" for each in at(verify(folder), index))


@pytest.mark.parametrize("of_each", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_with_the_whole_chain_computed_anew_all_that_can_be_derived_still_disagrees(
    folder: RunFolder, of_each: int
) -> None:
    data = folder.journal.read_bytes()
    unnoticed = set()
    for index, path, altered in mutations(data, of_each):
        with_record(folder, data, index, altered, "all")
        if not verify(folder):
            unnoticed.add(field(json.loads(altered), path))
    assert unnoticed <= NOWHERE_ELSE


# Framing


def test_a_torn_last_record_is_no_difference_but_an_altered_line_end_is(folder: RunFolder) -> None:
    folder.report_json.unlink()
    data = folder.journal.read_bytes()
    last = data.rindex(b"\n", 0, -1) + 1
    for cut in range(last, len(data), 5):
        folder.journal.write_bytes(data[:cut])
        assert verify(folder) == []
    folder.journal.write_bytes(data[:-1] + b"\x0b")
    assert [each.what for each in verify(folder)] == ["framing"]


@pytest.mark.parametrize("line", [b"", b"nonsense", b"0000000Z 00000000 {}", b"\x00" * 40])
def test_a_line_that_is_no_record_is_named(folder: RunFolder, line: bytes) -> None:
    lines = folder.journal.read_bytes().split(b"\n")
    folder.journal.write_bytes(b"\n".join([*lines[:5], line, *lines[6:]]))
    found = verify(folder)
    assert [each.what for each in at(found, 5)] == ["framing"]
    assert f"byte {sum(len(each) + 1 for each in lines[:5])}" in found[0].where


@pytest.mark.parametrize("change", ["out", "twice", "swapped"])
def test_records_out_of_place_are_noticed(folder: RunFolder, change: str) -> None:
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    swapped = {"out": [], "twice": [lines[20], lines[20]], "swapped": [lines[21], lines[20]]}[change]
    folder.journal.write_bytes(b"".join([*lines[:20], *swapped, *lines[21 + (change == "swapped") :]]))
    found = verify(folder)
    assert any("checksum" in each.what for each in found)


@pytest.mark.parametrize("place", range(17))
def test_every_digit_of_a_header_counts(folder: RunFolder, place: int) -> None:
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    header = bytearray(lines[7])
    header[place] ^= 1
    folder.journal.write_bytes(b"".join([*lines[:7], bytes(header), *lines[8:]]))
    assert at(verify(folder), 7)


@pytest.mark.parametrize(
    ("payload", "what"),
    [
        (b"[]", "event"),
        (b'{"event":"Teapot"}', "event"),
        (b'{"event":"Alive"}', "event"),
        (b'{"event":"Alive","t":"noon"}', "t"),
        (b'{"event":"Alive","t":true}', "t"),
        (b'{"event":"AttemptStarted","attempt":"t0001.s0.a1","seed":1.5,"slot":0,"limit_s":null,"session":1}', "seed"),
        (b'{"event":"Measured","attempt":"t0001.s0.a1","rows":[7]}', "rows"),
    ],
)
def test_a_record_that_is_no_event_is_named(folder: RunFolder, payload: bytes, what: str) -> None:
    with_record(folder, folder.journal.read_bytes(), 9, payload, "all")
    assert [each.what for each in verify(folder)] == [what]


def test_an_empty_journal_does_not_hold(folder: RunFolder) -> None:
    folder.journal.write_bytes(b"")
    assert [each.what for each in verify(folder)] == ["records"]


# The checksum run backwards


def test_a_checksum_can_be_run_backwards() -> None:
    payload = bytes(range(256)) * 3
    states = states_before(payload, zlib.crc32(payload, 12345))
    assert states[0] == 12345
    assert all(states[end] == zlib.crc32(payload[:end], 12345) for end in range(len(payload) + 1))


@pytest.mark.parametrize(
    ("altered", "pool"),
    [(b"1.5e-06", ()), (b"1.25e-0", ()), (b"1.25e-067", ()), (b"-1.25e-06", ()), (b"999", (b"3", b"1.25e-06"))],
)
def test_a_number_is_restored_by_its_checksum(altered: bytes, pool: tuple[bytes, ...]) -> None:
    original = b'{"a":[1,2.5],"lr":1.25e-06,"z":7}'
    found = restore(original.replace(b"1.25e-06", altered), 99, zlib.crc32(original, 99), pool)
    assert found is not None
    assert found.payload == original


def test_what_cannot_be_restored_is_not_guessed() -> None:
    original = b'{"a":[1,2.5],"lr":1.25e-06,"z":7}'
    assert restore(original.replace(b"1.25e-06", b"77"), 99, zlib.crc32(original, 99), (b"8",)) is None
    assert restore(original, 99, zlib.crc32(original, 99), ()) is None
    assert NUMBER.fullmatch(b"1.25e-06")
