"""Faults 21 and 22: torn tails, flipped bits, holes. All is noticed, and ``flopwise repair`` has back what it can."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flopwise.cli.repair import command
from flopwise.engine.verify import verify
from flopwise.errors import JournalDamaged, RunError
from flopwise.journal.lock import WriterLock
from flopwise.journal.log import Journal, read_events
from flopwise.journal.replay import RunState
from flopwise.journal.salvage import framed, salvage
from flopwise.paths import RunFolder

LONG: dict[str, Any] = {
    "execution": {"executor": "inline", "slots": 1},
    "tiers": {"only": {"population": 6, "generations": 6}},
    "confirm": {"top": 2, "seeds": 4},
}
"""More than two hundred records."""


@pytest.fixture(scope="module")
def whole(calm: Any) -> Any:
    """A finished run, whole."""
    return calm(**LONG)


Copy = Callable[..., RunFolder]


@pytest.fixture
def copy(whole: Any, tmp_path: Path) -> Copy:
    """``copy(data)``: the run in a folder of its own, with these bytes for its journal."""
    count = iter(range(10_000))

    def make(data: bytes) -> RunFolder:
        folder = RunFolder(tmp_path / f"copy{next(count)}" / "valley")
        shutil.copytree(whole.folder.root, folder.root)
        folder.root.chmod(0o700)
        folder.journal.write_bytes(data)
        return folder

    return make


def flipped(data: bytes, at: int, bit: int) -> bytes:
    """One bit of it changed."""
    changed = bytearray(data)
    changed[at] ^= 1 << bit
    return bytes(changed)


Repair = Callable[[RunFolder], tuple[RunFolder, str]]


@pytest.fixture
def repaired(capsys: pytest.CaptureFixture[str]) -> Repair:
    """``repaired(folder)``: what ``flopwise repair`` makes of a run, and says. The damaged one stays as it was."""

    def repair(folder: RunFolder) -> tuple[RunFolder, str]:
        before = folder.journal.read_bytes()
        command(str(folder.root))
        assert folder.journal.read_bytes() == before
        return RunFolder(folder.root.with_name("valley-2")), capsys.readouterr().out

    return repair


@pytest.mark.fault("F21", suite=10, long=10_000)
def test_a_run_cut_at_any_byte_of_its_last_records_goes_on_behind_the_last_whole_one(
    rounds: Any, whole: Any, copy: Copy
) -> None:
    data = whole.folder.journal.read_bytes()
    starts = [0]
    while starts[-1] < len(data):
        starts.append(data.index(b"\n", starts[-1]) + 1)

    def check(at: int) -> None:
        folder = copy(data[:at])
        folder.report_json.unlink()
        kept = [start for start in starts if start <= at][-1]
        with Journal.open(folder) as journal:
            assert bool(journal.notes) == (at != kept)
            assert folder.journal.stat().st_size == kept
        assert verify(folder) == []

    rounds.each(check, list(range(starts[-4], len(data) + 1)))


@pytest.mark.fault("F22", suite=10_000, long=10_000)
def test_a_flipped_bit_in_any_record_is_refused_with_its_place_and_undone(rounds: Any, whole: Any, copy: Copy) -> None:
    """Repair's own reading; the command is tried below."""
    data = whole.folder.journal.read_bytes()
    lines = data.splitlines(keepends=True)
    assert len(lines) >= 200
    offsets = [sum(map(len, lines[:index])) for index in range(len(lines))]

    def check(index: int) -> None:
        dice = random.Random(index)
        for at in (dice.randrange(17), dice.randrange(18, len(lines[index]) - 1), len(lines[index]) - 1):
            damaged = flipped(data, offsets[index] + at, dice.randrange(8))
            path = copy_of_journal(damaged)
            with pytest.raises(JournalDamaged, match=f"byte {offsets[index]}"):
                read_events(path)
            kept = salvage(damaged)
            assert not kept.lost
            assert framed([record.payload for record in kept.kept]) == data
            assert [record.number for record in kept.mended] == [index + 1]

    folder = copy(data)

    def copy_of_journal(damaged: bytes) -> Path:
        folder.journal.write_bytes(damaged)
        return folder.journal

    rounds.each(check, list(range(len(lines))))


@pytest.mark.fault("F22", suite=4, long=60)
def test_repair_of_a_flipped_bit_loses_nothing(rounds: Any, whole: Any, copy: Copy, repaired: Repair) -> None:
    data = whole.folder.journal.read_bytes()

    def check(number: int) -> None:
        dice = random.Random(number)
        folder = copy(flipped(data, dice.randrange(len(data)), dice.randrange(8)))
        assert verify(folder) != []
        new, said = repaired(folder)
        assert "1 of them put right, 0 lost" in said
        assert new.journal.read_bytes() == data
        assert verify(new) == []
        shutil.rmtree(folder.root.parent)

    rounds.each(check)


