"""The keeper's stamps survive whatever cut their last line short."""

from __future__ import annotations

from pathlib import Path

import pytest

from flopwise.executors.stamps import Stamps, read_stamps


def test_stamps_are_read_back_in_order(tmp_path: Path) -> None:
    stamps = Stamps(tmp_path / "keeper.jsonl")
    stamps.add("start", 1.5, attempt="a", pid=7)
    stamps.add("end", 2.5, attempt="a", pid=7)
    assert [s["event"] for s in read_stamps(tmp_path / "keeper.jsonl")] == ["start", "end"]
    assert (tmp_path / "keeper.jsonl").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_torn_tail_costs_only_itself(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "keeper.jsonl"
    first = Stamps(path)
    first.add("start", 1.0, attempt="a", pid=7)
    whole = path.stat().st_size
    first.add("end", 2.0, attempt="a", pid=7)
    path.write_bytes(path.read_bytes()[: whole + cut])
    Stamps(path).add("coordinator_gone", 3.0)
    assert [s["event"] for s in read_stamps(path)] == ["start", "coordinator_gone"]


def test_stamps_of_another_boot_can_be_left_out(tmp_path: Path) -> None:
    stamps = Stamps(tmp_path / "keeper.jsonl")
    for boot, at in (("old", 9e6), ("new", 5.0)):
        stamps.add("keeper", at, pid=1, boot_id=boot)
        stamps.add("coordinator_gone", at + 1)
    found = read_stamps(tmp_path / "keeper.jsonl", boot_id="new")
    assert [s["at"] for s in found] == [5.0, 6.0]


def test_no_file_is_no_stamps(tmp_path: Path) -> None:
    assert read_stamps(tmp_path / "keeper.jsonl") == []


def test_a_link_planted_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("precious")
    (tmp_path / "keeper.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        Stamps(tmp_path / "keeper.jsonl")
