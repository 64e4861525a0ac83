"""Options that several verbs share."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

Runs = Annotated[Path, typer.Option("--runs", help="Folder that holds the runs.")]
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="A study file, or a shipped study: quickstart.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run folder, or a name under --runs.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Slots = Annotated[int | None, typer.Option("--slots", min=1, help="Evaluations at once, in place of the study's.")]
Executor = Annotated[str | None, typer.Option("--executor", help="local, inline or ray, in place of the study's.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print the result only.")]
Tier = Annotated[str | None, typer.Option("--tier", help="Which tier to spend; the study's first by default.")]
Group = Annotated[list[str] | None, typer.Option("--group", help="Search this group of the study only; repeatable.")]
Freeze = Annotated[
    list[str] | None, typer.Option("--freeze", help="Leave this key or group at the baseline; repeatable.")
]
After = Annotated[
    str | None, typer.Option("--after", metavar="RUN", help="Start at the winner of a run that ended in GO.")
]
Trust = Annotated[bool, typer.Option("--trust", help="Start what the run's journal names, whoever made it.")]
Anyway = Annotated[
    bool, typer.Option("--anyway", help="Spend the search even where the plan says that nothing can be told apart.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]

RUNS = Path("runs")


def command_line() -> str:
    """What the user typed, to be printed in the report."""
    return shlex.join(["flopwise", *sys.argv[1:]])


def interactive() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
