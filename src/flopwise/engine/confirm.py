"""Confirmation in two steps on fresh seeds: the best few choose one, that one and the baseline decide.

The search's own seeds never decide: the best of many noisy values is too good to be true (the winner's
curse). The second step uses seeds that neither search nor first step has seen, paired by seed. They come in
portions: after each the comparison is looked at, and ends when it is decided or hopeless (``stats/sequential``).
Which seeds a look adds, and what it decides, follows from the journal alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from heapq import nsmallest
from typing import Any

from flopwise.budget.plan import Plan
from flopwise.budget.pricing import CHOOSE_SEEDS
from flopwise.engine.timing import timed_verdict
from flopwise.engine.triggers import triggers
from flopwise.events import Event, LookTaken, PhaseStarted, TrialProposed, VerdictReached
from flopwise.journal.replay import RunState, TrialState
from flopwise.seeds import derive
from flopwise.stats.also import Also
from flopwise.stats.evidence import Others
from flopwise.stats.verdict import Judgement, Verdict, decide, no_candidate
from flopwise.trial import Outcome, Phase
from flopwise.units import format_money, format_seconds

CONTINUE = "continue"
"""What a look decides when more seeds are to be run."""


def candidates(study: Mapping[str, Any], state: RunState) -> list[TrialState]:
    """The ``confirm.top`` best finished search trials; ties go to the lower number.

    Of a search that goes by a cheap stop, the best of those that were rechecked at the full one.
    """
    if study.get("proxy"):
        best = _ranked(state, state.by_phase(Phase.RECHECK), study["confirm"]["top"])
        return [state.trials[trial.trial.of or 0] for trial in best]
    return _ranked(state, state.by_phase(Phase.SEARCH), study["confirm"]["top"])


def choose_events(study: Mapping[str, Any], state: RunState, chosen: Sequence[TrialState]) -> list[Event]:
    """Begin the first step; with one candidate go straight to the second, with none to the verdict."""
    if not chosen:
        return _verdict(None, no_candidate(len(state.by_phase(Phase.SEARCH)), study["confirm"]["min_improvement"]))
    numbers = [trial.trial.number for trial in chosen]
    if len(chosen) == 1:
        return [_deciding(state, numbers[0])]
    return [PhaseStarted(Phase.CHOOSE, {"candidates": numbers, "seeds": CHOOSE_SEEDS})]


def decide_events(study: Mapping[str, Any], state: RunState) -> list[Event]:
    """Begin the second step with the best of the first; those that failed a seed are out."""
    ranked = _ranked(state, state.by_phase(Phase.CHOOSE))
    if not ranked:
        judgement = no_candidate(len(state.by_phase(Phase.SEARCH)), study["confirm"]["min_improvement"])
        reason = "Every candidate failed on a fresh seed: there is none to confirm."
        return _verdict(None, replace(judgement, reasons=(reason,)))
    return [_deciding(state, ranked[0].trial.of)]


def _deciding(state: RunState, chosen: int | None) -> PhaseStarted:
    """The second step as the plan has it: most seeds, and after how many of them to look."""
    assert state.tier is not None
    seeds = int(state.tier.plan["confirm_seeds"])
    looks = list(state.tier.plan.get("confirm_looks") or [seeds])
    return PhaseStarted(Phase.DECIDE, {"chosen": chosen, "seeds": seeds, "looks": looks})


def missing_trials(study: Mapping[str, Any], state: RunState) -> list[Event]:
    """Trials that the current step of confirmation has announced and not proposed yet.

    A kill may leave the announcement without all of its trials; whatever is missing is proposed then. Each look of
    the second step has trials of its own, for the seeds that it adds.
    """
    if state.phase is None or state.phase.phase not in (Phase.CHOOSE, Phase.DECIDE):
        return []
    phase, detail = Phase(state.phase.phase), state.phase.detail
    wanted, first, last = detail.get("candidates", []), 0, detail["seeds"]
    if phase is Phase.DECIDE:
        wanted, (first, last) = [0, detail["chosen"]], _next_seeds(state, detail)
    seeds = [derive(study["search"]["seed"], phase, index) for index in range(first, last)]
    known = [trial.trial.of for trial in state.by_phase(phase)][len(state.looks) * len(wanted) :]
    missing = [state.trials[number] for number in wanted if number not in known] if seeds else []
    return [_again(study, state.next_number + i, phase, trial, seeds) for i, trial in enumerate(missing)]


def _next_seeds(state: RunState, detail: Mapping[str, Any]) -> tuple[int, int]:
    """First and last seed, the last excluded, of the look that comes next; equal when none does."""
    looks = looks_of(detail)
    taken = len(state.looks)
    if taken == len(looks) or (taken and state.looks[-1].decision != CONTINUE):
        return 0, 0
    return (looks[taken - 1] if taken else 0), looks[taken]


def looks_of(detail: Mapping[str, Any]) -> list[int]:
    """After how many seeds the second step is looked at; once at its end in runs of earlier versions."""
    return list(detail.get("looks") or [detail["seeds"]])


def look_events(study: Mapping[str, Any], state: RunState) -> list[Event]:
    """A look at the second step: on to the next seeds, or the judgement on all there are."""
    assert state.phase is not None
    detail = state.phase.detail
    chosen = detail["chosen"]
    timed = state.objective.target is not None
    judgement = (
        timed_verdict(study, state, chosen, looks_of(detail))
        if timed
        else decide(
            baseline=deciding_losses(state, 0),
            candidate=deciding_losses(state, chosen),
            min_improvement=study["confirm"]["min_improvement"],
            objective=state.objective,
            looks=looks_of(detail),
            others=_others(study, state, chosen),
        )
    )
    number = int(judgement.numbers["look"])
    decision = str(judgement.verdict) if judgement.final else CONTINUE
    look = [LookTaken(number, decision, dict(judgement.numbers))] if len(state.looks) < number else []
    return [*look, *(_judged(study, state, chosen, judgement) if judgement.final else [])]


def _judged(study: Mapping[str, Any], state: RunState, winner: int, judgement: Judgement) -> list[Event]:
    """The verdict on the fresh seeds, with its triggers; one that is needed and does not hold takes a GO back."""
    found = triggers(study, state, winner, judgement.numbers)
    broken = [trigger for trigger in found if trigger.vetoes and trigger.holds is False]
    if judgement.verdict is Verdict.GO and broken:
        doubts = [f"No GO, since {trigger.name} does not hold: {trigger.evidence}." for trigger in broken]
        judgement = replace(judgement, verdict=Verdict.INCONCLUSIVE, reasons=(*doubts, *judgement.reasons))
    more = _more(state, judgement)
    reasons = [*judgement.reasons, *([_price(more)] if more else [])]
    numbers = dict(judgement.numbers)
    verdict = VerdictReached(judgement.verdict, winner, reasons, numbers, [asdict(each) for each in found], more)
    return [verdict, PhaseStarted("done")]


def _more(state: RunState, judgement: Judgement) -> dict[str, float]:
    """What a confirmation that settles it would take: as many seeds as are needed, at the plan's rates."""
    seeds = judgement.numbers["n_needed"]
    if seeds is None or state.tier is None:
        return {}
    cost = Plan.from_json(state.tier.plan).rates.batches(2 * seeds)
    costs = ("evaluations", "device_s", "wall_s", "price")
    return {"seeds": seeds, **{name: getattr(cost, name) for name in costs}}


