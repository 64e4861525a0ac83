"""The composition root: finds or makes the run folder, puts the rooms together, runs one session."""

from __future__ import annotations

import platform
import secrets
from importlib import metadata
from typing import Any

from flopwise.engine.place import Place, is_over, is_planned, place
from flopwise.engine.pricing import price
from flopwise.engine.record import Record
from flopwise.engine.request import Finish, Request
from flopwise.engine.session import Session, make_executor
from flopwise.errors import InputError, RunError
from flopwise.events import FORMAT, RunCreated, StudyRevised
from flopwise.executors.topology import machine
from flopwise.journal.log import Journal
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder
from flopwise.registry import did_you_mean
from flopwise.report.summary import summarise
from flopwise.report.tables import plan_text
from flopwise.study import Study, calibration_key

PACKAGES = ("flopwise", "cmaes", "numpy", "optuna", "scipy", "torch")
"""Whose versions are part of a run's identity."""


def plan(study: Study, request: Request) -> Finish:
    """Calibrate once and price every tier. The run folder keeps the calibration for :func:`run`.

    Raises:
        FlopwiseError: See the tree in ``errors``.
    """
    return _open(study, request, spend=False)


def run(study: Study, request: Request) -> Finish:
    """Calibrate (or use what plan measured), search, confirm, judge.

    Raises:
        FlopwiseError: See the tree in ``errors``.
    """
    _check_tier(study.canonical, request.tier)
    return _open(study, request, spend=True)


def resume(folder: RunFolder, request: Request) -> Finish:
    """Go on with a run from its journal alone; resuming a pause accepts its cause.

    Raises:
        RunError: If the run is finished, held by another process, or its data has changed.
        FlopwiseError: See the tree in ``errors``.
    """
    with Journal.open(folder) as journal:
        record = Record(journal, request.view)
        state = record.state
        if is_over(state):
            done = f"verdict {state.verdict.verdict}" if state.verdict else "its baseline failed"
            raise RunError(
                f"{folder.name} is finished: {done}",
                fix=f"read it with `flopwise report {folder.name}`, or run the study again",
            )
        _check_tier(state.study, request.tier)
        _check_objective(state, request)
        return Session(folder, record, request, spend=True).run()


def versions() -> dict[str, str]:
    """Package and interpreter versions that results may depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _check_tier(study: dict[str, Any], tier: str | None) -> None:
    known = list(study["tiers"])
    if tier is not None and tier not in known:
        raise InputError(f"no tier {tier!r}", expected="one of " + ", ".join(known), fix=did_you_mean(tier, known))


def _check_objective(state: RunState, request: Request) -> None:
    known = state.created.versions.get("objective", "") if state.created else ""
    if state.study["workload"] == "function" and request.objective is None and not known.startswith("import:"):
        raise RunError(
            "this run's objective is a Python function that lives in a script or a notebook",
            expected="the function in hand",
            fix="run your script again: Study(...).run() goes on where it stopped",
        )


def _check_function(study: Study, request: Request) -> None:
    if study.canonical["workload"] == "function" and request.objective is None:
        raise InputError(
            "the workload `function` needs a Python function, and a study file holds none",
            where=study.source,
            fix="run it from Python: flopwise.Study(objective=f, …).run()",
        )


def _open(study: Study, request: Request, *, spend: bool) -> Finish:
    _check_function(study, request)
    make_executor(study.canonical)
    known = versions()
    key = calibration_key(study.canonical, known, machine())
    where = place(study, request, key)
    if request.objective_id:
        known["objective"] = request.objective_id
    if not where.exists:
        _create(study, request, where.folder, key, known)
    with Journal.open(where.folder) as journal:
        record = Record(journal, request.view)
        if where.revised:
            record.add(StudyRevised(study.canonical, study.hash))
            record.commit()
        if not spend and _calibrated(record.state):
            return _planned(where, record, request)
        return Session(where.folder, record, request, spend=spend).run()


def _create(study: Study, request: Request, folder: RunFolder, key: str, known: dict[str, str]) -> None:
    folder.root.mkdir(mode=0o700, parents=True)
    folder.attempts.mkdir(mode=0o700)
    folder.study.write_text(study.text)
    folder.study.chmod(0o600)
    with Journal.create(folder) as journal:
        created = RunCreated(
            format=FORMAT,
            name=folder.name,
            run_id=secrets.token_hex(8),
            study=study.canonical,
            study_hash=study.hash,
            calibration_key=key,
            source=study.source,
            versions=known,
            created=request.clock.wall(),
        )
        journal.append([created])
        journal.commit()


def _calibrated(state: RunState) -> bool:
    return is_planned(state) and 0 in state.trials and state.trials[0].finished


def _planned(where: Place, record: Record, request: Request) -> Finish:
    """Price again from the calibration in the journal; nothing is measured twice."""
    state = record.state
    priced = price(state, record.ledger, len(make_executor(state.study).slots))
    request.view.message(plan_text(priced, state.study))
    summary = summarise(record.events)
    return Finish("planned", "", where.folder.root, {**summary, "plan": priced.to_json()})
