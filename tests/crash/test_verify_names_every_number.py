"""Changing any one number in the journal or in report.json of a real run makes verify fail and name it."""

from __future__ import annotations

import copy
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

import flopwise
from flopwise.engine.verify import verify
from flopwise.paths import RunFolder

EVERY = [pytest.param(5, id="every fifth"), pytest.param(1, id="all", marks=pytest.mark.slow)]
"""Numbers from one that is altered to the next."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run of a function, with a failure in it, and money."""

    def noisy(config: dict[str, float], context: Any) -> dict[str, float]:
        if config["x"] > 9.0:
            raise ValueError("too far")
        context.report(1, loss=100.0)
        return {"loss": (config["x"] - 3) ** 2 + 1 + context.seed % 11 / 100}

    done = flopwise.Study(
        name="noisy",
        runs=tmp_path_factory.mktemp("verify"),
        space={"x": flopwise.Float(-10.0, 10.0), "n": flopwise.Int(1, 4)},
        objective=noisy,
        search={"method": "cmaes"},
        tiers={"only": {"population": 4, "generations": 2}},
        slots=2,
        confirm={"top": 2, "seeds": 3},
        execution={"price_per_hour": 3.0},
        policies={"crash_rate": False},
    ).run(quiet=True)
    assert done.reason == "finished"
    folder = RunFolder(done.folder)
    assert verify(folder) == []
    return folder


def numbers(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all numbers inside a JSON value."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from numbers(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from numbers(item, (*path, index))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path


def changed(value: Any, path: tuple[Any, ...]) -> Any:
    """A copy with one number changed."""
    result = copy.deepcopy(value)
    place = result
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = place[path[-1]] + 1 if isinstance(place[path[-1]], int) else place[path[-1]] * 1.0001 + 1e-6
    return result


def records(folder: RunFolder) -> list[tuple[int, dict[str, Any]]]:
    """Checksum before, and content, of every record."""
    previous, found = 0, []
    for line in folder.journal.read_text().splitlines():
        _, crc, payload = line.split(" ", 2)
        found.append((previous, json.loads(payload)))
        previous = int(crc, 16)
    return found


def framed(previous: int, content: dict[str, Any]) -> str:
    payload = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    return f"{len(payload.encode()):08x} {zlib.crc32(payload.encode(), previous):08x} {payload}"


@pytest.mark.parametrize("step", EVERY)
def test_every_number_of_the_report(run: RunFolder, step: int) -> None:
    original = run.report_json.read_text()
    report = json.loads(original)
    missed = []
    for path in list(numbers(report))[::step]:
        run.report_json.write_text(json.dumps(changed(report, path)))
        named = " ".join(str(difference) for difference in verify(run))
        keys = [key for key in path if isinstance(key, str)]
        if keys[-1] not in named:
            missed.append((path, named[:200]))
    run.report_json.write_text(original)
    assert missed == []


@pytest.mark.parametrize("step", EVERY)
@pytest.mark.parametrize("recomputed", [False, True], ids=["raw", "with its checksum recomputed"])
def test_every_number_of_the_journal(run: RunFolder, recomputed: bool, step: int) -> None:
    original = run.journal.read_text()
    lines = original.splitlines()
    missed = []
    places = [
        (index, previous, content, path)
        for index, (previous, content) in enumerate(records(run)[:-1])
        for path in numbers(content)
    ]
    for index, previous, content, path in places[::step]:
        line = framed(previous, changed(content, path))
        if not recomputed:
            line = lines[index][:18] + line[18:]
        run.journal.write_text("\n".join([*lines[:index], line, *lines[index + 1 :]]) + "\n")
        named = " ".join(str(difference) for difference in verify(run))
        if str(content["event"]) not in named and f"record {index + 1}" not in named:
            missed.append((index, path, named[:200]))
    run.journal.write_text(original)
    assert missed == []
    assert verify(run) == []


def test_the_last_record_is_covered_too(run: RunFolder) -> None:
    """Nothing follows it in the chain: what it says must be re-derived."""
    original = run.journal.read_text()
    lines = original.splitlines()
    previous, content = records(run)[-1]
    assert content["event"] == "SessionClosed"
    for path in numbers(content):
        run.journal.write_text("\n".join([*lines[:-1], framed(previous, changed(content, path))]) + "\n")
        assert verify(run) != [], path
    run.journal.write_text(original)
