"""A journal read piece by piece gives what it gives in one, whatever the size of the pieces."""

from __future__ import annotations

from pathlib import Path

import pytest

from flopwise.errors import JournalDamaged
from flopwise.events import Alive, Event, Measured
from flopwise.journal import read
from flopwise.journal.log import Journal
from flopwise.journal.read import iter_events, read_events
from flopwise.paths import RunFolder

EVENTS: list[Event] = [
    Alive(1.0),
    Measured("t0001.s0.a1", [{"step": step, "elapsed_s": 1.0, "values": {"loss": 0.5}} for step in range(40)]),
    *(Alive(float(t)) for t in range(2, 30)),
]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "run")
    with Journal.create(made) as journal:
        journal.append(EVENTS)
        journal.commit()
    return made


@pytest.mark.parametrize("size", [1, 30, 64, 1000, 1 << 20])
def test_pieces_of_any_size(folder: RunFolder, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(read, "CHUNK_BYTES", size)
    assert list(iter_events(folder.journal)) == EVENTS
    assert read_events(folder.journal) == (EVENTS, [])
    with Journal.open(folder) as journal:
        assert journal.replayed == EVENTS
        journal.append([Alive(99.0)])
        journal.commit()
    assert read_events(folder.journal)[0] == [*EVENTS, Alive(99.0)]


@pytest.mark.parametrize("size", [50, 1 << 20])
def test_a_torn_end_is_noted_once(folder: RunFolder, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    folder.journal.write_bytes(folder.journal.read_bytes()[:-5])
    monkeypatch.setattr(read, "CHUNK_BYTES", size)
    events, notes = read_events(folder.journal)
    assert events == EVENTS[:-1]
    assert len(notes) == 1 and "unterminated last record" in notes[0]


@pytest.mark.parametrize("size", [50, 1 << 20])
def test_damage_is_named_by_its_place_in_the_file(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    data = bytearray(folder.journal.read_bytes())
    at = data.rindex(b"28.0")
    data[at : at + 4] = b"27.0"
    folder.journal.write_bytes(data)
    monkeypatch.setattr(read, "CHUNK_BYTES", size)
    with pytest.raises(JournalDamaged) as caught:
        list(iter_events(folder.journal))
    assert "record 29 " in caught.value.problem
    assert f"byte {data.rindex(b'{', 0, at) - 18}" in str(caught.value)


def test_without_durability_events_are_written_and_not_synced(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    with Journal.open(folder) as journal:
        monkeypatch.setattr("flopwise.journal.log.os.fsync", synced.append)
        journal.durable = False
        journal.append([Alive(50.0)])
        journal.commit()
        assert synced == []
        assert read_events(folder.journal)[0] == [*EVENTS, Alive(50.0)]
        journal.durable = True
        journal.append([Alive(51.0)])
        journal.commit()
        assert len(synced) == 1
