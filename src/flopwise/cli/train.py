"""``flopwise train``: train the winner of a run once, to the full stop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from flopwise.cli.finish import EXIT_CODES
from flopwise.cli.options import RUNS, Quiet, RunName, Runs, Trust
from flopwise.cli.request import request
from flopwise.engine.assemble import train
from flopwise.engine.train import Training
from flopwise.errors import InputError
from flopwise.paths import find_run
from flopwise.report.training import training_text

Trial = Annotated[int | None, typer.Option("--trial", metavar="N", min=0, help="Another trial than the winner.")]
Stop = Annotated[
    str | None, typer.Option("--stop", metavar="UNIT=AMOUNT", help="How long, in place of the study's: steps=20000.")
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="In place of the study's.")]
Every = Annotated[
    int | None,
    typer.Option("--checkpoint-every", metavar="STEPS", min=1, help="Save the training as often, not only at its end."),
]
Start = Annotated[
    Path | None, typer.Option("--from", metavar="FILE", help="Go on from this checkpoint of the same config and seed.")
]


def command(
    run: RunName,
    trial: Trial = None,
    stop: Stop = None,
    seed: Seed = None,
    checkpoint_every: Every = None,
    start: Start = None,
    trust: Trust = False,
    quiet: Quiet = False,
    runs: Runs = RUNS,
) -> None:
    """Train a run's winner, or another of its trials, once and to the full stop."""
    asked = replace(request(runs, yes=True, quiet=quiet), trust=trust)
    training = Training(trial, _length(stop), seed, checkpoint_every, start)
    done = train(find_run(run, runs), asked, training)
    typer.echo(training_text(done.summary, done.detail, done.folder))
    raise typer.Exit(EXIT_CODES[done.reason])


def _length(stop: str | None) -> dict[str, str]:
    """``steps=20000`` as a study file has it; the study's own check says what is wrong with unit and amount."""
    if stop is None:
        return {}
    unit, equals, amount = stop.partition("=")
    if not equals:
        raise InputError("--stop has no amount", expected="for example steps=20000 or tokens=1e9", got=stop)
    return {unit: amount}
