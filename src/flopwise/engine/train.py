"""Train one config of a run once, to the full stop: what a search was for.

The training is a run of its own with a study of its own, whose baseline is that config; nothing is searched. A study
that ran to a target ended its trainings there: this one goes on, and its metric is the one that had the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flopwise.errors import InputError
from flopwise.journal.replay import RunState
from flopwise.paths import CHECKPOINT
from flopwise.registry import load
from flopwise.study import Study, file_form, full_config, study_from_mapping, with_keys, yaml_text

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


@dataclass(frozen=True)
class Training:
    """What is asked of one training.

    Args:
        trial: Number of the trial whose config it is; None for the winner's.
        stop: Another length than the run's evaluations had, as in a study file; empty for that one.
        seed: Of the study; None for the run's.
        every: Steps between checkpoints; None for one at the end.
        start: Checkpoint to go on from; None for none.
    """

    trial: int | None = None
    stop: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    every: int | None = None
    start: Path | None = None


def training_study(state: RunState, trial: int, asked: Training) -> Study:
    """A study of one training.

    Args:
        state: Of the run that the config is from.
        trial: Number of the trial whose config it is.
        asked: How to train it.

    Raises:
        InputError: If checkpoints are asked for that the workload does not write.
        StudyError: If the length is none that the workload can train to.
    """
    study, config = state.study, state.trials[trial].trial.config
    stop, seed = dict(asked.stop), asked.seed
    kept = {key: value for key, value in file_form(study).items() if key not in NOT_TAKEN}
    evaluation = {key: value for key, value in kept["evaluation"].items() if key not in UNBOUNDED}
    made = study_from_mapping(
        {
            **kept,
            "name": f"{study['name'][:LONGEST]}-trial-{trial}",
            "base": with_keys(full_config(study, config), _checkpoints(study["workload"], asked)),
            "objective": _objective(study["objective"]),
            "evaluation": {**evaluation, "stop": stop or evaluation["stop"]},
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


def _checkpoints(workload: str, asked: Training) -> dict[str, Any]:
    """Settings of the config: save what was trained, and go on from what is asked for."""
    keys: tuple[str, str] | None = getattr(load("workloads", workload), "checkpoints", None)
    if keys is None:
        if asked.every is not None or asked.start is not None:
            raise InputError(
                f"the workload {workload!r} writes no checkpoints that flopwise knows of",
                expected="neither --checkpoint-every nor --from",
                fix="let your program save into its own folder, FLOPWISE_FOLDER",
            )
        return {}
    if asked.start is not None and not asked.start.is_file():
        raise InputError(
            "there is no such checkpoint", expected=f"a file {CHECKPOINT}", got=str(asked.start), where="--from"
        )
    start = None if asked.start is None else str(asked.start.absolute())
    return dict(zip(keys, ("end" if asked.every is None else asked.every, start), strict=True))


def _objective(objective: Mapping[str, Any]) -> dict[str, Any]:
    target = objective.get("target", objective)
    return {"metric": target["metric"], "direction": target["direction"]}
