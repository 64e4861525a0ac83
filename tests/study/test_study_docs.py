"""docs/study-file.md tells the truth: every key is there, its examples are valid, its errors are real."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from flopwise import registry
from flopwise.errors import StudyError
from flopwise.study import parse_study
from flopwise.study.fields import MOST_CHOICES
from flopwise.study.load import MAX_BYTES, MAX_DEPTH, MAX_LINE, MAX_VALUES
from flopwise.study.schema import MOST_PARAMETERS, MOST_TIERS, StudyFile

pytestmark = pytest.mark.usefixtures("real_members")

DOC = (Path(__file__).parents[2] / "docs" / "study-file.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", DOC, re.DOTALL)
MINIMAL = """\
name: pilot
workload: language_model
search: {method: random}
"""
REQUIRED = {
    "space": "space: {train.lr: {type: float, low: 1e-4, high: 1e-1, scale: log}}\n",
    "objective": "objective: {metric: val_loss}\n",
    "evaluation": "evaluation: {stop: {steps: 100}}\n",
}


def outcome(text: str) -> str:
    """What checking a file prints: its problems, or its warnings."""
    try:
        return "\n".join(parse_study(text, "study.yaml").warnings)
    except StudyError as error:
        return str(error)


def schema_keys(model: Any = StudyFile) -> list[str]:
    """Names of all keys, at any depth."""
    found = []
    if isinstance(model, type) and issubclass(model, BaseModel):
        for name, field in model.model_fields.items():
            found += [name, *schema_keys(field.annotation)]
    for inner in get_args(model):
        found += schema_keys(inner)
    return found


def test_every_key_of_the_schema_is_explained() -> None:
    keys = set(schema_keys())
    assert {"name", "choices", "flops", "pass_env", "min_improvement"} <= keys
    assert [key for key in sorted(keys) if not re.search(rf"`(\w+\.)?{key}`", DOC)] == []


def test_every_option_of_searchers_and_policies_is_explained() -> None:
    for family in ("searchers", "policies"):
        for name in registry.names(family):
            options = list(registry.load(family, name).Options.model_fields)
            assert [key for key in (name, *options) if f"`{key}`" not in DOC] == []
    for family in ("workloads", "executors"):
        assert [name for name in registry.names(family) if f"`{name}`" not in DOC] == []


def test_every_section_has_its_heading() -> None:
    assert re.findall(r"^### `(\w+)`$", DOC, re.MULTILINE) == list(StudyFile.model_fields)


def test_the_first_example_is_a_valid_study() -> None:
    assert outcome(BLOCKS[0][1]) == ""


@pytest.mark.parametrize(
    "block", [text for kind, text in BLOCKS if kind == "text" and text.split(":")[0] in StudyFile.model_fields]
)
def test_every_section_example_is_valid(block: str) -> None:
    section = block.split(":")[0]
    rest = "".join(line for name, line in REQUIRED.items() if name != section)
    assert outcome(MINIMAL + rest + block) == ""


PAIRS = [
    (BLOCKS[i][1], BLOCKS[i + 1][1])
    for i in range(len(BLOCKS) - 1)
    if BLOCKS[i][0] == "yaml" and "study.yaml:" in BLOCKS[i + 1][1]
]


@pytest.mark.parametrize(("text", "printed"), PAIRS)
def test_every_error_example_is_what_really_comes(text: str, printed: str) -> None:
    assert outcome(text) == printed.rstrip("\n")


def test_there_are_error_examples() -> None:
    assert len(PAIRS) == 3


def test_the_limits_of_reading_are_the_ones_in_force() -> None:
    for number in (f"{MAX_BYTES // 1024} KiB", f"{MAX_LINE:,}", f"{MAX_VALUES:,}", f"{MAX_DEPTH} levels"):
        assert number in DOC
    assert f"1 to {MOST_PARAMETERS} entries" in DOC
    assert f"1 to {MOST_TIERS} entries" in DOC
    assert f"list of 2 to {MOST_CHOICES} numbers" in DOC
