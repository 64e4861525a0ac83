"""``flopwise resume``: go on where a run was interrupted, paused or killed."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from flopwise.cli.finish import finish
from flopwise.cli.options import RUNS, Anyway, Quiet, RunName, Runs, Tier, Trust, Yes
from flopwise.cli.request import request
from flopwise.engine.assemble import resume
from flopwise.paths import find_run

Accept = Annotated[
    str | None, typer.Option("--accept", metavar="CAUSE", help="The policy whose pause is as it should be.")
]
Exclude = Annotated[
    list[int] | None,
    typer.Option("--exclude-slot", metavar="N", min=0, help="Do not use this slot's cores again; repeatable."),
]


def command(
    run: RunName,
    accept: Accept = None,
    exclude: Exclude = None,
    tier: Tier = None,
    trust: Trust = False,
    yes: Yes = False,
    anyway: Anyway = False,
    quiet: Quiet = False,
    runs: Runs = RUNS,
) -> None:
    """Go on with a run that was interrupted, paused or killed.

    A paused run goes on when its cause is accepted, a slot is excluded, or `flopwise amend` has changed the policy;
    otherwise exit 3.
    """
    asked = request(runs, tier=tier, yes=yes, anyway=anyway, quiet=quiet)
    done = resume(find_run(run, runs), replace(asked, accept=accept, exclude=tuple(exclude or ()), trust=trust))
    raise typer.Exit(finish(done))
