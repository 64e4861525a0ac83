"""What an attempt prints is kept, its beginning and its end, and never fills the disk."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.executors import linux
from flopwise.executors.output import Output

KIBIBYTE = 1 << 10
NOTICE = re.compile(rb"\n\[\xe2\x80\xa6 (\d+) bytes left out: more than execution.output_limit \xe2\x80\xa6\]\n")


@pytest.fixture(scope="module")
def greedy(make_local: Any) -> Any:
    return make_local(objective="import:greedy:run")


def test_much_output_takes_little_of_the_disk_while_it_runs_and_after(greedy: Any, processes: Any) -> None:
    name = greedy.start_and_hear("print_much", kibibytes=64 * KIBIBYTE, wait=True, job={"output_bytes": 1 << 20})
    path = greedy.heard[name].folder / "stdout"
    assert path.stat().st_size > 64 << 20
    processes.wait_for(lambda: path.stat().st_blocks * 512 <= 2 << 20)
    (path.parent / "go").touch()
    heard = greedy.finish(name)
    assert (heard.outcome, heard.ended.reason) == ("ok", "exit")
    text = path.read_bytes()
    assert len(text) < (1 << 20) + 200
    assert text.startswith(b"the first line\n") and text.endswith(b"\nthe last line\n")
    assert b"\0" not in text and len(NOTICE.findall(text)) == 1
    assert sorted(p.name for p in path.parent.iterdir()) == ["go", "run.md", "stderr", "stdout", "summary.json"]


def test_the_last_64_kib_are_kept_when_it_dies_right_after(greedy: Any) -> None:
    heard = greedy.run("print_and_die", kibibytes=8 * KIBIBYTE, job={"output_bytes": 128 * KIBIBYTE})
    assert heard.reported is None and "the last words" in heard.ended.tail
    last = (heard.folder / "stderr").read_bytes()[-64 * KIBIBYTE :]
    assert last.endswith(b"the last words\n") and set(last[:-15]) == set(b"x\n")


def test_output_below_its_limit_is_not_touched(greedy: Any) -> None:
    heard = greedy.run("print_much", kibibytes=1000, job={"output_bytes": 1 << 20})
    assert (heard.folder / "stdout").stat().st_size == 1000 * KIBIBYTE + 29


def test_a_file_that_its_program_empties_stays_a_sound_file(greedy: Any) -> None:
    heard = greedy.run("empty_output", job={"output_bytes": 64 * KIBIBYTE})
    assert heard.outcome == "ok"
    assert (heard.folder / "stdout").read_text() == "after\n"


@pytest.mark.parametrize("holes", [True, False], ids=["with holes", "without holes"])
@settings(max_examples=60, deadline=None)
@given(limit=st.integers(400, 20_000), chunks=st.lists(st.tuples(st.integers(0, 9000), st.booleans()), max_size=12))
def test_beginning_and_end_are_whole_and_what_is_missing_is_counted(
    tmp_path_factory: pytest.TempPathFactory, holes: bool, limit: int, chunks: list[tuple[int, bool]]
) -> None:
    path = tmp_path_factory.mktemp("output") / "stdout"
    said = b""
    with pytest.MonkeyPatch.context() as patch:
        if not holes:
            patch.setattr(linux, "punch_hole", lambda fd, start, end: False)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        output = Output(path, fd, limit)
        for number, (size, look) in enumerate(chunks):
            chunk = bytes([65 + number]) * size
            os.write(fd, chunk)
            said += chunk
            if look:
                output.trim()
        output.close_up()
        os.close(fd)
    _check(path, said, limit)


def _check(path: Path, said: bytes, limit: int) -> None:
    kept = path.read_bytes()
    if len(said) <= limit:
        assert kept == said
        return
    head, dropped, tail = NOTICE.split(kept)
    assert (len(head), said.startswith(head), said.endswith(tail)) == (limit // 4, True, True)
    assert len(head) + int(dropped) + len(tail) == len(said)
    assert limit // 2 <= len(tail) <= limit - limit // 4


def test_an_end_that_cannot_be_tidied_is_left_as_it_is(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "stdout"
    (tmp_path / "stdout.part").symlink_to(tmp_path / "elsewhere")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, b"x" * 10_000)
    Output(path, fd, 1000).close_up()
    assert os.pread(fd, 500, 9500) == b"x" * 500 and not (tmp_path / "elsewhere").exists()
    assert "stdout keeps its hole" in capsys.readouterr().err
    os.close(fd)
