"""Rule S1: hostile and broken files get one clear error with file and line; good ones give plain values."""

from __future__ import annotations

from pathlib import Path

import pytest

from flopwise.errors import InputError, StudyError
from flopwise.study.load import MAX_BYTES, MAX_DEPTH, MAX_LINE, MAX_VALUES, read_file, read_yaml


def refused(text: str) -> str:
    """The message for a text that is refused while it is read."""
    with pytest.raises(StudyError) as caught:
        read_yaml(text, "s.yaml")
    return str(caught.value)


def complaints(text: str) -> list[str]:
    """What is wrong with a text that could be read to its end."""
    return [str(problem) for problem in read_yaml(text, "s.yaml").problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1e12", 1e12),
        ("3.2e-5", 3.2e-5),
        ("1.5E+11", 1.5e11),
        ("-.5", -0.5),
        ("12", 12),
        ("-3", -3),
        ("1_000", 1000),
        ("0x10", 16),
        ("true", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("yes", "yes"),
        ("off", "off"),
        ("2026-01-01", "2026-01-01"),
        ("1:30", "1:30"),
        ("10m", "10m"),
        ("'1e-4'", "1e-4"),
        ('"12"', "12"),
        ("{a: [1, {b: c}]}", {"a": [1, {"b": "c"}]}),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    read = read_yaml(f"x: {text}", "s.yaml").data["x"]
    assert read == value
    assert type(read) is type(value)


def test_every_key_and_entry_has_its_line() -> None:
    document = read_yaml("a: 1\nb:\n  c.d: {low: 1,\n    high: 2}\n  e:\n  - 7\n  - 8\n", "s.yaml")
    lines = {"a": 1, "b": 2, "b.c.d": 3, "b.c.d.low": 3, "b.c.d.high": 4, "b.e": 5, "b.e.0": 6, "b.e.1": 7}
    assert document.lines == lines
    assert document.problems == []


def test_an_alias_is_a_copy_of_its_anchor() -> None:
    data = read_yaml("a: &a {x: [1]}\nb: *a\nc: *a\n", "s.yaml").data
    assert data == {"a": {"x": [1]}, "b": {"x": [1]}, "c": {"x": [1]}}
    data["b"]["x"].append(2)
    assert data["a"] == data["c"] == {"x": [1]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: [1,\n", "s.yaml:3: YAML"),
        ("a: 1\n\tb: 2\n", "s.yaml:2: YAML"),
        ("a: 'x\n", "YAML: while scanning a quoted scalar"),
        ("a: \x07", "s.yaml:1: YAML: a character here may not stand in YAML"),
        ("a: 1\nb: \x00", "s.yaml:2: YAML: a character"),
        ("a: 1\n---\nb: 2\n", "s.yaml:2: YAML: a second document"),
        ("%YAML 1.1\n---\na: 1\n", "drop the %YAML line"),
        ("a: *nowhere\n", "s.yaml:1: YAML: the alias *nowhere has no finished anchor"),
        ("a: &a [*a]\n", "the alias *a has no finished anchor"),
    ],
)
def test_broken_yaml_names_file_and_line(text: str, words: str) -> None:
    assert words in refused(text)


@pytest.mark.parametrize(
    "tag",
    ["!!python/object/apply:os.system", "!!python/name:os.system", "!mine", "!!set", "!!binary", "!!str", "!!float"],
)
@pytest.mark.parametrize("value", ["x", "[x]", "{x: 1}"])
def test_every_tag_is_refused(tag: str, value: str) -> None:
    assert "s.yaml:2: YAML: the tag" in refused(f"a: 1\nb: {tag} {value}\n")


def test_sizes_are_bounded() -> None:
    assert f"longer than {MAX_BYTES // 1024} KiB" in refused("# x\n" * (MAX_BYTES // 4 + 1))
    assert f"at most {MAX_LINE}" in refused("a: 1\nb: " + "x" * MAX_LINE)
    assert "s.yaml:2: YAML: a line of" in refused("a: 1\nb: !" + "x" * MAX_LINE)
    assert f"more than {MAX_VALUES} values" in refused("- 1\n" * MAX_VALUES)


@pytest.mark.parametrize("text", ["[" * 5000, "{a: " * 3000, "- " * 5000, "? " * 5000, "a:\n" + "- " * 5000])
def test_depth_is_bounded(text: str) -> None:
    assert f"nested deeper than {MAX_DEPTH} levels" in refused(text)


def test_depth_counts_what_aliases_stand_for() -> None:
    half = "[" * (MAX_DEPTH // 2) + "1" + "]" * (MAX_DEPTH // 2)
    deep = "[" * (MAX_DEPTH // 2) + "*a" + "]" * (MAX_DEPTH // 2)
    assert read_yaml(f"a: &a {half}\n", "s.yaml").problems == []
    assert f"nested deeper than {MAX_DEPTH} levels" in refused(f"a: &a {half}\nb: {deep}\n")


def test_billion_laughs_are_refused() -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert "aliases expanded" in refused("\n".join(lines))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", "s.yaml:3: a: stands twice, first in line 1"),
        ("a: {x: 1, x: 2}\n", "s.yaml:1: a.x: stands twice, first in line 1"),
        ("a: 1\n2: b\n", "s.yaml:2: file: keys are texts, got 2; put it in quotes"),
        ("a:\n  true: b\n", "s.yaml:2: a: keys are texts, got True"),
        ("a:\n  [1, 2]: b\n", "s.yaml:2: a: keys are texts, got [1, 2]"),
        ("a:\n  <<: {b: 1}\n", "s.yaml:2: a: the merge key <<"),
        ('"\\e[31m": 1\n', "keys are 1 to 200 printable characters"),
        ("'': 1\n", "keys are 1 to 200 printable characters"),
        ("a: .nan\n", "s.yaml:1: a: expected a finite number, got nan"),
        ("a: [1, -.inf]\n", "s.yaml:1: a.1: expected a finite number, got -inf"),
        ("a: 1e400\n", "expected a finite number, got inf"),
        ("a: 9223372036854775808\n", "below 2**63"),
        ("a: " + "9" * 9000 + "\n", "below 2**63"),
        ('a: "\\ud800"\n', "not valid Unicode"),
    ],
)
def test_what_may_not_stand_in_a_study_is_named(text: str, words: str) -> None:
    (complaint,) = complaints(text)
    assert words in complaint


def test_such_complaints_are_collected() -> None:
    assert len(complaints("a: .nan\nb: 1\nb: 2\n3: 4\n")) == 3


def test_reads_a_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_bytes(b"\xef\xbb\xbfname: \xc3\xa4\r\n")
    assert read_yaml(read_file(tmp_path / "s.yaml"), "s.yaml").data == {"name": "ä"}


def test_files_that_are_no_study_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no study file"):
        read_file(tmp_path / "missing.yaml")
    with pytest.raises(InputError, match="no study file"):
        read_file(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: \xe4\n")
    with pytest.raises(StudyError, match=r"latin\.yaml:2: YAML: this is not UTF-8"):
        read_file(tmp_path / "latin.yaml")


def test_no_more_of_a_huge_file_is_read_than_needed(tmp_path: Path) -> None:
    with (tmp_path / "huge.yaml").open("wb") as file:
        file.truncate(10 * 2**30)
    with pytest.raises(StudyError, match=r"huge\.yaml:1: file: longer than 256 KiB"):
        read_file(tmp_path / "huge.yaml")
