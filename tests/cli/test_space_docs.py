"""docs/space.md tells the truth: its files are written, its commands run, its mistakes are the real ones."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from flopwise.expression import parse
from flopwise.grammar import LITERALS, MAX_DEPTH, MAX_LENGTH, MAX_NODES

DOC = (Path(__file__).parents[2] / "docs" / "space.md").read_text()
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", DOC, re.DOTALL))
COMMANDS = [
    line.removeprefix("$ flopwise ")
    for block in re.findall(r"```console\n(.*?)```", DOC, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
]
GOOD = [command for command in COMMANDS if "mistakes" not in command]


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory, call_flopwise: Any) -> tuple[Path, dict[str, Any]]:
    """A folder with the page's files, in which all its commands were run in order."""
    folder = tmp_path_factory.mktemp("space")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder, {command: call_flopwise(folder, *command.split()) for command in COMMANDS}


def test_the_page_has_commands() -> None:
    assert set(FILES) == {"shaped.yaml", "mistakes.yaml"}
    assert [command.split()[0] for command in COMMANDS] == ["check", "check", "run", "verify", "check", "schema"]


@pytest.mark.parametrize("command", GOOD)
def test_every_command_works(worked: tuple[Path, dict[str, Any]], command: str) -> None:
    done = worked[1][command]
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_group_is_what_is_searched(worked: tuple[Path, dict[str, Any]]) -> None:
    assert "good. 6 parameters" in worked[1]["check shaped.yaml"].stdout
    assert "good. 2 parameters" in worked[1]["check shaped.yaml --group training"].stdout


def test_the_run_keeps_what_the_page_promises(worked: tuple[Path, dict[str, Any]]) -> None:
    """Constraints hold, inactive keys have the baseline's value, and derived values reach the attempt."""
    run = worked[0] / "runs" / "shaped"
    trials = json.loads((run / "report.json").read_text())["trials"]
    assert {trial["outcome"] for trial in trials} == {"ok"}
    assert len([trial for trial in trials if trial["phase"] == "search"]) == 6
    for trial in trials:
        config = trial["config"]
        assert config["model.n_embd"] % (2 * config["model.n_head"]) == 0
        assert config["model.n_embd"] * config["train.batch_size"] <= 256
        assert config["model.mlp"] == "swiglu" or config["model.mlp_ratio"] == 2.6667
        (summary, *_) = sorted(run.glob(f"attempts/t{trial['number']:04d}.s0.*/summary.json"))
        train = json.loads(summary.read_text())["config"]["train"]
        assert train["lr"] == pytest.approx(0.003 * (train["batch_size"] / 4) ** 0.5)
    assert len({trial["config"]["train.batch_size"] for trial in trials}) > 1
    assert {trial["config"]["model.mlp"] for trial in trials} == {"swiglu", "relu2"}


def test_the_mistakes_are_the_ones_that_are_found(worked: tuple[Path, dict[str, Any]]) -> None:
    done = worked[1]["check mistakes.yaml"]
    assert done.returncode == 2
    assert "error: mistakes.yaml: 8 problems" in DOC
    assert done.stderr.startswith("error: mistakes.yaml: 8 problems\n")
    assert "constraints.0: no such key 'model.n_hed'; did you mean 'model.n_head'?, at character 16" in done.stderr


def test_the_schema_is_written_as_json(worked: tuple[Path, dict[str, Any]]) -> None:
    assert json.loads((worked[0] / "study.schema.json").read_text())["title"] == "flopwise study"


def test_expressions_on_the_page_can_be_read() -> None:
    section = DOC.partition("## Constraints")[2].partition("## Groups")[0]
    listed = re.findall(r"^  - (.+)$", section, re.MULTILINE) + re.findall(r"^  [\w.]+: (.+)$", section, re.MULTILINE)
    assert len(listed) == 4
    assert all(parse(text).keys for text in listed)


def test_every_function_literal_and_limit_is_named() -> None:
    section = DOC.partition("## Expressions")[2]
    for name in ("min", "max", "abs", "round(x, digits)", "floor", "ceil", "log", "sqrt", *LITERALS):
        assert f"`{name}`" in section
    assert f"at most {MAX_LENGTH} characters, {MAX_NODES} parts and {MAX_DEPTH} levels" in section


def test_init_writes_a_schema_and_names_it(flopwise: Any, tmp_path: Path) -> None:
    assert flopwise("init", "mine.yaml").returncode == 0
    first = (tmp_path / "mine.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=./flopwise.schema.json" and first in DOC
    schema = json.loads((tmp_path / "flopwise.schema.json").read_text())
    assert schema == json.loads(flopwise("schema").stdout)
    assert flopwise("check", "mine.yaml", "--freeze", "optimizer").returncode == 0
    refused = flopwise("schema", "nowhere/schema.json")
    assert refused.returncode == 2 and "cannot write" in refused.stderr
