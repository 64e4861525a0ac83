"""What the README says is true: its study checks, its Python runs, its commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flopwise.study import parse_study

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def block(language: str, containing: str) -> str:
    """The one fenced block of a language that contains some words."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    (found,) = [text for text in blocks if containing in text]
    return found


def test_the_study_passes_the_check() -> None:
    assert parse_study(block("yaml", "name:"), "README.md").name == "width-or-depth"


@pytest.mark.parametrize("name", ["function.py", "loop.py"])
def test_the_python_runs_as_a_script(name: str, tmp_path: Path) -> None:
    (text,) = re.findall(rf"<!-- file: {name} -->\n```python\n(.*?)```", README, flags=re.DOTALL)
    (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, name], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("GO {")


def test_all_its_python_is_run() -> None:
    assert README.count("```python") == 2


@pytest.mark.parametrize("line", [line for line in block("sh", "flopwise check").splitlines() if line])
def test_every_command_exists(line: str, tmp_path: Path, flopwise: Any) -> None:
    verb = line.split()[1]
    assert flopwise(verb, "--help").returncode == 0
    for option in re.findall(r"--[a-z]+", line.split("#")[0]):
        assert option in flopwise(verb, "--help").stdout


def test_both_commands_are_one_line_and_every_linked_page_exists() -> None:
    assert block("sh", "flopwise run quickstart").count("\n") == 1
    assert block("sh", "scripts/test").count("\n") == 1
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert links and all((ROOT / link).exists() for link in links)
