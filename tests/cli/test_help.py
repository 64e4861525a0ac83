"""``flopwise --help`` says what every verb says of itself, without importing any."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from flopwise.cli.verbs import VERBS
from flopwise.registry import resolve

SCRIPT = """\
import json, sys
import flopwise.cli
sys.argv = ["flopwise", "--help"]
try:
    flopwise.cli.main()
except SystemExit as done:
    print(json.dumps([done.code, [name for name in sys.modules if name.startswith(("flopwise", "pydantic"))]]))
"""


@pytest.fixture(scope="module")
def shown() -> list[str]:
    environment = {"NO_COLOR": "1", "COLUMNS": "300", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=environment)
    return done.stdout.splitlines()


def test_it_imports_no_verb(shown: list[str]) -> None:
    code, loaded = json.loads(shown[-1])
    assert code == 0
    assert [name for name in loaded if name.removeprefix("flopwise.cli.") in VERBS] == []
    assert [name for name in loaded if name.startswith(("pydantic", "flopwise.study", "flopwise.report"))] == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_stands_with_its_own_words(verb: str, shown: list[str]) -> None:
    words = str(resolve(f"flopwise.cli.{verb}:command").__doc__).split("\n\n")[0]
    (line,) = [line for line in shown[:-1] if line.strip("│ ").split()[:1] == [verb]]
    assert " ".join(words.split()) in line
