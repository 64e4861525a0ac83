"""``after: RUN``: a study that goes on from the confirmed winner of another run, or does not start.

The other run is read once, before this one exists. Its winner becomes this study's baseline, and with it the centre of
the search; which run, which trial and which values is part of the study from then on and journaled with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from flopwise.engine.place import is_over, newest_run
from flopwise.engine.request import Request
from flopwise.errors import InputError
from flopwise.journal.log import read_events
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder, find_run
from flopwise.space import Float, Int, Parameter
from flopwise.study import (
    Study,
    baseline_config,
    file_form,
    rules_of,
    space_of,
    study_from_mapping,
    with_keys,
    yaml_text,
)

GO = "GO"


def follow(study: Study, request: Request) -> Study:
    """The study with the winner of the run it comes after as its baseline; as it is where it comes after none.

    Args:
        study: Checked.
        request: Says where runs live, and who is told.

    Raises:
        RunError: If there is no such run.
        InputError: If that run does not end in GO, trains something else, or its winner does not fit here.
        StudyError: If the study is not valid around the winner; names every mistake.
    """
    name = study.canonical.get("after")
    if not isinstance(name, str):
        return study
    known = _kept(study, request.runs)
    if known is not None:
        return _around(study, known)
    folder = find_run(name, request.runs)
    state = RunState(read_events(folder.journal)[0])
    _check(study, folder, state, request.runs)
    found = _winner(study, name, state)
    request.view.message(_said(study, found))
    return _around(study, found)


def _kept(study: Study, runs: Path) -> dict[str, Any] | None:
    """What this study's newest run has found out already, as long as it goes on: the other run is read once."""
    newest = newest_run(study.name, runs)
    state = RunState(read_events(newest.journal)[0]) if newest else None
    kept = state.study.get("after") if state is not None and not is_over(state) else None
    return kept if isinstance(kept, dict) and kept["run"] == study.canonical["after"] else None


def _check(study: Study, folder: RunFolder, state: RunState, runs: Path) -> None:
    """Refuse a run that this one may not come after."""
    workload = state.study.get("workload")
    if workload != study.canonical["workload"]:
        raise _refused(study, f"{folder.name} trains {workload}", f"the workload {study.canonical['workload']}")
    if state.verdict is None:
        fix = f"`flopwise status {folder.name}` says where it stands, `flopwise resume {folder.name}` goes on with it"
        raise _refused(study, f"{folder.name} has no verdict", "a run that ended in GO", fix)
    if state.verdict.verdict != GO or state.verdict.winner is None:
        newest = newest_run(str(state.study["name"]), runs)
        others = f"; {newest.name} is the newest run of that study" if newest and newest.name != folder.name else ""
        fix = "start from another run, or drop `after` and search around a baseline of your own" + others
        raise _refused(study, f"{folder.name} ended in {state.verdict.verdict}", "a run that ended in GO", fix)


def _refused(study: Study, problem: str, expected: str, fix: str | None = None) -> InputError:
    return InputError(f"after: {problem}", expected=expected, where=study.source, fix=fix)


def _winner(study: Study, name: str, state: RunState) -> dict[str, Any]:
    """The other run's winner in the terms of this study."""
    assert state.verdict is not None and state.verdict.winner is not None and state.created is not None
    config = state.trials[state.verdict.winner].trial.config
    whole = {**config, **rules_of(state.study).derive(config)}
    computed = study.canonical.get("derived", {})
    space, fitted, clipped = space_of(study.canonical), dict[str, Any](), dict[str, list[Any]]()
    for key, value in whole.items():
        if key in computed:
            continue
        parameter = space.parameters.get(key)
        fitted[key] = value if parameter is None else _inside(study, key, parameter, value)
        if fitted[key] != value:
            clipped[key] = [value, fitted[key]]
    return {
        "run": name,
        "run_id": state.created.run_id,
        "study_hash": state.study_hash,
        "trial": state.verdict.winner,
        "config": fitted,
        "clipped": clipped,
    }


def _inside(study: Study, key: str, parameter: Parameter, value: Any) -> Any:
    """The nearest value that a parameter can have; a choice that is not there has no nearest one."""
    if parameter.contains(value):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not isinstance(parameter, Float | Int):
        raise _refused(
            study,
            f"the winner has {key} = {value!r}, which is not in this study's space",
            "a space that holds the winner",
            f"add that choice to space.{key}, or drop the key from the space",
        )
    bounded = min(max(value, parameter.low), parameter.high)
    return parameter.decode(parameter.encode(bounded))


def _said(study: Study, found: Mapping[str, Any]) -> str:
    """What became of the winner, in one sentence or two."""
    outside = [key for key in found["config"] if key not in study.canonical["space"]]
    parts = [f"after {found['run']}: its winner, trial {found['trial']}, is the baseline"]
    if outside:
        parts.append(f"not searched any more, and so fixed: {', '.join(outside)}")
    parts += [f"{key} {was:g} is outside the space and becomes {now:g}" for key, (was, now) in found["clipped"].items()]
    return "; ".join(parts)


def _around(study: Study, found: Mapping[str, Any]) -> Study:
    """The study with the winner as its base, checked again as a whole."""
    plain = {key: value for key, value in file_form(study.canonical).items() if key != "after"}
    plain["base"] = with_keys(study.canonical["base"], found["config"])
    checked = study_from_mapping({**plain, "after": dict(found)}, f"{study.source} after {found['run']}")
    centred = baseline_config(checked.canonical)
    assert all(centred[key] == value for key, value in found["config"].items() if key in centred)
    note = f"{study.source} around the winner of {found['run']}, which is no longer needed to run this"
    text = yaml_text(checked.canonical, note)
    return replace(study, canonical=checked.canonical, text=text, warnings=checked.warnings)
