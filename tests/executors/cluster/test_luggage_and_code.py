"""Files that travel: an attempt's home, the user's code to the nodes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from flopwise.errors import InputError
from flopwise.executors.cluster import code, luggage


def test_an_attempts_files_come_home_bounded_and_in_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, home = tmp_path / "there", tmp_path / "home"
    (there / "deep").mkdir(parents=True)
    home.mkdir()
    for name, size in (("summary.json", 10), ("stdout", 20), ("deep/model.bin", 40), ("huge.bin", 5000)):
        (there / name).write_bytes(b"x" * size)
    (there / "link").symlink_to("/etc/passwd")
    monkeypatch.setattr(luggage, "MOST_BYTES", 100)
    luggage.unpack(luggage.pack(there), home)
    found = {p.relative_to(home).as_posix() for p in home.rglob("*") if p.is_file()}
    assert found == {"summary.json", "stdout", "deep/model.bin", "left_behind.txt"}
    assert "huge.bin (5000 bytes)" in (home / "left_behind.txt").read_text()


@pytest.mark.parametrize("name", ["../summary.json", "/etc/cron.d/x", "a/../../x", "", "a\0b"])
def test_a_name_that_leads_out_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="may not be called"):
        luggage.unpack([(name, b"x")], tmp_path)
    assert list(tmp_path.parent.glob("summary.json")) == []


def test_files_of_an_attempt_whose_folder_is_gone_are_dropped(tmp_path: Path) -> None:
    luggage.unpack([("summary.json", b"x")], tmp_path / "gone")
    assert list(tmp_path.iterdir()) == []


def test_code_is_packed_without_environments_runs_and_hidden_files(tmp_path: Path) -> None:
    work, beside, into = tmp_path / "work", tmp_path / "beside", tmp_path / "into"
    for path in ("work/train.py", "work/pkg/a.py", "work/.git/x", "work/.venv/pyvenv.cfg", "work/runs/r/journal.log"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("1")
    (work / "venv").mkdir()
    (work / "venv/pyvenv.cfg").write_text("")
    (work / "venv/big.py").write_text("")
    beside.mkdir()
    (beside / "mine.py").write_text("2")
    packed = code.pack(work, ["", str(beside), str(work / "pkg"), *sys.path[1:]], None)
    code.unpack(packed.archive, into)
    files = {p.relative_to(into).as_posix() for p in into.rglob("*") if p.is_file()}
    assert {"0/train.py", "0/pkg/a.py"} <= files and not any("git" in f or "venv" in f or "journal" in f for f in files)
    assert packed.paths[0] == "0" and "0/pkg" in packed.paths
    assert any(f.endswith("/mine.py") for f in files)
    assert not any("site-packages" in f or f.endswith("flopwise/__init__.py") for f in files)


def test_too_much_is_left_out_with_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "data.bin").write_bytes(b"x" * 1000)
    monkeypatch.setattr(code, "MOST_BYTES", 100)
    packed = code.pack(tmp_path, [], None)
    assert "only its Python files" in packed.notes[0] and "execution.options.ship" in packed.notes[0]
    named = code.pack(tmp_path, [], ["data.bin"])
    assert named.notes == () and len(named.archive) > 100


@pytest.mark.parametrize("name", ["missing.txt", "../other"])
def test_what_is_named_must_be_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"execution\.options\.ship names"):
        code.pack(tmp_path, [], [name])
