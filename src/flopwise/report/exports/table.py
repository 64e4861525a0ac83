"""Trials as flat records, the same for every text format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from flopwise.events import Event
from flopwise.journal.replay import RunState, TrialState
from flopwise.report.summary import summarise, trial_outcome

FIXED = ("trial", "phase", "of", "outcome", "value", "seconds", "train_flops", "attempts", "cause")
"""Columns that every run has. ``value`` is the mean over seeds, in the user's metric."""

GROUPS = ("config", "derived", "seed", "value")
"""What the other columns are about, in their order; each begins with one of these and a dot."""


def records(events: Iterable[Event]) -> Iterator[dict[str, Any]]:
    """One record a trial, by number: the fixed columns, then ``config.KEY``, ``derived.KEY``, ``seed.K`` and
    ``value.K``.

    Args:
        events: The whole journal.

    Raises:
        RunError: If the journal holds no run.
        JournalDamaged: If its events contradict each other.
    """
    known = list(events)
    state = RunState(known)
    for trial in summarise(known)["trials"]:
        yield _record(trial, state.trials[trial["number"]])


def _record(trial: dict[str, Any], state: TrialState) -> dict[str, Any]:
    failure = state.failure()
    return {
        "trial": trial["number"],
        "phase": trial["phase"],
        "of": trial["of"],
        "outcome": trial_outcome(state),
        "value": trial["value"],
        "seconds": trial["seconds"],
        "train_flops": trial["train_flops"],
        "attempts": trial["attempts"],
        "cause": failure.cause if failure else "",
        **{f"config.{key}": value for key, value in trial["config"].items()},
        **{f"derived.{key}": value for key, value in trial["derived"].items()},
        **{f"seed.{index}": seed for index, seed in enumerate(state.trial.seeds)},
        **{f"value.{index}": value for index, value in enumerate(trial["values"])},
    }


def columns(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Every name that occurs: the fixed ones, then searched and computed keys, then seeds and values by index."""
    names = dict.fromkeys(name for row in rows for name in row)
    groups = [[name for name in names if name.startswith(f"{group}.")] for group in GROUPS]
    return [*FIXED, *(name for group in groups for name in group)]
