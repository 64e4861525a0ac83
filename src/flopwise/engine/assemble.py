"""The composition root: finds or makes the run folder, puts the rooms together, runs one session."""

from __future__ import annotations

import platform
import secrets
import shutil
from dataclasses import replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from flopwise.engine.after import follow
from flopwise.engine.again import again, again_resumed
from flopwise.engine.ground import as_cut, chosen
from flopwise.engine.lease import make_executor
from flopwise.engine.place import Place, is_over, is_planned, place
from flopwise.engine.pricing import price
from flopwise.engine.probes import Probes
from flopwise.engine.record import Record
from flopwise.engine.request import ASKED, Finish, Request
from flopwise.engine.session import Session, facts_of
from flopwise.engine.train import Training, training_study
from flopwise.engine.train import chosen as chosen_trial
from flopwise.engine.trust import check, remember, started_by
from flopwise.errors import InputError, MachineBusy, RunError
from flopwise.events import FORMAT, RunCreated, StudyRevised
from flopwise.executors.modules import IMPORT
from flopwise.journal.log import Journal, read_events
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder, fresh_run
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


def train(folder: RunFolder, request: Request, training: Training) -> Finish:
    """Train one config of a run once, to the full stop, in a run folder of its own.

    Args:
        folder: The run that the config is from.
        request: Where, and who is told; with leave to start what that run's journal names, or without.
        training: Which config, and how.

    Raises:
        InputError: If there is no such trial, or no winner, or the run's objective is a function of a script.
        RunError: If it would start code that this account has not started before.
        FlopwiseError: See the tree in ``errors``.
    """
    state = RunState(read_events(folder.journal)[0])
    if state.created is None:
        raise RunError("the journal is empty", expected="a run", where=str(folder.root))
    study = training_study(state, chosen_trial(state, folder.name, training.trial), training)
    known = state.created.versions.get("objective", "")
    asked = replace(request, trains=True)
    if known.startswith(IMPORT):
        asked = replace(asked, objective=known, objective_id=known)
    _check_function(study, asked)
    said = check(state, folder.name, trust=request.trust)
    if said:
        request.view.message(said)
    executor = make_executor(as_cut(study.canonical, None))
    key = calibration_key(study.canonical, versions(), facts_of(executor))
    return _begin(study, asked, fresh_run(study.name, request.runs), key)


def resume(folder: RunFolder, request: Request) -> Finish:
    """Go on with a run from its journal alone.

    Raises:
        StillPaused: If it is paused, and the request neither accepts that nor excludes a slot, and nothing was amended.
        RunError: If the run is finished, held by another process, its data has changed, or it would start
            code that this account has not started before.
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
        said = check(state, folder.name, trust=request.trust)
        if said:
            request.view.message(said)
        named = replace(request, command=again_resumed(state, request))
        return Session(folder, record, named, spend=True).run()


def versions() -> dict[str, str]:
    """Package and interpreter versions that results may depend on."""
    return {"python": platform.python_version(), **_installed()}


@cache
def _installed() -> dict[str, str]:
    """Looked up once: it takes milliseconds, and does not change under a running process."""
    found = {}
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
    if known == ASKED:
        raise RunError(
            "this run's trials are evaluated by a loop in a script or a notebook",
            expected="that loop",
            fix="run your script again: Study(...).asking() goes on where it stopped",
        )
    if state.study["workload"] == "function" and request.objective is None and not known.startswith("import:"):
        raise RunError(
            "this run's objective is a Python function that lives in a script or a notebook",
            expected="the function in hand",
            fix="run your script again: Study(...).run() goes on where it stopped",
        )


def _check_function(study: Study, request: Request) -> None:
    if study.canonical["workload"] == "function" and request.objective is None and request.executor is None:
        raise InputError(
            "the workload `function` needs a Python function, and a study file holds none",
            where=study.source,
            fix="run it from Python: flopwise.Study(objective=f, …).run(), or .asking() for a loop of your own",
        )


def _open(study: Study, request: Request, *, spend: bool) -> Finish:
    _check_function(study, request)
    study = follow(study, request)
    executor = request.executor or make_executor(as_cut(study.canonical, None))
    key = calibration_key(study.canonical, versions(), facts_of(executor))
    where = place(study, request, key)
    if where.exists:
        return _session(study, request, where, spend=spend)
    return _begin(study, request, where.folder, key, spend=spend)


def _begin(study: Study, request: Request, folder: RunFolder, key: str, *, spend: bool = False) -> Finish:
    """A new run; bad input leaves none behind."""
    known = versions()
    if request.objective_id:
        known["objective"] = request.objective_id
    _create(study, request, folder, key, known)
    try:
        return _session(study, request, Place(folder, exists=False), spend=spend)
    except (InputError, MachineBusy):
        _discard(folder, request)
        raise


def _session(study: Study, request: Request, where: Place, *, spend: bool) -> Finish:
    with Journal.open(where.folder) as journal:
        record = Record(journal, request.view)
        assert record.state.created is not None
        _remember(study, request, record.state.created.run_id)
        if where.revised:
            record.add(StudyRevised(study.canonical, study.hash))
            record.commit()
            _keep(study, where.folder)
        if not spend and is_planned(record.state):
            slots = len(make_executor(as_cut(record.state.study, chosen(record.state))).slots)
            if _calibrated(record.state, slots):
                return _planned(where, record, request, slots)
        named = replace(request, command=again(study, request, where.folder))
        return Session(where.folder, record, named, spend=spend).run()


def _create(study: Study, request: Request, folder: RunFolder, key: str, known: dict[str, str]) -> None:
    folder.root.mkdir(mode=0o700, parents=True)
    folder.attempts.mkdir(mode=0o700)
    _keep(study, folder)
    run_id = secrets.token_hex(8)
    _remember(study, request, run_id)
    with Journal.create(folder) as journal:
        created = RunCreated(
            format=FORMAT,
            name=folder.name,
            run_id=run_id,
            study=study.canonical,
            study_hash=study.hash,
            calibration_key=key,
            source=study.source,
            versions=known,
            created=request.clock.wall(),
        )
        journal.append([created])
        journal.commit()


def _remember(study: Study, request: Request, run_id: str) -> None:
    """Whoever runs a study from its file or script knows what it starts: `resume` may start the same."""
    problem = remember(run_id, started_by(study.canonical, request.objective_id, str(Path.cwd())))
    if problem:
        request.view.message(f"note: {problem}")


def _keep(study: Study, folder: RunFolder) -> None:
    """The study as a file that runs the same again."""
    folder.study.write_text(study.text)
    folder.study.chmod(0o600)


def _discard(folder: RunFolder, request: Request) -> None:
    """Bad input leaves no run behind, unless something was evaluated before it showed."""
    if not RunState(read_events(folder.journal)[0]).trials:
        shutil.rmtree(folder.root)
        request.view.message(f"nothing was run; {folder.root} is removed")


def _calibrated(state: RunState, slots: int) -> bool:
    """Whether everything that this study wants measured before its search has been."""
    return 0 in state.trials and state.trials[0].finished and Probes(state.study, slots).done(state)


def _planned(where: Place, record: Record, request: Request, slots: int) -> Finish:
    """Price again from the calibration in the journal; nothing is measured twice."""
    state = record.state
    priced = price(state, record.ledger, slots)
    summary = summarise(record.stream())
    request.view.message(plan_text(priced, state.study, summary["packing"]))
    return Finish("planned", "", where.folder.root, {**summary, "plan": priced.to_json()})