def _price(more: Mapping[str, float]) -> str:
    """``That is confirm.seeds: 34, …``: what to change, and what it costs."""
    price = f", {format_money(more['price'])}" if more["price"] else ""
    return (
        f"That is confirm.seeds: {more['seeds']} in a new run (another search.seed, so that its seeds are fresh): "
        f"{more['evaluations']} evaluations to decide by, {format_seconds(more['device_s'])} on one slot, "
        f"{format_seconds(more['wall_s'])} with all{price}."
    )


def _others(study: Mapping[str, Any], state: RunState, chosen: int) -> Others | None:
    """The study's other metrics on the fresh seeds; None where it has none."""
    also = [Also(metric, **each) for metric, each in study["confirm"].get("also", {}).items()]
    return Others(also, _metrics(state, 0), _metrics(state, chosen)) if also else None


def unreported(study: Mapping[str, Any], baseline: TrialState) -> str:
    """What a calibrated baseline fails to report of what the confirmation asks for; empty when nothing."""
    known = [set(end.metrics) for end in baseline.finals() if end is not None]
    for metric in study["confirm"].get("also", {}):
        if not all(metric in reported for reported in known):
            names = ", ".join(sorted(set.intersection(*known))) if known else "nothing"
            return f"the baseline does not report {metric!r}, which confirm.also asks for; it reports {names}"
    return ""


