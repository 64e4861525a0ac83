"""S2 to S4, S21 and S22: reading a run executes nothing, imports nothing of its study, and speaks to no network."""

from __future__ import annotations

import ast
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import flopwise
from flopwise.paths import RunFolder

SOURCE = Path(flopwise.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))

FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "execfile"}
FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "joblib",
    "cloudpickle",
    "marshal",
    "shelve",
    "pickletools",
}
ARCHIVES = {"tarfile", "zipfile", "shutil.unpack_archive", "py7zr"}
ARCHIVES_ALLOWED = {"executors/cluster/code.py": {"zipfile"}}
"""The coordinator packs its own code for its own nodes, and nothing else is unpacked there."""

ALLOWED = {
    "executors/objective.py": {"cloudpickle"},
    "worker/objective.py": {"pickle"},
}
"""A Python function that nobody can import travels so, over the private socket to the keeper, and never to disk."""


def imports(tree: ast.AST) -> set[str]:
    """Names of the modules that a file imports."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def calls(tree: ast.AST) -> set[str]:
    """Functions that are called by their bare name, and dotted ones by their last two."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found.add(ast.unparse(node.func))
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_module_turns_data_into_code(path: Path) -> None:
    tree = ast.parse(path.read_text())
    allowed = ALLOWED.get(str(path.relative_to(SOURCE)), set())
    assert calls(tree) & FORBIDDEN_CALLS == set()
    assert imports(tree) & FORBIDDEN_MODULES <= allowed
    assert imports(tree) & ARCHIVES <= ARCHIVES_ALLOWED.get(str(path.relative_to(SOURCE)), set())
    shells = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg in ("shell", "weights_only", "allow_pickle")
    ]
    assert [text for text in shells if text not in ("weights_only=True", "allow_pickle=False", "shell=False")] == []
    assert not {"torch.load", "numpy.load", "np.load"} & calls(tree) or "weights_only=True" in shells


def test_the_lint_can_fail() -> None:
    tree = ast.parse("import dill, os\nfrom pickle import loads\neval('1')\nos.system('x')")
    assert imports(tree) & FORBIDDEN_MODULES == {"dill", "pickle"}
    assert calls(tree) & FORBIDDEN_CALLS == {"eval"}


TRACE = """
import json, os, sys
sys.path[:] = [entry for entry in sys.path if entry]
told, runs = [], sys.argv[1]
WATCHED = ("subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system",
           "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "pickle.find_class",
           "marshal.loads", "exec_of_the_run")
def hook(event, arguments):
    if event in WATCHED and not (event == "marshal.loads" and importing):
        told.append([event, repr(arguments)[:200]])
importing = True  # the import system itself reads compiled modules with marshal
from flopwise.cli import app
sys.addaudithook(hook)
statuses = []
for arguments in json.loads(sys.argv[2]):
    try:
        app(arguments, standalone_mode=False)
        statuses.append(0)
    except BaseException as error:
        statuses.append(f"{type(error).__name__}: {error}"[:200])
inside = [m.__file__ for m in sys.modules.values() if getattr(m, "__file__", None) and m.__file__.startswith(runs)]
print("\\n" + json.dumps({"told": told, "inside": inside, "statuses": statuses}))
"""


class Bomb:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


def traced(place: Path, *verbs: list[str], path: str = "") -> dict[str, Any]:
    """What these verbs did in one process that stands in ``place``, as an audit hook saw it."""
    done = subprocess.run(
        [sys.executable, "-c", TRACE, str(place), json.dumps(verbs)],
        cwd=place,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (path, *sys.path)))},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


READING = (
    ["status", "secret"],
    ["watch", "secret"],
    ["results"],
    ["report", "secret"],
    ["compare", "secret", "copy"],
    ["export", "secret", "--format", "csv"],
    ["export", "secret", "--format", "jsonl"],
    ["export", "secret", "--format", "optuna"],
    ["verify", "secret"],
    ["logs", "secret"],
    ["logs", "secret", "1"],
    ["repair", "secret"],
    ["check", "secret.yaml"],
)
SLOTS = ("keeper.jsonl", "keeper.log", "study.yaml", "report.json", "report.md", "report.html", "optuna.log")


