"""Trials as a pandas DataFrame, in columns that people from Optuna know."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flopwise.errors import InputError
from flopwise.events import Event
from flopwise.journal.replay import RunState, TrialState
from flopwise.registry import resolve
from flopwise.report.summary import summarise

BEFORE = ("number", "value", "phase", "of", "outcome", "cause", "seconds", "attempts")
AFTER = ("seeds", "values")
"""Columns of every run, before and after those of its space."""

WHOLE = ("number", "of", "attempts")
"""Whole numbers; where there is none, pandas' ``<NA>``."""


def trials_frame(events: Iterable[Event]) -> Any:
    """A row a trial, by number.

    ``value`` is the mean over seeds, in the user's metric; ``of`` is, in confirmation, the trial whose config this
    is; ``cause`` says why it failed; ``seconds`` are device seconds of all attempts. Every key of the space has a
    column ``params_KEY``, and what the study derives from them ``derived_KEY``. ``seeds`` and ``values`` are lists.

    Args:
        events: The whole journal.

    Raises:
        InputError: If pandas is not installed.
    """
    make = _pandas_frame()
    known = list(events)
    trials = RunState(known).trials
    rows = [_row(trial, trials[trial["number"]]) for trial in summarise(known)["trials"]]
    keys = dict.fromkeys(name for row in rows for name in row if name not in (*BEFORE, *AFTER))
    frame = make(rows, columns=[*BEFORE, *sorted(keys, key=_derived_last), *AFTER])
    return frame.astype(dict.fromkeys(WHOLE, "Int64"))


def _row(trial: dict[str, Any], state: TrialState) -> dict[str, Any]:
    failure = state.failure()
    fixed = {"cause": failure.cause if failure else "", "seeds": list(state.trial.seeds)}
    params = {f"params_{key}": value for key, value in trial["config"].items()}
    derived = {f"derived_{key}": value for key, value in trial["derived"].items()}
    return {**{name: trial[name] for name in (*BEFORE, *AFTER) if name in trial}, **fixed, **params, **derived}


def _derived_last(name: str) -> bool:
    return name.startswith("derived_")


def _pandas_frame() -> Any:
    try:
        return resolve("pandas:DataFrame")
    except ModuleNotFoundError as error:
        if error.name != "pandas":
            raise
        raise InputError(
            "trials_dataframe() needs pandas, which is not installed",
            fix="pip install 'flopwise[pandas]'; .trials has the same as a list of dicts",
        ) from None