def _metrics(state: RunState, of: int) -> list[Mapping[str, float] | None]:
    trials = [trial for trial in state.by_phase(Phase.DECIDE) if trial.trial.of == of]
    ends = [end for trial in trials for end in trial.finals()]
    return [end.metrics if end is not None and end.outcome == Outcome.OK else None for end in ends]


def deciding_losses(state: RunState, of: int) -> list[float | None]:
    """One loss a fresh seed of the second step, over all looks; None where it failed."""
    trials = [trial for trial in state.by_phase(Phase.DECIDE) if trial.trial.of == of]
    return [loss for trial in trials for loss in trial.losses(state.objective)]


def out_of_budget(study: Mapping[str, Any], state: RunState, cause: str) -> list[Event]:
    """The verdict when a limit ended confirmation before it could decide: what the last look saw is told."""
    judgement = no_candidate(len(state.by_phase(Phase.SEARCH)), study["confirm"]["min_improvement"])
    reason = f"The budget ended before the confirmation did: {cause}."
    numbers = state.looks[-1].numbers if state.looks else judgement.numbers
    return _verdict(None, replace(judgement, reasons=(reason,), numbers=dict(numbers)))


def nothing_to_confirm(study: Mapping[str, Any], state: RunState) -> list[Event]:
    """The verdict when a policy settled the study at the end of its search: nothing is spent on confirmation."""
    assert state.stopped is not None
    judgement = no_candidate(len(state.by_phase(Phase.SEARCH)), study["confirm"]["min_improvement"])
    reasons = (
        f"{state.stopped.cause[:1].upper()}{state.stopped.cause[1:]}.",
        "Nothing was confirmed: fresh seeds would have been spent on what the noise explains.",
        "To find more: train longer (evaluation.stop), average over more seeds (evaluation.seeds), or search other "
        f"or wider ranges; with `policies.{state.stopped.policy}: false` the best is confirmed all the same.",
    )
    return _verdict(None, replace(judgement, verdict=Verdict.NO_GO, reasons=reasons))


def _verdict(winner: int | None, judgement: Judgement) -> list[Event]:
    verdict = VerdictReached(judgement.verdict, winner, list(judgement.reasons), dict(judgement.numbers))
    return [verdict, PhaseStarted("done")]


def _again(study: Mapping[str, Any], number: int, phase: Phase, trial: TrialState, seeds: list[int]) -> TrialProposed:
    """The same config as an earlier trial, on other seeds."""
    return TrialProposed(
        number=number,
        phase=phase,
        config=dict(trial.trial.config),
        stop=study["evaluation"]["stop"],
        seeds=seeds,
        of=trial.trial.number,
    )


def _ranked(state: RunState, trials: Sequence[TrialState], most: int | None = None) -> list[TrialState]:
    """Trials that have a loss, best first, ties by number; at most so many."""
    objective = state.objective
    losses = ((trial.loss(objective), trial) for trial in trials)
    scored = ((loss, trial.number, trial) for loss, trial in losses if loss is not None)
    return [trial for _, _, trial in nsmallest(len(trials) if most is None else most, scored)]
