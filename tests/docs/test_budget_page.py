"""docs/budget.md: its commands run, its file is a catalogue, and its tables are those of the studies."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from flopwise.engine.catalogue import load_catalogue
from flopwise.paths import shipped_studies
from flopwise.study import load_study, parse_study

ROOT = Path(__file__).parents[2]
DOC = (ROOT / "docs" / "budget.md").read_text()
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", DOC, re.DOTALL))
REHEARSAL = re.findall(
    r"<!-- file: rehearsal.yaml -->\n```\w+\n(.*?)```", (ROOT / "docs/executors.md").read_text(), re.DOTALL
)


def rows(name: str) -> list[list[str]]:
    """Cells of the table behind a comment."""
    table = DOC.split(f"<!-- {name} -->\n")[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_its_commands_run(tmp_path: Path, call_flopwise: Any) -> None:
    (tmp_path / "rehearsal.yaml").write_text(REHEARSAL[0])
    (tmp_path / "mine.yaml").write_text(FILES["mine.yaml"])
    commands = re.findall(r"^\$ flopwise (.+)$", DOC, re.MULTILINE)
    assert len(commands) == 2
    shown = []
    for command in commands:
        done = call_flopwise(tmp_path, *shlex.split(command))
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        shown.append(done.stdout)
    assert "cheapest" in shown[0] and "D2as_v7" in shown[0] and "2026-01-30" in shown[0]
    found = json.loads(shown[1])["machines"]
    assert found["currency"] == "EUR"
    (tier,) = found["tiers"]
    assert tier["cheapest"]["machine"] == "small" and tier["fastest"]["machine"] == "big"
    assert {offer["machine"] for offer in tier["offers"]} == {"small", "big", "gpu"}


def test_a_wrong_catalogue_is_an_error_before_anything_runs(tmp_path: Path, call_flopwise: Any) -> None:
    (tmp_path / "rehearsal.yaml").write_text(REHEARSAL[0])
    done = call_flopwise(tmp_path, "plan", "rehearsal.yaml", "--machines", "azure-e-v9")
    assert done.returncode == 2 and "azure-d-v7" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_its_catalogue_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(FILES["mine.yaml"])
    assert [machine.gpus for machine in load_catalogue(str(tmp_path / "mine.yaml")).machines] == [0, 0, 1]


@pytest.mark.parametrize("study", ["phase1", "phase2-robust", "phase2-expanded"])
def test_its_tiers_are_those_of_the_studies(study: str) -> None:
    canonical = load_study(shipped_studies() / "synaptic" / f"{study}.yaml").canonical
    table = rows("phase 1") if study == "phase1" else rows("phase 2")
    table = table if study == "phase1" else [row[1:] for row in (table[:3] if "robust" in study else table[3:])]
    seeds = canonical["evaluation"]["seeds"]
    for row, (name, tier) in zip(table, canonical["tiers"].items(), strict=True):
        size = [tier["population"], tier["generations"], seeds]
        assert row[:5] == [name, *map(str, size), str(size[0] * size[1] * seeds)]


def test_its_limits_are_those_of_the_study_file() -> None:
    (line,) = re.findall(r"^limits: .*$", DOC, re.MULTILINE)
    study = parse_study(
        "name: x\nworkload: function\nspace: {x: {type: float, low: 0, high: 1}}\nobjective: {metric: loss}\n"
        f"evaluation: {{stop: {{flops: 1e9}}}}\n{line}\n"
    )
    assert all(limit is not None for limit in study.canonical["limits"].values())
    assert len(study.canonical["limits"]) == 5
