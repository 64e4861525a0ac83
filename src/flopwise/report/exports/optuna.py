"""Trials in Optuna's own storage, for ``optuna-dashboard`` and whatever else reads an Optuna study.

Number 0 is the baseline, the others are places in the search; the user attribute ``trial`` is the number in the run.
What was calibrated beyond the baseline is left out, and so is confirmation, which repeats configs that are there
already: the verdict stands in the study's user attributes. A search by a proxy has no baseline here: its values are of
another stop.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from flopwise.errors import InputError
from flopwise.events import Alive, AttemptEnded, AttemptStarted, Event, SessionOpened
from flopwise.journal.replay import AttemptState, RunState
from flopwise.journal.replay import TrialState as Known
from flopwise.paths import RunFolder
from flopwise.report.derived import derivation
from flopwise.report.evidence import reported
from flopwise.report.optuna_form import OptunaForm, quiet_study
from flopwise.report.summary import summarise, trial_outcome
from flopwise.report.text import plain
from flopwise.study import space_of
from flopwise.trial import Outcome, Phase

SQLITE = (".db", ".sqlite", ".sqlite3")
JOURNAL = (".log", ".journal")

STATES: Mapping[str, TrialState] = {
    Outcome.OK: TrialState.COMPLETE,
    Outcome.PRUNED: TrialState.PRUNED,
    "running": TrialState.RUNNING,
    "waiting": TrialState.WAITING,
}
"""Optuna's state of each outcome; every other one is FAIL."""

MOST_POINTS = 40
"""Points of a learning curve that are kept: Optuna's SQLite storage takes milliseconds for each."""

LONGEST_TEXT = 500
"""Characters of a text attribute; Optuna's SQLite storage allows about 2,000."""


def write(folder: RunFolder, events: Sequence[Event], target: Path | None) -> str:
    """Write a storage with one study, named like the run, anew.

    Args:
        folder: The run folder.
        events: Its whole journal, finished or not.
        target: ``*.db`` for SQLite or ``*.log`` for Optuna's journal file; None for ``optuna.log`` in the run folder.

    Returns:
        What was written where, and how to look at it.

    Raises:
        InputError: If the file's name says neither.
        RunError: If the journal holds no run.
    """
    target = target or folder.optuna
    draft = target.with_name(f".{os.getpid()}.{target.name}")
    draft.unlink(missing_ok=True)
    try:
        count = _fill(_storage(draft), events)
        draft.chmod(0o600)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    address = f"sqlite:///{target}" if target.suffix in SQLITE else str(target)
    return f"wrote {count:,} trials to {target}; look at them with: optuna-dashboard {address}"


def _storage(path: Path) -> BaseStorage:
    if path.suffix in SQLITE:
        return RDBStorage(f"sqlite:///{path}")
    if path.suffix in JOURNAL:
        return JournalStorage(JournalFileBackend(str(path)))
    endings = ", ".join((*SQLITE, *JOURNAL))
    raise InputError(
        f"cannot tell the storage from {path.name!r}", expected=f"a name that ends in one of {endings}",
        fix="for example -o trials.db",
    )  # fmt: skip


