"""Every altered byte of a journal is noticed, and the message says where."""

from __future__ import annotations

import itertools
import json
import random
import re
import zlib
from pathlib import Path

import pytest

from flopwise.errors import JournalDamaged
from flopwise.events import AttemptStarted
from flopwise.journal.log import Journal
from flopwise.journal.read import read_events
from flopwise.journal.records import HEADER_BYTES, frame, scan
from flopwise.paths import RunFolder


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = RunFolder(tmp_path_factory.mktemp("damage") / "run")
    with Journal.create(folder) as journal:
        journal.append([AttemptStarted(f"t{n:04d}.s0.a1", n * 7919, n % 8, None, 1) for n in range(200)])
        journal.commit()
    return folder.journal


def starts(data: bytes) -> list[int]:
    return [record.offset for record in scan(data, "test").records]


def offset_named(error: JournalDamaged) -> int:
    found = re.search(r"byte (\d+)", str(error))
    assert found is not None
    return int(found[1])


def test_a_flipped_bit_in_any_record_is_noticed_at_that_record(journal: Path) -> None:
    data = journal.read_bytes()
    begins = starts(data)
    ends = [*begins[1:], len(data)]
    draw = random.Random(0)
    for begin, end in zip(begins, ends, strict=True):
        header = draw.randrange(begin, begin + HEADER_BYTES)
        payload = draw.randrange(begin + HEADER_BYTES, end - 1)
        for place in (header, payload, end - 1):
            flipped = bytearray(data)
            flipped[place] ^= 1 << draw.randrange(8)
            with pytest.raises(JournalDamaged) as caught:
                scan(bytes(flipped), "test")
            assert offset_named(caught.value) == begin


def test_every_bit_of_a_record_and_of_the_last_one_is_noticed(journal: Path) -> None:
    begin = starts(journal.read_bytes())[-3]
    data = journal.read_bytes()[begin:]
    previous = scan(journal.read_bytes()[:begin], "test").crc
    lines = [line[HEADER_BYTES:] for line in data.splitlines()]
    rebuilt, crc = b"", 0
    for line in lines:
        record, crc = frame(line, crc)
        rebuilt += record
    assert previous != 0
    for place in range(len(rebuilt)):
        for bit in range(8):
            flipped = bytearray(rebuilt)
            flipped[place] ^= 1 << bit
            with pytest.raises(JournalDamaged):
                scan(bytes(flipped), "test")


def test_an_altered_record_with_a_new_checksum_is_noticed_at_the_next_one(journal: Path) -> None:
    data = journal.read_bytes()
    begins = starts(data)
    for victim in (0, 57, 198):
        previous = scan(data[: begins[victim]], "test").crc
        content = json.loads(data[begins[victim] + HEADER_BYTES : begins[victim + 1]])
        content["seed"] += 1
        forged, _ = frame(json.dumps(content, separators=(",", ":")).encode(), previous)
        with pytest.raises(JournalDamaged) as caught:
            scan(data[: begins[victim]] + forged + data[begins[victim + 1] :], "test")
        assert offset_named(caught.value) == begins[victim] + len(forged)


@pytest.mark.parametrize("change", ["drop", "swap", "repeat"])
def test_records_taken_out_swapped_or_repeated_are_noticed(journal: Path, change: str) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    if change == "drop":
        del lines[40]
    elif change == "swap":
        lines[40], lines[41] = lines[41], lines[40]
    else:
        lines.insert(40, lines[40])
    with pytest.raises(JournalDamaged):
        scan(b"".join(lines), "test")


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"{nonsense", "JSON"),
        (b"[1]", "JSON object"),
        (b'{"event":"Teapot"}', "unknown event 'Teapot'"),
        (b'{"event":"Alive","t":1.0,"tea":2}', "unknown fields"),
        (b'{"event":"Alive"}', "incomplete"),
    ],
)
def test_a_whole_record_that_is_no_event_is_refused_with_its_place(
    tmp_path: Path, payload: bytes, message: str
) -> None:
    first, crc = frame(b'{"event":"Alive","t":1.0}', 0)
    (tmp_path / "journal.log").write_bytes(first + frame(payload, crc)[0])
    with pytest.raises(JournalDamaged, match=message) as caught:
        read_events(tmp_path / "journal.log")
    assert offset_named(caught.value) == len(first)
    assert "journal.log" in str(caught.value)


def test_a_record_can_be_checked_though_the_one_before_is_unreadable(journal: Path) -> None:
    lines = journal.read_bytes().splitlines()
    for before, line in itertools.pairwise(lines):
        written = int(before[9:17], 16)
        assert zlib.crc32(line[HEADER_BYTES:], written) == int(line[9:17], 16)
