"""Was every trial what it had to be? The searcher is built again, told what it was told, and asked again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flopwise.engine.verify.difference import Difference, compare, show
from flopwise.engine.verify.run import PROBING, Run, Trial
from flopwise.registry import load
from flopwise.searchers.constrained import Constrained, Proposer
from flopwise.seeds import derive
from flopwise.study import baseline_config, rules_of, space_of
from flopwise.trial import Told

ALL_UP_TO = 1000
"""Proposals up to this place in the search are all asked for again."""

THEN_EVERY = 10
"""Beyond it, those whose place is a multiple of this."""

CHOOSE_SEEDS = 2


def check_proposals(run: Run) -> Iterator[Difference]:
    """Configs, points, seeds and stops of all trials."""
    for trial in run.trials.values():
        if trial.event.phase in PROBING:
            yield from compare(trial.proposed.where, 0, trial.event.visible, "visible")
            continue
        yield from _seeds(run, trial)
        where, event = trial.proposed.where, trial.event
        section = trial.study.get("proxy") if event.phase == "search" else None
        yield from compare(where, (section or trial.study["evaluation"])["stop"], event.stop, "stop")
        if event.phase == "calibrate":
            yield from compare(where, baseline_config(trial.study), event.config, "config")
        if event.phase in ("choose", "decide", "recheck"):
            yield from _copy(run, trial)
        if event.phase != "search":
            yield from compare(where, (None, 0), (event.point, event.visible), "point and visible")
    yield from _search(run)


def seeds_of(run: Run, trial: Trial) -> list[int] | None:
    """The seeds a trial had to have, from the study's seed; None for a phase that has no trials."""
    study, phase = trial.study, trial.event.phase
    seeds = study["evaluation"]["seeds"]
    if phase == "decide":
        return _portion(run, trial)
    counts = {
        "calibrate": max(study["calibration"]["seeds"], seeds),
        "search": seeds,
        "recheck": seeds,
        "choose": CHOOSE_SEEDS,
    }
    if phase not in counts:
        return None
    purpose = phase if phase == "choose" else "evaluation"
    return [derive(study["search"]["seed"], purpose, index) for index in range(counts[phase])]


def _portion(run: Run, trial: Trial) -> list[int]:
    """The seeds that a look adds: a config's first deciding trial belongs to the first look, and so on."""
    looks = run.phases["decide"][1].detail["looks"] if "decide" in run.phases else []
    same = [each for each in run.by_phase("decide") if each.event.of == trial.event.of]
    place = next(index for index, each in enumerate(same) if each is trial)
    until = looks[place] if place < len(looks) else 0
    first = looks[place - 1] if place else 0
    return [derive(trial.study["search"]["seed"], "decide", index) for index in range(first, until)]


def _seeds(run: Run, trial: Trial) -> Iterator[Difference]:
    expected = seeds_of(run, trial)
    if expected is None:
        yield Difference(trial.proposed.where, "phase", "calibrate, search, choose or decide", trial.event.phase)
    else:
        yield from compare(trial.proposed.where, expected, trial.event.seeds, "seeds")


def _copy(run: Run, trial: Trial) -> Iterator[Difference]:
    """A confirming trial has the config of the trial it confirms."""
    of = run.trials.get(-1 if trial.event.of is None else trial.event.of)
    if of is None or of.event.phase not in ("calibrate", "search"):
        yield Difference(trial.proposed.where, "of", "a trial of calibration or search", show(trial.event.of))
        return
    yield from compare(trial.proposed.where, of.event.config, trial.event.config, "config")


def _search(run: Run) -> Iterator[Difference]:
    """Ask again, in journal order, with exactly what had been told by then."""
    proposed = run.by_phase("search")
    if not proposed or run.tier is None:
        return
    tier = tier_of(run)
    size = tier.get("population") or 1
    total = tier["trials"] if "trials" in tier else tier["population"] * tier["generations"]
    if len(proposed) > total:
        yield Difference(proposed[total].proposed.where, "number", f"at most {total} trials", str(len(proposed)))
    searcher = searcher_of(proposed[0].study, tier)
    history = _History(run, searcher, size)
    for ordinal, trial in enumerate(proposed, start=1):
        visible = history.tell_until(trial.proposed.number)
        yield from compare(trial.proposed.where, visible, trial.event.visible, "visible")
        if ordinal <= ALL_UP_TO or ordinal % THEN_EVERY == 0:
            yield from _asked(searcher, ordinal, trial)


def tier_of(run: Run) -> Mapping[str, Any]:
    """The chosen tier of the study."""
    assert run.tier is not None
    record, chosen = run.tier
    tier: Mapping[str, Any] = run.study_at(record.number)["tiers"][chosen.tier]
    return tier


def searcher_of(study: Mapping[str, Any], tier: Mapping[str, Any]) -> Proposer:
    """The study's searcher, fresh, kept to what the study's constraints allow.

    Raises:
        FlopwiseError: If it is not installed, or its space makes no sense.
        ValueError: If its options are not valid.
    """
    kind = load("searchers", study["search"]["method"])
    space, seed = space_of(study), study["search"]["seed"]

    mode = {"asynchronous": True} if kind.generational and study["search"].get("asynchronous") else {}

    def make(number: int) -> Proposer:
        searcher: Proposer = kind(
            space,
            number,
            kind.Options(**study["search"]["options"]),
            centre=baseline_config(study),
            population=tier.get("population"),
            **mode,
        )
        return searcher

    return Constrained(make, seed, space, rules_of(study).allows)


class _History:
    """What a searcher had been told at any moment: finished search trials, by whole generations.

    A trial is told by its ordinal, its place among the trials of the search.

    Args:
        run: Whose trials.
        searcher: Told as time goes on.
        size: Trials a generation; 1 for searchers without.
    """

    def __init__(self, run: Run, searcher: Proposer, size: int) -> None:
        self._searcher = searcher
        self._size = size
        self._finished = [(at, trial) for at, trial in run.finished if trial.event.phase == "search"]
        self._ordinals = {trial.event.number: place for place, trial in enumerate(run.by_phase("search"), start=1)}
        self._told = 0

    def tell_until(self, record: int) -> int:
        """Tell what had finished before a record; how many trials have been told then."""
        known = sum(at < record for at, _ in self._finished)
        while known - self._told >= self._size:
            group = [trial for _, trial in self._finished[self._told : self._told + self._size]]
            self._searcher.tell(sorted(map(self._tellable, group), key=lambda told: told.number))
            self._told += self._size
        return self._told

    def _tellable(self, trial: Trial) -> Told:
        event = trial.event
        return Told(self._ordinals[event.number], event.config, tuple(event.point or ()), trial.loss())


def _asked(searcher: Proposer, ordinal: int, trial: Trial) -> Iterator[Difference]:
    where, event = trial.proposed.where, trial.event
    try:
        (proposal,) = searcher.ask([ordinal])
    except ValueError as error:
        yield Difference(where, "proposal", "one that the searcher makes at this point", str(error))
        return
    yield from compare(where, dict(proposal.config), event.config, "config")
    yield from compare(where, list(proposal.point), event.point, "point")