def _fill(storage: BaseStorage, events: Sequence[Event]) -> int:
    """Study and trials into an empty storage; returns how many."""
    summary, state = summarise(events), RunState(events)
    study = quiet_study(
        storage=storage, study_name=summary["name"], direction=summary["objective"]["direction"]
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names([summary["objective"]["metric"]])
    for key, value in _facts(summary).items():
        study.set_user_attr(key, value)
    trials = list(_trials(state, _intents(events)))
    study.add_trials(trials)
    storage.remove_session()
    if isinstance(storage, RDBStorage):
        storage.engine.dispose()
    return len(trials)


def _facts(summary: Mapping[str, Any]) -> dict[str, Any]:
    verdict, winner = summary["verdict"], summary["winner"]
    return {
        "flopwise run": summary["run_id"],
        "workload": summary["workload"],
        "state": summary["state"],
        "verdict": verdict["verdict"] if verdict else None,
        "reasons": [_short(reason) for reason in verdict["reasons"]][:5] if verdict else [],
        "winner": winner["of"] if winner else None,
    }


def _intents(events: Iterable[Event]) -> dict[str, float]:
    """When each attempt was about to start: at the last moment that the journal knows before it."""
    found, now = dict[str, float](), 0.0
    for event in events:
        match event:
            case SessionOpened(t=t) | Alive(t=t) | AttemptEnded(ended_at=t):
                now = t
            case AttemptStarted(attempt=attempt):
                found[attempt] = now
    return found


def _trials(state: RunState, intents: Mapping[str, float]) -> Iterator[FrozenTrial]:
    form, derive = OptunaForm(space_of(state.study)), derivation(state.study)
    walls = _walls(state)
    baseline = () if state.study.get("proxy") else (Phase.CALIBRATE,)
    for trial in state.by_phase(*baseline, Phase.SEARCH):
        found = _frozen(trial, form, state)
        found.datetime_start, found.datetime_complete = _times(trial, walls, found.state, intents)
        for key, value in derive(trial.trial.config).items():
            found.set_user_attr(f"derived.{key}", value)
        yield found


def _frozen(trial: Known, form: OptunaForm, state: RunState) -> FrozenTrial:
    params, ranges = form(trial.trial.config)
    value = state.objective.shown(trial.loss(state.objective))
    outcome = trial_outcome(trial)
    censored = outcome == Outcome.OK and value is None
    return create_trial(
        state=TrialState.FAIL if censored else STATES.get(outcome, TrialState.FAIL),
        value=value,
        params=params,
        distributions=ranges,
        user_attrs=_attributes(trial, outcome),
        intermediate_values=_curve(trial, state.objective.metric),
    )


def _attributes(trial: Known, outcome: str) -> dict[str, Any]:
    failure = trial.failure()
    return {
        "trial": trial.trial.number,
        "phase": str(trial.trial.phase),
        "outcome": outcome,
        "seeds": list(trial.trial.seeds),
        "device_s": sum(attempt.ended.device_s for attempt in trial.attempts if attempt.ended),
        **({"cause": _short(failure.cause)} if failure else {}),
    }


def _curve(trial: Known, metric: str) -> dict[int, float]:
    """What the first seed's last attempt reported, by step: evenly thinned, its last point kept."""
    attempts = [attempt for attempt in trial.of_seed(0) if attempt.rows]
    rows = attempts[-1].rows if attempts else []
    name = reported(metric, [row["values"] for row in rows])
    known = [row for row in rows if name in row["values"]]
    every = math.ceil(len(known) / MOST_POINTS) or 1
    return {int(row["step"]): float(row["values"][name]) for row in reversed(known[::-1][::every])}


def _walls(state: RunState) -> dict[int, tuple[datetime, float]]:
    """Wall time and monotonic seconds of each session's opening."""
    opened = [session.opened for session in state.sessions]
    return {o.session: (datetime.fromisoformat(o.wall).astimezone().replace(tzinfo=None), o.t) for o in opened}


def _times(
    trial: Known, walls: Mapping[int, tuple[datetime, float]], state: TrialState, intents: Mapping[str, float]
) -> tuple[datetime | None, datetime | None]:
    """When the trial began and ended, in local wall time as Optuna has it."""
    if state == TrialState.WAITING:
        return None, None
    ended = [(attempt, attempt.ended) for attempt in trial.attempts if attempt.ended]
    start = min((_wall(a, e.started_at, walls) for a, e in ended), default=None)
    if start is None and trial.attempts:
        start = _wall(trial.attempts[0], intents[str(trial.attempts[0].id)], walls)
    done = max((_wall(a, e.ended_at, walls) for a, e in ended), default=start) if state.is_finished() else None
    return start, done


def _wall(attempt: AttemptState, at: float, walls: Mapping[int, tuple[datetime, float]]) -> datetime:
    wall, t = walls[attempt.intent.session]
    return wall + timedelta(seconds=at - t)


def _short(text: str) -> str:
    return plain(text)[:LONGEST_TEXT]