@pytest.fixture
def hostile(secret: Any, tmp_path: Path) -> Path:
    """The run again, among modules that leave a file when they are imported, with a pickle in every slot."""
    place = tmp_path / "hostile"
    shutil.copytree(secret.place, place)
    folder = RunFolder(place / "runs" / "secret")
    folder.root.chmod(0o700)
    for name in ("sitecustomize", "work", "secret", "measure", "numpy", "yaml", "torch", "optuna"):
        (place / f"{name}.py").write_text(f"import os\nos.mkdir({str(tmp_path / ('imported-' + name))!r})\n")
        (folder.root / f"{name}.py").write_text((place / f"{name}.py").read_text())
    shutil.copytree(folder.root, place / "runs" / "copy")
    bomb = pickle.dumps(Bomb(tmp_path / "unpickled"))
    for name in SLOTS:
        (folder.root / name).write_bytes(bomb)
    for attempt in folder.attempts.iterdir():
        for name in ("summary.json", "stdout", "run.md", "checkpoint.pt"):
            (attempt / name).write_bytes(bomb)
    return place


def test_no_verb_that_reads_starts_a_process_or_speaks_or_imports_the_study(hostile: Path, tmp_path: Path) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    found = traced(hostile, *READING)
    assert found["told"] == []
    assert found["inside"] == []
    assert {path.name for path in tmp_path.iterdir()} == before
    assert found["statuses"] == [0] * len(READING)


def test_a_pickle_in_place_of_a_journal_is_no_journal(hostile: Path, tmp_path: Path) -> None:
    (hostile / "runs" / "secret" / "journal.log").write_bytes(pickle.dumps(Bomb(tmp_path / "unpickled")) + b"\n")
    found = traced(hostile, *READING, ["resume", "secret", "--yes"])
    assert found["told"] == [] and found["inside"] == []
    assert not (tmp_path / "unpickled").exists()
    damaged = [status for status in found["statuses"] if "damaged" in str(status)]
    assert len(damaged) > len(READING) // 2, found["statuses"]


def test_the_trace_can_fail(hostile: Path) -> None:
    """Resuming does start processes: here a keeper."""
    journal = hostile / "runs" / "secret" / "journal.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[: len(lines) // 2]))
    shutil.rmtree(hostile / "runs" / "secret" / "attempts")
    (hostile / "runs" / "secret" / "attempts").mkdir(mode=0o700)
    found = traced(hostile, ["resume", "secret", "--yes", "--quiet"])
    assert "subprocess.Popen" in [event for event, _ in found["told"]]


NETWORK = """
import os, socket, sys
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.bind"):
        address = arguments[-1] if event != "socket.getaddrinfo" else arguments[0]
        if not isinstance(address, (str, bytes)) or event == "socket.getaddrinfo":
            with open({file!r}, "a") as file:
                file.write(f"{{event}} {{address}} {{sys.orig_argv}}\\n")
sys.addaudithook(hook)
"""


def test_a_whole_study_speaks_to_no_network(secret: Any, tmp_path: Path) -> None:
    """Coordinator, keeper and attempts, from the first import to the report as a page."""
    for name in ("measure.sh", "secret.yaml"):
        shutil.copy(secret.place / name, tmp_path / name)
    heard = tmp_path / "heard"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NETWORK.format(file=str(heard)))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    for verb in (["run", "secret.yaml", "--yes", "--quiet"], ["report", "secret", "--html"]):
        command = [sys.executable, "-m", "flopwise.cli", *verb]
        subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=100, check=True)
    assert not heard.exists(), heard.read_text()
    script = "import socket\nsocket.socket().connect_ex(('127.0.0.1', 9))"
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    assert "127.0.0.1" in heard.read_text()
