"""How to run the same again: the command that a report prints.

It names the study as the run folder keeps it, with what the command line changed in it, and the tier;
the file that it was read from may be another one by then.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from flopwise.engine.request import Request
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder
from flopwise.study import Study

RUNS = "runs"
"""Folder of the runs where nobody says otherwise."""


def again(study: Study, request: Request, folder: RunFolder) -> str:
    """The command for a run that this process starts, or goes on with from the same study file.

    Args:
        study: Checked.
        request: Whose command stands for a study without a file.
        folder: Where the run lives.
    """
    if study.source == "python" or request.trains:
        return request.command
    runs = folder.root.parent
    elsewhere = [] if runs == Path.cwd() / RUNS else ["--runs", _near(runs)]
    tier = ["--tier", request.tier] if request.tier else []
    return shlex.join(["flopwise", "run", _near(folder.study), *elsewhere, *tier])


def again_resumed(state: RunState, request: Request) -> str:
    """The command for a run that is resumed, perhaps from another folder and with a tier chosen only now.

    Args:
        state: The run so far.
        request: Of the session that goes on with it.
    """
    if not state.sessions:
        return request.command
    words = shlex.split(state.sessions[-1].opened.command)
    if request.tier is None or state.tier is not None or words[:2] != ["flopwise", "run"]:
        return state.sessions[-1].opened.command
    if "--tier" in words:
        at = words.index("--tier")
        words = [*words[:at], *words[at + 2 :]]
    return shlex.join([*words, "--tier", request.tier])


def _near(path: Path) -> str:
    """A path as seen from here, where it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
