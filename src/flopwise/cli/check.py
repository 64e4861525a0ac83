"""``flopwise check``: all mistakes of a study file at once; nothing is run or written."""

from __future__ import annotations

import json

import typer

from flopwise.cli.options import Freeze, Group, Json, StudyName
from flopwise.paths import find_study
from flopwise.study import load_study


def command(study: StudyName, group: Group = None, freeze: Freeze = None, as_json: Json = False) -> None:
    """Check a study file: every mistake at once, each with its line."""
    checked = load_study(find_study(study), groups=group or (), freeze=freeze or ())
    if as_json:
        typer.echo(json.dumps({"study": checked.canonical, "warnings": list(checked.warnings)}, indent=2))
        return
    for warning in checked.warnings:
        typer.echo(f"note: {warning}")
    typer.echo(f"{checked.source}: good. {len(checked.space)} parameters, {len(checked.canonical['tiers'])} tiers")
