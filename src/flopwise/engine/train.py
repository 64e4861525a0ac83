"""Train one config of a run once, to the full stop: what a search was for.

The training is a run of its own with a study of its own, whose baseline is that config; nothing is searched. A study
that ran to a target ended its trainings there: this one goes on, and its metric is the one that had the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flopwise.errors import InputError
from flopwise.journal.replay import RunState
from flopwise.study import Study, file_form, full_config, study_from_mapping, yaml_text

NOT_TAKEN = ("after", "proxy", "tiers", "policies", "confirm", "search", "calibration", "limits", "objective")
"""Sections of the run's study that say nothing of one training."""

UNBOUNDED = ("timeout", "progress_timeout", "seeds")
"""Keys of its evaluation that were for a search."""

LONGEST = 48
"""Characters of the run's name that are kept."""


def chosen(state: RunState, name: str, trial: int | None) -> int:
    """Number of the trial to train: the one that is asked for, else the winner.

    Raises:
        InputError: If there is none.
    """
    known = [number for number, each in sorted(state.trials.items()) if each.trial.of is None]
    if trial is not None:
        if trial not in known:
            got = f"{known[0]} to {known[-1]}" if known else "none"
            raise InputError(
                f"{name} has no trial {trial} with a config of its own", expected=f"one of its trials, {got}"
            )
        return trial
    if state.verdict is None or state.verdict.winner is None:
        raise InputError(
            f"{name} has no winner",
            expected="a run with a verdict on one",
            fix=f"name a trial: `flopwise train {name} --trial N`",
        )
    return state.verdict.winner


def training_study(state: RunState, trial: int, stop: Mapping[str, Any], seed: int | None) -> Study:
    """A study of one training.

    Args:
        state: Of the run that the config is from.
        trial: Number of the trial whose config it is.
        stop: Another length than the run's evaluations had, as in a study file; empty for that one.
        seed: Of the study; None for the run's.

    Raises:
        StudyError: If the length is none that the workload can train to.
    """
    study, config = state.study, state.trials[trial].trial.config
    kept = {key: value for key, value in file_form(study).items() if key not in NOT_TAKEN}
    evaluation = {key: value for key, value in kept["evaluation"].items() if key not in UNBOUNDED}
    made = study_from_mapping(
        {
            **kept,
            "name": f"{study['name'][:LONGEST]}-trial-{trial}",
            "base": full_config(study, config),
            "objective": _objective(study["objective"]),
            "evaluation": {**evaluation, "stop": dict(stop) or evaluation["stop"]},
            "search": {"method": "random", "seed": study["search"]["seed"] if seed is None else seed},
            "tiers": {"none": {"trials": 1}},
            "limits": {"evaluations": 1},
            "calibration": {"signal": False, "knobs": False, "ladder": False},
        },
        f"trial {trial} of {study['name']}",
    )
    once = {**made.canonical, "calibration": {**made.canonical["calibration"], "seeds": 1}}
    note = f"trial {trial} of {study['name']}, which `flopwise train` trained once"
    return replace(made, canonical=once, text=yaml_text(made.canonical, note))


def _objective(objective: Mapping[str, Any]) -> dict[str, Any]:
    target = objective.get("target", objective)
    return {"metric": target["metric"], "direction": target["direction"]}
