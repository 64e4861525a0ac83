"""The page says which test holds which promise, and how often it is tried: both are true."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text()
ALL = 10_000
"""As good as every point there is."""


def written() -> dict[str, ast.FunctionDef]:
    """Every test function by name."""
    trees = [ast.parse(path.read_text()) for path in sorted((ROOT / "tests").rglob("test_*.py"))]
    functions = [node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {function.name: function for function in functions if function.name.startswith("test_")}


def mark(function: ast.FunctionDef) -> tuple[str, int, int] | None:
    """Fault, rounds in the suite, and at length."""
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.fault":
            counts = {word.arg: ast.literal_eval(word.value) for word in decorator.keywords}
            return ast.literal_eval(decorator.args[0]), counts["suite"], counts["long"]
    return None


TESTS = written()
ROWS = re.findall(r"^\| (F\d+) \| .*? \| (`test_.*?`) \| (\w+) \| (\w+) \|$", PAGE, flags=re.MULTILINE)


def test_every_test_on_the_page_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 60
    assert named - set(TESTS) == set()


def test_every_fault_test_is_on_the_page_with_its_counts() -> None:
    shown = {names.strip("`"): (fault, suite, long) for fault, names, suite, long in ROWS}
    marked = {name: found for name, function in TESTS.items() if (found := mark(function))}
    assert len(marked) > 25
    assert {name: shown.get(name) for name in marked} == {
        name: (fault, *("all" if count == ALL else str(count) for count in counts))
        for name, (fault, *counts) in marked.items()
    }


@pytest.mark.parametrize(
    ("letter", "numbers"),
    [
        ("F", [*range(1, 6), 7, *range(10, 20), *range(21, 25), 29, 33]),
        ("I", range(1, 9)),
        ("S", [*range(1, 10), *range(15, 20), 21, 22]),
    ],
)
def test_every_fault_invariant_and_rule_has_its_row(letter: str, numbers: list[int]) -> None:
    rows = set(re.findall(rf"^\| ({letter}\d+) \|", PAGE, flags=re.MULTILINE))
    assert rows == {f"{letter}{number}" for number in numbers}
