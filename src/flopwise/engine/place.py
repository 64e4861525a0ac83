"""Which run folder a study goes to: a new one, the one that plan calibrated, or one to be resumed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flopwise.engine.request import Request
from flopwise.errors import RunError
from flopwise.journal.log import read_events
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder, fresh_run
from flopwise.study import Study


@dataclass(frozen=True)
class Place:
    """A folder, and what is known about it.

    Args:
        folder: Where the run lives or will live.
        exists: Whether it has a journal already.
        revised: It holds a calibration that is still valid for a study that has changed since.
    """

    folder: RunFolder
    exists: bool
    revised: bool = False


def place(study: Study, request: Request, key: str) -> Place:
    """Choose the folder for a study.

    Args:
        study: Checked.
        request: Says where runs live and whether there is somebody to ask.
        key: The calibration key of study, versions and machine.

    Raises:
        RunError: If the same study has an unfinished run and nobody can be asked whether to resume it.
    """
    newest = newest_run(study.name, request.runs)
    if newest is None:
        return Place(fresh_run(study.name, request.runs), exists=False)
    events, _ = read_events(newest.journal)
    state = RunState(events)
    same = state.study_hash == study.hash and _objective(state) == request.objective_id
    if is_over(state):
        return Place(fresh_run(study.name, request.runs), exists=False)
    if is_planned(state):
        valid = state.created is not None and state.created.calibration_key == key
        if valid and _objective(state) == request.objective_id:
            return Place(newest, exists=True, revised=not same)
        return Place(fresh_run(study.name, request.runs), exists=False)
    if not same:
        request.view.message(f"{newest.root} holds an unfinished run of another version of this study; starting anew")
        return Place(fresh_run(study.name, request.runs), exists=False)
    return _unfinished(study, request, newest)


def is_over(state: RunState) -> bool:
    """Whether nothing is left to do: a verdict, or a baseline that failed."""
    baseline = state.trials.get(0)
    return state.verdict is not None or (baseline is not None and baseline.finished and baseline.failure() is not None)


def is_planned(state: RunState) -> bool:
    """Whether at most the calibration has been done."""
    return state.tier is None


def newest_run(name: str, runs: Path) -> RunFolder | None:
    """The highest-numbered of NAME, NAME-2, NAME-3, … that holds a journal."""
    found: Mapping[int, Path] = {
        int(match.group(1) or 1): path
        for path in (runs.iterdir() if runs.is_dir() else ())
        if (match := re.fullmatch(re.escape(name) + r"(?:-(\d+))?", path.name)) and (path / "journal.log").is_file()
    }
    return RunFolder(found[max(found)].resolve()) if found else None


def _unfinished(study: Study, request: Request, newest: RunFolder) -> Place:
    if not request.may_ask:
        raise RunError(
            f"{newest.root} is an unfinished run of this study",
            fix=f"`flopwise resume {newest.name}` goes on with it, `flopwise run --yes` too",
        )
    if request.ask(f"{newest.name} is an unfinished run of this study. Resume it?"):
        return Place(newest, exists=True)
    return Place(fresh_run(study.name, request.runs), exists=False)


def _objective(state: RunState) -> str:
    return state.created.versions.get("objective", "") if state.created else ""
