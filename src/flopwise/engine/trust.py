"""Which code of the user's a run starts, written down outside of its folder: a journal alone starts nothing.

``run`` writes it down for this account, by the run's id; ``resume`` starts that and nothing else. A run that comes from
elsewhere, a journal that names another program, or a program that has changed is put before the user, with paths and
hashes, and goes on with ``--trust`` only (docs/reliability.md, S3 and S4).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from flopwise.errors import RunError
from flopwise.executors.modules import IMPORT, source_of
from flopwise.journal.replay import RunState

RUN_ID = re.compile(r"[0-9a-f]{8,64}")
LARGEST_CODE = 1 << 24
"""Bytes; what is larger is data, and is not read here (``depends_on`` and data pins are for that)."""


@dataclass(frozen=True)
class Started:
    """Code of the user's that a run starts.

    Args:
        target: It, in words: a command line, or the name of a function.
        study: sha256 of what else decides what is started: workload, base, space, environment.
        files: Those that the target names: absolute path to sha256.
    """

    target: str
    study: str
    files: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return "; ".join([self.target, *(f"{path} (sha256 {digest[:16]})" for path, digest in self.files.items())])


def started_by(study: Mapping[str, Any], objective: str, folder: str) -> Started | None:
    """What a study starts; None when all of it is flopwise's own, or in the hands of a script that is run again.

    Args:
        study: Canonical.
        objective: What identifies its Python function; empty for none.
        folder: Where its relative paths begin.
    """
    if study["workload"] == "command":
        return Started(shlex.join(_words(study)), _digest(study), _files(study, Path(folder)))
    if study["workload"] == "function" and objective.startswith(IMPORT):
        source = source_of(objective)
        return Started(objective.removeprefix(IMPORT), _digest(study), _hashed([source] if source else []))
    return None


def remember(run_id: str, started: Started | None) -> str:
    """Write down what a run starts; returns why that could not be done, empty when it was."""
    if started is None or recall(run_id) == started:
        return ""
    try:
        path = _path(run_id)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}")
        part.touch(mode=0o600)
        part.write_text(json.dumps(asdict(started)))
        part.replace(path)
    except OSError as error:
        return f"`flopwise resume` will ask for --trust: what this run starts cannot be written down ({error})"
    return ""


def recall(run_id: str) -> Started | None:
    """What was written down; None when there is nothing, or nothing that can be read."""
    try:
        return Started(**json.loads(_path(run_id).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def check(state: RunState, name: str, *, trust: bool) -> str:
    """May what a journal names be started? Returns a line that says what is, empty when it is flopwise's own code.

    Args:
        state: Of the run.
        name: Of the run.
        trust: The user has seen what it names, or knows where it comes from.

    Raises:
        RunError: If this account has not started it, and the user does not say that it may.
    """
    created = state.created
    assert created is not None
    folder = str(state.data.get("started_in", Path.cwd()))
    found = started_by(state.study, created.versions.get("objective", ""), folder)
    if found is None:
        return ""
    known = recall(created.run_id)
    if found != known and not trust:
        raise _refused(name, known, found)
    remember(created.run_id, found)
    return f"starts {found}"


def _refused(name: str, known: Started | None, found: Started) -> RunError:
    """Say what is not as it was."""
    way_on = f"read it, and {name}'s study.yaml; then `flopwise resume {name} --trust`"
    if known is None:
        problem = f"{name} was not started by this account, and its journal names code that would be run"
        return RunError(problem, expected="a run of one's own, or --trust", got=str(found), fix=way_on)
    if (known.target, known.study) != (found.target, found.study):
        was, now = (f"{each.target} (study sha256 {each.study[:16]})" for each in (known, found))
        return RunError(f"the journal of {name} names other code than was started", expected=was, got=now, fix=way_on)
    changed = sorted(path for path in {*known.files, *found.files} if known.files.get(path) != found.files.get(path))
    return RunError(
        f"code of {name} has changed since it was started, so later results may not compare with earlier ones",
        expected="; ".join(f"{path} sha256 {known.files.get(path, 'none')[:16]}" for path in changed),
        got="; ".join(f"{path} sha256 {found.files.get(path, 'none')[:16]}" for path in changed),
        fix=f"put it back, run the study anew, or go on with the changed code: `flopwise resume {name} --trust`",
    )


def _words(study: Mapping[str, Any]) -> list[str]:
    """The arguments as the study has them; those that depend on a parameter as JSON."""
    return [word if isinstance(word, str) else json.dumps(word) for word in study["base"]["argv"]]


def _files(study: Mapping[str, Any], started_in: Path) -> dict[str, str]:
    """Arguments that are files, but for a program that is looked for on PATH, and for large data."""
    folder = started_in / (study["base"].get("working_directory") or ".")
    named = [word.replace("{started_in}", str(started_in)) for word in _words(study)]
    paths = [folder / word for at, word in enumerate(named) if "/" in word or at > 0]
    return _hashed([path for path in paths if _is_code(path)])


def _is_code(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size <= LARGEST_CODE and os.access(path, os.R_OK)
    except (OSError, ValueError):
        return False


def _hashed(paths: list[Path]) -> dict[str, str]:
    found = {}
    for path in paths:
        with path.open("rb") as file:
            found[str(path.resolve())] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _digest(study: Mapping[str, Any]) -> str:
    execution = study["execution"]
    decides = [study["workload"], study["base"], study["space"], execution["executor"], execution["pass_env"]]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def _path(run_id: str) -> Path:
    """``~/.local/state/flopwise/started/RUN_ID.json``.

    Raises:
        OSError: If this account has no such place, or the id is none.
    """
    homes = [os.environ.get("XDG_STATE_HOME", ""), f"{os.environ.get('HOME', '')}/.local/state"]
    home = next((Path(each) for each in homes if each.startswith("/") and each != "/.local/state"), None)
    if home is None or not RUN_ID.fullmatch(run_id):
        raise FileNotFoundError("no home" if home is None else f"no run id: {run_id!r}")
    return home / "flopwise" / "started" / f"{run_id}.json"
