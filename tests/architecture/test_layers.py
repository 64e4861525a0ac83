"""The architecture as tests: who may import whom, purity, and no import inside a function."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "flopwise"
WORDS = {path.stem for path in SOURCE.glob("*.py")} - {"api", "__init__"}
LAYER_1 = {"stats", "genomes", "pruners", "study", "journal", "executors", "training"}
MAY_IMPORT: dict[str, set[str]] = {
    **{room: set() for room in LAYER_1},
    "evolution": {"genomes", "stats"},
    "workloads": {"genomes", "training", "evolution"},
    "budget": {"stats"},
    "searchers": {"evolution", "genomes", "stats"},
    "policies": {"budget", "stats"},
    "worker": {"workloads"},
    "report": {"study", "budget", "stats", "journal"},
    "engine": (LAYER_1 - {"training"}) | {"evolution", "budget", "searchers", "policies", "report"},
    "cli": {"study", "budget", "engine", "report"},
    "api": {"study", "budget", "engine", "report", "executors"},
}
PURE = {"searchers", "evolution", "pruners", "policies", "stats", "genomes"}
IMPURE_MODULES = {"os", "io", "time", "pathlib", "subprocess", "socket", "random", "secrets", "tempfile", "shutil"}
STANDARD_OR_OWN = __import__("sys").stdlib_module_names | {"flopwise"}


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def room_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).parts
    return parts[0] if len(parts) > 1 else path.stem


def imported(tree: ast.AST) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def flopwise_rooms(path: Path) -> set[str]:
    found = set()
    for name in imported(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] == "flopwise" and len(parts) > 1:
            found.add(parts[1])
    return found


def identify(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


@pytest.mark.parametrize("path", modules(), ids=identify)
def test_import_table(path: Path) -> None:
    room = room_of(path)
    rooms = flopwise_rooms(path) - WORDS - {"__version__", room}
    if room in WORDS or room == "__init__":
        rooms -= {"api"} if room == "__init__" else set()
        assert not rooms, f"a word imports a room: {rooms}"
    else:
        assert rooms <= MAY_IMPORT[room], f"{identify(path)} may not import {sorted(rooms - MAY_IMPORT[room])}"


@pytest.mark.parametrize("path", [p for p in modules() if p.parent == SOURCE and p.stem != "api"], ids=identify)
def test_words_need_only_the_standard_library(path: Path) -> None:
    outside = {name.split(".")[0] for name in imported(ast.parse(path.read_text()))} - STANDARD_OR_OWN
    assert not outside


@pytest.mark.parametrize("path", [p for p in modules() if room_of(p) in PURE], ids=identify)
def test_pure_rooms_touch_nothing(path: Path) -> None:
    tree = ast.parse(path.read_text())
    impure = {name.split(".")[0] for name in imported(tree)} & IMPURE_MODULES
    calls = [n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    assert not impure, f"{identify(path)} imports {impure}"
    assert not {"open", "print", "input"} & set(calls)
    assert "np.random.seed" not in path.read_text()


@pytest.mark.parametrize("path", [p for p in modules() if room_of(p) not in {"registry", "worker"}], ids=identify)
def test_no_import_inside_a_function(path: Path) -> None:
    tree = ast.parse(path.read_text())
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = [n for f in functions for n in ast.walk(f) if isinstance(n, ast.Import | ast.ImportFrom)]
    assert not inside, f"{identify(path)}:{inside[0].lineno}"


def test_every_room_is_in_the_table() -> None:
    rooms = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms <= set(MAY_IMPORT)
