"""S16 to S18: no secret of the environment is in anything a run leaves, and what it leaves is for its owner only."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flopwise.engine.verify import verify
from flopwise.errors import FlopwiseError
from flopwise.journal.log import Journal
from flopwise.paths import RunFolder, fresh_run

VERBS = (
    ["status", "secret", "--json"],
    ["report", "secret", "--html"],
    ["results"],
    ["export", "secret", "--format", "csv"],
    ["export", "secret", "--format", "jsonl"],
    ["export", "secret", "--format", "optuna"],
    ["logs", "secret"],
    ["logs", "secret", "2"],
    ["verify", "secret"],
)


SEVERAL = """
import json, sys
from flopwise.cli import app
for verb in json.loads(sys.argv[1]):
    app(verb, standalone_mode=False)
"""


@pytest.fixture(scope="module")
def read(secret: Any) -> str:
    """Everything that the verbs print of the run; they leave their files in it, too."""
    command = [sys.executable, "-c", SEVERAL, json.dumps(VERBS)]
    done = subprocess.run(command, cwd=secret.place, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_there_is_something_to_look_through(secret: Any, read: str) -> None:
    names = {path.name for path in secret.folder.root.rglob("*") if path.is_file()}
    assert {"journal.log", "keeper.jsonl", "report.json", "report.html", "optuna.log", "summary.json"} <= names
    assert "the program's own words" in (secret.folder.attempt("t0002.s0.a1") / "stderr").read_text()
    assert "PATH=" in (secret.folder.attempt("t0001.s0.a1") / "stdout").read_text()
    assert len(secret.planted) == 50
    assert verify(secret.folder) == []


def test_no_canary_is_anywhere(secret: Any, read: str) -> None:
    """Not in a file of the run (what programs printed included), not on the screen, not in an export."""
    own = {"measure.sh", "secret.yaml", ".env"}
    texts = {
        str(path): path.read_bytes() for path in secret.place.rglob("*") if path.is_file() and path.name not in own
    }
    texts |= {"the screen": secret.printed.encode(), "the verbs": read.encode()}
    assert {name: re.findall(rb"canary[-\w]*", text) for name, text in texts.items() if b"canary" in text} == {}


def test_what_a_run_leaves_is_for_its_owner_only(secret: Any, read: str) -> None:
    """Whatever the umask says."""
    shared = {
        str(path.relative_to(secret.place)): oct(path.stat().st_mode & 0o777)
        for path in [secret.folder.root, *secret.folder.root.rglob("*"), *secret.folder.cache.rglob("*")]
        if path.stat().st_mode & 0o077
    }
    made_by_the_program = {name for name in shared if name.endswith("result.json")}
    assert set(shared) == made_by_the_program


def test_the_environment_that_is_recorded_is_none(secret: Any) -> None:
    """Versions and the machine, and nothing out of ``os.environ``."""
    created, opened = [json.loads(line[18:]) for line in secret.folder.journal.read_bytes().splitlines()[:2]]
    assert set(created["versions"]) <= {"flopwise", "python", "numpy", "scipy", "cmaes", "optuna", "torch", "objective"}
    assert not {"env", "environ", "environment"} & (set(created) | set(opened) | set(opened.get("machine", {})))


PLANTED = ("journal.log", "journal.lock", "keeper.jsonl", "keeper.log", "report.json", "report.md")


@pytest.mark.parametrize("name", PLANTED)
def test_a_link_planted_in_a_run_is_not_written_through(name: str, secret: Any, tmp_path: Path) -> None:
    """What it points to stays as it was; the run is refused, or the link is replaced."""
    folder = RunFolder(tmp_path / "runs" / "secret")
    folder.attempts.mkdir(parents=True, mode=0o700)
    lines = secret.folder.journal.read_bytes().splitlines(keepends=True)
    folder.journal.write_bytes(b"".join(lines[: len(lines) // 2]))
    for file in ("measure.sh", "secret.yaml"):
        (tmp_path / file).write_text((secret.place / file).read_text())
    victim = tmp_path / "victim"
    victim.write_bytes(folder.journal.read_bytes())
    before = victim.read_bytes()
    (folder.root / name).unlink(missing_ok=True)
    (folder.root / name).symlink_to(victim)
    command = [sys.executable, "-m", "flopwise.cli", "resume", "secret", "--yes"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert victim.read_bytes() == before
    assert done.returncode != 0 or not (folder.root / name).is_symlink()


def test_a_run_folder_that_others_may_write_to_is_refused(secret: Any, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "open")
    folder.root.mkdir()
    folder.journal.write_bytes(secret.folder.journal.read_bytes())
    folder.root.chmod(0o777)
    with pytest.raises(FlopwiseError, match="chmod o-w"):
        Journal.open(folder)


def test_a_link_in_the_place_of_a_run_folder_is_another_name(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "study").symlink_to(tmp_path / "elsewhere")
    assert fresh_run("study", tmp_path).root == tmp_path / "study-2"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_link_that_leads_nowhere_is_another_name_too(tmp_path: Path) -> None:
    (tmp_path / "study").symlink_to(tmp_path / "nowhere")
    assert fresh_run("study", tmp_path).root == tmp_path / "study-2"
