"""Reading documents: which files, what is in them, and what is wrong with them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from flopwise.errors import WorkloadError
from flopwise.workloads.language_model.documents import Spool, documents, empty_files
from flopwise.workloads.language_model.files import contents, find, overlap


def write(folder: Path, **texts: str | bytes) -> None:
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def names(folder: Path, *patterns: str) -> list[str]:
    return [each.path.relative_to(folder).as_posix() for each in find(patterns, folder, "data.files")]


def read(folder: Path, *patterns: str, field: str | None = None, utf8: bool = True) -> list[bytes]:
    return list(documents(find(patterns, folder, "data.files"), field, utf8))


def refusal(call: Callable[[], object]) -> WorkloadError:
    with pytest.raises(WorkloadError) as caught:
        call()
    return caught.value


def test_files_come_in_the_order_of_the_patterns_sorted_within_one_and_once(tmp_path: Path) -> None:
    write(tmp_path, b_DOT_txt="b", a_DOT_txt="a", sub__c_DOT_txt="c", sub__deep__d_DOT_txt="d", no_DOT_md="n")
    assert names(tmp_path, "*.txt") == ["a.txt", "b.txt"]
    assert names(tmp_path, "**/*.txt") == ["a.txt", "b.txt", "sub/c.txt", "sub/deep/d.txt"]
    assert names(tmp_path, "sub/*.txt", "b.txt", "**/*.txt") == ["sub/c.txt", "b.txt", "a.txt", "sub/deep/d.txt"]
    assert names(tmp_path, str(tmp_path / "*.md")) == ["no.md"]


def test_a_link_to_a_file_is_the_same_file(tmp_path: Path) -> None:
    write(tmp_path, a_DOT_txt="a")
    (tmp_path / "b.txt").symlink_to(tmp_path / "a.txt")
    assert names(tmp_path, "*.txt") == ["a.txt"]
    assert overlap(find(["a.txt"], tmp_path, "k"), find(["b.txt"], tmp_path, "k")) == [tmp_path / "a.txt"]


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, a_DOT_txt="a")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [each.path for each in find(["~/a.txt", "~/*.txt"], Path("/"), "k")] == [tmp_path / "a.txt"]


@pytest.mark.parametrize("pattern", ["gone.txt", "*.gone", "gone/**/*.txt"])
def test_a_pattern_without_a_file_is_refused(pattern: str, tmp_path: Path) -> None:
    error = refusal(lambda: find([pattern], tmp_path, "data.files"))
    assert error.problem == "no file matches"
    assert (error.expected, error.where) == (str(tmp_path / pattern), "data.files")


def test_a_folder_is_refused_with_a_pattern_for_its_files(tmp_path: Path) -> None:
    write(tmp_path, sub__a_DOT_txt="a")
    assert "sub/**/*.txt" in str(refusal(lambda: find(["sub/"], tmp_path, "data.files")))


def test_contents_are_hashed_not_names_or_times(tmp_path: Path) -> None:
    write(tmp_path, a_DOT_txt="one", b_DOT_txt="two", c_DOT_txt="one")
    first = contents(find(["a.txt", "b.txt"], tmp_path, "k"))
    os.utime(tmp_path / "b.txt", (0, 0))
    assert contents(find(["c.txt", "b.txt"], tmp_path, "k")) == first
    assert first.bytes == 6
    before = (tmp_path / "b.txt").stat()
    write(tmp_path, b_DOT_txt="tow")
    os.utime(tmp_path / "b.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert contents(find(["a.txt", "b.txt"], tmp_path, "k")).sha256 != first.sha256


def test_a_text_moved_from_one_file_to_the_next_is_another_content(tmp_path: Path) -> None:
    write(tmp_path, a_DOT_txt="ab", b_DOT_txt="c", c_DOT_txt="a", d_DOT_txt="bc")
    first, second = (contents(find(names, tmp_path, "k")) for names in (["a.txt", "b.txt"], ["c.txt", "d.txt"]))
    assert first.sha256 != second.sha256


def test_a_plain_file_is_one_document_whatever_its_ending(tmp_path: Path) -> None:
    write(tmp_path, a_DOT_txt="ä\n", b_DOT_md="# b", c_DOT_py="c = 1", d="no ending")
    assert read(tmp_path, "*") == ["ä\n".encode(), b"# b", b"c = 1", b"no ending"]


def test_json_lines_give_a_document_a_line(tmp_path: Path) -> None:
    rows = ['{"text": "one"}', "", '{"text": "", "id": 3}', '{"id": 4, "text": "zwei \\u00e4"}']
    write(tmp_path, a_DOT_jsonl="\n".join(rows) + "\n", b_DOT_ndjson='{"body": "three"}')
    assert read(tmp_path, "a.jsonl") == [b"one", "zwei ä".encode()]
    assert read(tmp_path, "b.ndjson", field="body") == [b"three"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"text": 3}', "no text under 'text'"),
        (b'{"content": "a", "id": 1}', r"the keys 'content', 'id'[\s\S]*data.text_field"),
        (b'["text"]', "list"),
        (b'{"text": "a"', "not JSON"),
        (b'{"text": "\\ud800"}', "surrogate"),
        (b'{"text": "\xff"}', "not UTF-8"),
    ],
)
def test_a_line_that_is_not_right_is_named(line: bytes, words: str, tmp_path: Path) -> None:
    write(tmp_path, a_DOT_jsonl=b'{"text": "good"}\n' + line + b"\n")
    with pytest.raises(WorkloadError, match=words) as caught:
        read(tmp_path, "a.jsonl", utf8=False)
    place = "offset 27" if b"\xff" in line else "line 2"
    assert f"{tmp_path / 'a.jsonl'}, {place}" in str(caught.value.where)


def test_parquet_gives_a_document_a_row(tmp_path: Path) -> None:
    table = pa.table({"id": range(5000), "text": [f"text {i}" for i in range(4998)] + [None, ""]})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=700)
    parquet.write_table(pa.table({"body": pa.array(["ä"], pa.large_string())}), tmp_path / "b.parquet")
    assert read(tmp_path, "a.parquet") == [f"text {i}".encode() for i in range(4998)]
    assert read(tmp_path, "b.parquet", field="body") == ["ä".encode()]


def test_what_is_wrong_with_a_parquet_file_is_said(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"id": [1], "body": ["x"]}), tmp_path / "a.parquet")
    assert "the columns id, body" in str(refusal(lambda: read(tmp_path, "a.parquet")))
    assert "holds no text" in str(refusal(lambda: read(tmp_path, "a.parquet", field="id")))
    (tmp_path / "a.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-20])
    assert "not a whole one" in str(refusal(lambda: read(tmp_path, "a.parquet")))


def test_without_pyarrow_parquet_is_refused_with_the_way_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, a_DOT_parquet=b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "flopwise.workloads.language_model.parquet", raising=False)
    assert "flopwise[parquet]" in str(refusal(lambda: read(tmp_path, "a.parquet")).fix)


def test_text_that_is_not_utf8_is_refused_with_its_offset_unless_bytes_will_do(tmp_path: Path) -> None:
    write(tmp_path, a_DOT_txt=b"fine \xc3\xa4, then \xff")
    error = refusal(lambda: read(tmp_path, "a.txt"))
    assert error.where == f"{tmp_path / 'a.txt'}, offset 14"
    assert "0xff" in str(error.got)
    assert read(tmp_path, "a.txt", utf8=False) == [b"fine \xc3\xa4, then \xff"]


@pytest.mark.parametrize(("name", "fix"), [("a.txt.gz", "unpack"), ("a.bin", "source: bin"), ("a.ARROW", "convert")])
def test_a_file_that_is_no_text_by_its_name_is_refused(name: str, fix: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"123")
    assert fix in str(refusal(lambda: read(tmp_path, "a*")).fix)


def test_an_empty_file_is_refused_when_it_is_named_and_counted_when_a_pattern_meets_it(tmp_path: Path) -> None:
    write(tmp_path, a_DOT_txt="a", b_DOT_txt="")
    error = refusal(lambda: read(tmp_path, "a.txt", "b.txt"))
    assert (error.problem, error.where) == ("a file of the text is empty", str(tmp_path / "b.txt"))
    assert read(tmp_path, "*.txt") == [b"a"]
    assert empty_files(find(["*.txt"], tmp_path, "k")) == 1


def test_json_lines_without_a_document_are_refused_even_from_a_pattern(tmp_path: Path) -> None:
    write(tmp_path, a_DOT_jsonl=json.dumps({"text": ""}))
    assert "empty" in str(refusal(lambda: read(tmp_path, "*.jsonl")))


def test_a_spool_gives_back_every_document_and_leaves_no_file(tmp_path: Path) -> None:
    texts = [bytes([i]) * i for i in range(1, 200)]
    spool = Spool(iter(texts), tmp_path)
    assert len(spool) == 199
    assert spool.lengths == list(range(1, 200))
    assert [spool.document(i) for i in (198, 0, 77)] == [texts[198], texts[0], texts[77]]
    assert list(tmp_path.iterdir()) == []
    assert len(Spool(iter([]), tmp_path)) == 0
