"""``flopwise plan``: calibrate once and say what every tier would cost."""

from __future__ import annotations

import typer

from flopwise.cli.finish import finish
from flopwise.cli.options import RUNS, Executor, Freeze, Group, Json, Quiet, Runs, Slots, StudyName
from flopwise.cli.request import load, request
from flopwise.engine.assemble import plan


def command(
    study: StudyName,
    slots: Slots = None,
    executor: Executor = None,
    group: Group = None,
    freeze: Freeze = None,
    as_json: Json = False,
    quiet: Quiet = False,
    runs: Runs = RUNS,
) -> None:
    """Measure the baseline and price every tier; `run` uses the same measurement."""
    loaded = load(study, slots, executor, group, freeze)
    done = plan(loaded, request(runs, quiet=quiet or as_json))
    raise typer.Exit(finish(done, as_json=as_json))
