"""docs/searchers.md tells the truth: its study runs, its examples are valid, and it names every searcher and option."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from flopwise import registry
from flopwise.searchers.grid import DEFAULT_POINTS, MOST_TRIALS
from flopwise.searchers.tpe import Tpe
from flopwise.space import Categorical, Float, Space
from flopwise.study import parse_study
from flopwise.trial import Told

PAGE = (Path(__file__).parents[2] / "docs" / "searchers.md").read_text()
(STUDY,) = re.findall(r"<!-- file: choices.yaml -->\n```yaml\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^\$ flopwise (.+)$", PAGE, re.MULTILINE)
SEARCHES = re.findall(r"```text\n(search:.*?)```", PAGE, re.DOTALL)
ROWS = {
    row[0]: row[1:]
    for row in re.findall(r"^\| `(\w+)` \| (yes|no) \| (yes|no) \| (\w+).*? \|(.*)\|$", PAGE, re.MULTILINE)
}
MIXED = Space({"x": Float(0, 1), "kind": Categorical(("a", "b"))})


def options(name: str) -> Any:
    kind = registry.load("searchers", name)
    needed = {"fixed": {"configs": [{"x": 0.1, "kind": "a"}]}, "staged": {"questions": {"A": {"grid": {"x": [0.1]}}}}}
    return kind.Options(**needed.get(name, {}))


def test_the_commands_of_the_page_work(tmp_path: Path, call_flopwise: Any) -> None:
    (tmp_path / "choices.yaml").write_text(STUDY)
    assert [command.split()[0] for command in COMMANDS] == ["check", "run", "verify"]
    for command in COMMANDS:
        done = call_flopwise(tmp_path, *shlex.split(command))
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("search", SEARCHES)
def test_every_search_section_is_valid(search: str) -> None:
    study = re.sub(r"^(search|tiers):.*\n", "", STUDY, flags=re.MULTILINE) + search
    assert parse_study(study).canonical["search"]["method"] in ("grid", "fixed")


def test_there_are_examples_of_grid_and_fixed() -> None:
    assert len(SEARCHES) == 2


@pytest.mark.parametrize(
    "name", [name for name in registry.names("searchers") if name in registry.BUILTIN["searchers"]]
)
def test_the_table_says_what_each_searcher_is(name: str) -> None:
    kind = registry.load("searchers", name)
    _, choices, unit, named = ROWS[name]
    assert choices == ("no" if kind.check(MIXED, options(name)) else "yes")
    assert unit == ("generations" if kind.generational else "trials")
    assert re.findall(r"`(\w+)`", named) == list(kind.Options.model_fields)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row[0] == "no"])
def test_searchers_that_do_not_learn_propose_the_same_whatever_they_are_told(name: str) -> None:
    kind = registry.load("searchers", name)
    searcher = kind(MIXED, 0, options(name), {"x": 0.5, "kind": "a"}, None)
    before = searcher.ask([1])
    searcher.tell([Told(1, before[0].config, before[0].point, 0.0)])
    assert searcher.ask([1]) == before


def test_the_numbers_in_the_text_are_those_in_force() -> None:
    assert f"at most {MOST_TRIALS:,}" in PAGE
    assert DEFAULT_POINTS == 5 and "A\nfloat gets five values" in PAGE
    assert Tpe.Options().failed == "worst"
