"""The one place that knows what a run folder looks like.

runs/
  .cache/                content-addressed prepared data, shared by the runs beside it
  NAME/
    journal.log          the only memory
    journal.lock         who holds it: pid, host, start
    study.yaml           the study as it was given, or as the command line's options made it (resume reads the journal)
    keeper.jsonl         start and end stamps of every process
    keeper.log           what the keeper itself printed
    attempts/t0001.s0.a1/    config, stdout, stderr, summary.json, run.md; checkpoint.pt where it was asked for
    report.md report.json
    report.html plots/   when asked for: the report as one page, and its pictures
    optuna.log           when asked for: the trials in Optuna's own storage
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import flopwise
from flopwise.errors import RunError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""What a study or run may be called: it becomes a folder name."""

CHECKPOINT = "checkpoint.pt"
"""What a training saves into its attempt's folder, if it does."""


@dataclass(frozen=True)
class RunFolder:
    """Names inside one run folder. Nothing is created or read here.

    Args:
        root: The folder itself.
    """

    root: Path

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def journal(self) -> Path:
        return self.root / "journal.log"

    @property
    def lock(self) -> Path:
        return self.root / "journal.lock"

    @property
    def study(self) -> Path:
        return self.root / "study.yaml"

    @property
    def stamps(self) -> Path:
        return self.root / "keeper.jsonl"

    @property
    def keeper_log(self) -> Path:
        return self.root / "keeper.log"

    @property
    def report_md(self) -> Path:
        return self.root / "report.md"

    @property
    def report_json(self) -> Path:
        return self.root / "report.json"

    @property
    def report_html(self) -> Path:
        return self.root / "report.html"

    @property
    def plots(self) -> Path:
        return self.root / "plots"

    @property
    def optuna(self) -> Path:
        return self.root / "optuna.log"

    @property
    def attempts(self) -> Path:
        return self.root / "attempts"

    @property
    def cache(self) -> Path:
        return self.root.parent / ".cache"

    def attempt(self, attempt: str) -> Path:
        return self.attempts / attempt

    def summary(self, attempt: str) -> Path:
        return self.attempt(attempt) / "summary.json"


def find_run(run: str, runs: Path) -> RunFolder:
    """The run folder that ``run`` names: a path, or a name under ``runs``.

    Raises:
        RunError: If there is no such folder, or it holds no flopwise journal.
    """
    for root in (Path(run), runs / run):
        if root.is_dir():
            folder = RunFolder(root.resolve())
            if folder.journal.is_file():
                return folder
            raise RunError(
                f"{root} is not a flopwise run",
                expected="a folder with a journal.log",
                fix="name a folder that `flopwise run` made",
            )
    known = sorted(p.parent.name for p in runs.glob("*/journal.log")) if runs.is_dir() else []
    raise RunError(
        f"no run called {run!r}",
        expected="a run folder, or one of: " + (", ".join(known) or f"(none under {runs})"),
    )


def fresh_run(name: str, runs: Path) -> RunFolder:
    """``runs/NAME``, or ``runs/NAME-2``, ``-3``, … when that is taken, be it by a link that leads nowhere."""
    root = runs / name
    number = 1
    while os.path.lexists(root):
        number += 1
        root = runs / f"{name}-{number}"
    return RunFolder(root.resolve())


def shipped_studies() -> Path:
    """Folder of the studies that come with flopwise (in the wheel, or beside ``src`` in a checkout)."""
    package = Path(flopwise.__file__).parent
    inside = package / "studies"
    return inside if inside.is_dir() else package.parents[1] / "studies"


def find_study(name: str) -> Path:
    """A study file: a path, or the name of a shipped study such as ``quickstart``.

    Raises:
        RunError: If there is neither.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = shipped_studies()
    for candidate in (shipped / f"{name}.yaml", shipped / name / "study.yaml"):
        if candidate.is_file():
            return candidate
    known = sorted(p.relative_to(shipped).with_suffix("").as_posix() for p in shipped.rglob("*.yaml"))
    raise RunError(
        f"no study file {name!r}",
        expected="a YAML file, or one of the shipped studies: " + ", ".join(known),
        fix="write one with `flopwise init`",
    )
