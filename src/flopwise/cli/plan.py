"""``flopwise plan``: calibrate once and say what every tier would cost, here and on other machines."""

from __future__ import annotations

from typing import Annotated

import typer

from flopwise.budget.machines import Catalogue, advise, assumptions, scalings
from flopwise.budget.plan import Plan
from flopwise.cli.finish import finish
from flopwise.cli.options import RUNS, After, Executor, Freeze, Group, Json, Quiet, Runs, Slots, StudyName
from flopwise.cli.request import load, request
from flopwise.engine.assemble import plan
from flopwise.engine.catalogue import load_catalogue
from flopwise.engine.request import Finish
from flopwise.report.machines import machines_json, machines_text
from flopwise.study import Study

Machines = Annotated[
    str | None,
    typer.Option("--machines", help="Name the cheapest and the fastest machine: a YAML file, or azure-d-v7."),
]


def command(
    study: StudyName,
    slots: Slots = None,
    executor: Executor = None,
    group: Group = None,
    freeze: Freeze = None,
    after: After = None,
    machines: Machines = None,
    as_json: Json = False,
    quiet: Quiet = False,
    runs: Runs = RUNS,
) -> None:
    """Measure the baseline and price every tier; `run` uses the same measurement."""
    catalogue = None if machines is None else load_catalogue(machines)
    loaded = load(study, slots, executor, group, freeze, after)
    done = plan(loaded, request(runs, quiet=quiet or as_json))
    if catalogue is not None and done.summary.get("plan"):
        _compare(loaded, done, catalogue, as_json=as_json)
    raise typer.Exit(finish(done, as_json=as_json))


def _compare(study: Study, done: Finish, catalogue: Catalogue, *, as_json: bool) -> None:
    """Put the machines into the JSON, or print them."""
    priced, packing = Plan.from_json(done.summary["plan"]), done.summary["packing"]
    measured = scalings(priced, done.summary["machine"], done.summary["slots"][0], packing)
    advice, assumed = advise(study.canonical, priced, measured, catalogue), assumptions(measured, packing)
    if as_json:
        done.summary["plan"]["machines"] = machines_json(advice, catalogue, assumed)
    else:
        typer.echo(machines_text(advice, catalogue, assumed))