@pytest.mark.fault("F22", suite=4, long=60)
def test_repair_of_a_hole_keeps_what_came_before_and_hands_out_the_rest(
    rounds: Any, whole: Any, copy: Copy, repaired: Repair
) -> None:
    """Some hundred bytes of zeros in the middle, as a file system may leave them."""
    data = whole.folder.journal.read_bytes()
    losses = {event.attempt: event.metrics for event in whole.ends}

    def check(number: int) -> None:
        dice = random.Random(number)
        at, size = dice.randrange(len(data) // 3, len(data) // 2), dice.randrange(100, 600)
        folder = copy(data[:at] + bytes(size) + data[at + size :])
        new, said = repaired(folder)
        assert "lost" in said
        assert data.startswith(new.journal.read_bytes())
        assert new.journal.stat().st_size > at - max(map(len, data.splitlines()))
        assert verify(new) == []
        later = [json.loads(line) for line in folder.root.with_name("valley-salvaged.jsonl").read_text().splitlines()]
        found = {event["attempt"]: event["metrics"] for event in later if event["event"] == "AttemptEnded"}
        kept = {end.attempt for end in RunState(read_events(new.journal)[0]).ended()}
        assert len(losses) - len(kept | set(found)) <= 5
        assert found == {attempt: losses[attempt] for attempt in found}
        shutil.rmtree(folder.root.parent)

    rounds.each(check)


def test_a_repaired_run_goes_on_to_the_same_end(valley: Any, calm: Any, repaired: Repair) -> None:
    """Cut down by a hole in its middle, and run again: the same trials, values and verdict."""
    undisturbed = calm()
    study = valley()
    assert study.run() == 0, study.output
    data = study.folder.journal.read_bytes()
    at = len(data) // 2
    study.folder.journal.write_bytes(data[:at] + bytes(200) + data[at + 200 :])
    new, _ = repaired(study.folder)
    assert study.folder.root == new.root
    study.settle(undisturbed)
    assert study.folder.root == new.root


def test_what_does_not_matter_may_be_lost(valley: Any, repaired: Repair) -> None:
    """A record of learning-curve rows: the run holds without it, so all others stay."""
    study = valley(base={"pace_s": 0.01})
    assert study.run() == 0, study.output
    data = study.folder.journal.read_bytes()
    at = data.index(b'"event":"Measured"', len(data) // 2)
    study.folder.journal.write_bytes(data[:at] + b"~" * 20 + data[at + 20 :])
    new, said = repaired(study.folder)
    assert "1 lost" in said
    assert len(new.journal.read_bytes().splitlines()) == len(data.splitlines()) - 1
    assert RunState(read_events(new.journal)[0]).verdict is not None
    assert not study.folder.root.with_name("valley-salvaged.jsonl").exists()


def test_a_run_without_damage_is_left_alone(whole: Any, copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    data = whole.folder.journal.read_bytes()
    for journal in (data, data + b"0000"):
        folder = copy(journal)
        command(str(folder.root))
        assert "nothing to repair" in capsys.readouterr().out
        assert [path.name for path in folder.root.parent.iterdir()] == ["valley"]


def test_what_cannot_be_repaired_is_said(whole: Any, copy: Copy, flopwise: Any) -> None:
    data = whole.folder.journal.read_bytes()
    headless = copy(b"~" * 40 + data[40:])
    refused = flopwise("repair", str(headless.root))
    assert refused.returncode == 4
    assert "the first record, which holds the study, cannot be had back" in refused.stderr
    assert "study.yaml again" in refused.stderr
    held = copy(flipped(data, 500, 1))
    lock = WriterLock(held.lock)
    with pytest.raises(RunError, match="somebody works on this run"):
        command(str(held.root))
    lock.release()
    for folder in (headless, held):
        assert [path.name for path in folder.root.parent.iterdir()] == ["valley"]


def test_a_repaired_run_is_private_and_follows_no_link(
    whole: Any, copy: Copy, repaired: Repair, tmp_path: Path
) -> None:
    data = whole.folder.journal.read_bytes()
    folder = copy(flipped(data, len(data) // 2, 2))
    secret = tmp_path / "secret"
    secret.write_text("precious")
    (folder.attempt("t0001.s0.a1") / "link").symlink_to(secret)
    shutil.rmtree(folder.attempt("t0002.s0.a1"))
    folder.attempt("t0002.s0.a1").symlink_to(tmp_path)
    new, _ = repaired(folder)
    assert (new.attempt("t0001.s0.a1") / "link").is_symlink()
    assert not new.attempt("t0002.s0.a1").exists()
    for path in [new.root, *new.root.rglob("*")]:
        assert path.is_symlink() or path.stat().st_mode & 0o077 == 0, path
