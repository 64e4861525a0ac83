"""``flopwise resume``: go on where a run was interrupted, paused or killed."""

from __future__ import annotations

from dataclasses import replace

import typer

from flopwise.cli.finish import finish
from flopwise.cli.options import RUNS, Anyway, Quiet, RunName, Runs, Tier, Trust, Yes
from flopwise.cli.request import request
from flopwise.engine.assemble import resume
from flopwise.paths import find_run


def command(
    run: RunName,
    tier: Tier = None,
    trust: Trust = False,
    yes: Yes = False,
    anyway: Anyway = False,
    quiet: Quiet = False,
    runs: Runs = RUNS,
) -> None:
    """Go on with a run that was interrupted, paused or killed. Resuming a pause accepts its cause."""
    asked = request(runs, tier=tier, yes=yes, anyway=anyway, quiet=quiet)
    done = resume(find_run(run, runs), replace(asked, trust=trust))
    raise typer.Exit(finish(done))
