"""Every number of report.json is derived again: altered, added or missing ones are named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flopwise.engine.verify import verify
from flopwise.events import SessionClosed
from flopwise.paths import RunFolder

EVERY = [pytest.param(5, id="every fifth"), pytest.param(1, id="all", marks=pytest.mark.slow)]
"""Numbers from one that is altered to the next."""


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all numbers."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, key))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path


def name(path: tuple[Any, ...]) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")


def altered(report: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    copy = json.loads(json.dumps(report))
    here = copy
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = change(here[path[-1]])
    return copy


def last_digit(value: Any) -> Any:
    """The nearest other number that JSON can tell apart by one digit."""
    text = json.dumps(value)
    digits, exponent = [*text.split("e"), ""][:2]
    nearest = digits[:-1] + str((int(digits[-1]) + 5) % 10)
    return json.loads(nearest + (f"e{exponent}" if exponent else ""))


@pytest.mark.parametrize("step", EVERY)
def test_every_altered_number_is_named(folder: RunFolder, step: int) -> None:
    report = json.loads(folder.report_json.read_text())
    paths = list(leaves(report))
    for path in paths[::step]:
        folder.report_json.write_text(json.dumps(altered(report, path, lambda number: number + 1)))
        assert [(each.where, each.what) for each in verify(folder)] == [("report.json", name(path))]
    assert len(paths) > 200


def test_derived_values_are_derived_again(tell: Callable[..., Any]) -> None:
    derived = {"train.warmup": {"value": "round(1 / train.lr)", "type": "int"}}
    folder = tell(derived=derived).write()
    assert verify(folder) == []
    report = json.loads(folder.report_json.read_text())
    paths = [path for path in leaves(report) if path[-2:] == ("derived", "train.warmup")]
    assert len(paths) == len(report["trials"]) + 2
    for path in paths:
        folder.report_json.write_text(json.dumps(altered(report, path, lambda number: number + 1)))
        assert [(each.where, each.what) for each in verify(folder)] == [("report.json", name(path))]


@pytest.mark.parametrize("step", [pytest.param(20, id="every twentieth"), pytest.param(1, marks=pytest.mark.slow)])
def test_even_the_last_digit_counts(folder: RunFolder, step: int) -> None:
    report = json.loads(folder.report_json.read_text())
    for path in list(leaves(report))[3::step]:
        folder.report_json.write_text(json.dumps(altered(report, path, last_digit)))
        assert [(each.where, each.what) for each in verify(folder)] == [("report.json", name(path))]


def test_a_number_that_nothing_derives_is_a_difference(folder: RunFolder) -> None:
    report = json.loads(folder.report_json.read_text())
    report["spend"]["saved"] = 12.5
    report["trials"][3]["extra"] = {"deep": [1, "text", {"n": 2}]}
    report["note"] = "no number"
    folder.report_json.write_text(json.dumps(report))
    assert [each.what for each in verify(folder)] == [
        "spend.saved",
        "trials[3].extra.deep[0]",
        "trials[3].extra.deep[2].n",
    ]


def test_what_is_missing_or_of_another_kind_is_named(folder: RunFolder) -> None:
    report = json.loads(folder.report_json.read_text())
    del report["spend"]["idle_price"]
    report["winner"]["mean"] = str(report["winner"]["mean"])
    report["verdict"]["verdict"] = "GO GO"
    report["trials"].pop()
    folder.report_json.write_text(json.dumps(report))
    found = [each.what for each in verify(folder)]
    assert found == ["verdict.verdict", "winner.mean", "spend.idle_price", "trials[12]"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_report_that_is_none(folder: RunFolder, text: str) -> None:
    folder.report_json.write_text(text)
    assert verify(folder)


def test_no_report_is_no_difference(folder: RunFolder) -> None:
    folder.report_json.unlink()
    assert verify(folder) == []


def test_a_report_of_an_earlier_moment_must_be_true_of_that_moment(tell: Callable[..., Any]) -> None:
    story = tell()
    folder = story.write()
    closed = next(n for n, event in enumerate(story.events, start=1) if isinstance(event, SessionClosed))
    story.report(story.events[:closed])
    assert verify(folder) == []
    report = json.loads(folder.report_json.read_text())
    assert report["state"] == "paused"
    report["spend"]["device_s"] += 1.0
    folder.report_json.write_text(json.dumps(report))
    assert any(each.what == "spend.device_s" for each in verify(folder))
