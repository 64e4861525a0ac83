"""``flopwise run``: calibrate, price, search, confirm, judge."""

from __future__ import annotations

import typer

from flopwise.cli.finish import finish
from flopwise.cli.options import RUNS, After, Anyway, Executor, Freeze, Group, Quiet, Runs, Slots, StudyName, Tier, Yes
from flopwise.cli.request import load, request
from flopwise.engine.assemble import run


def command(
    study: StudyName,
    tier: Tier = None,
    slots: Slots = None,
    executor: Executor = None,
    group: Group = None,
    freeze: Freeze = None,
    after: After = None,
    yes: Yes = False,
    anyway: Anyway = False,
    quiet: Quiet = False,
    runs: Runs = RUNS,
) -> None:
    """Run a study to its verdict."""
    loaded = load(study, slots, executor, group, freeze, after)
    raise typer.Exit(finish(run(loaded, request(runs, tier=tier, yes=yes, anyway=anyway, quiet=quiet))))
