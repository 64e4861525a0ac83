"""A run as one JSON document: a pure fold over its journal, the source of every table and report.

Values are in the user's metric (larger is better when ``objective.direction`` is ``maximize``). An
*ended attempt* has an ``AttemptEnded``. An evaluation's *end* is the one that counts for a seed
(``TrialState.final``: ok, failed for good, or out of retries). ``null`` stands where nothing is known yet.

=============  =========================================================================================
key            what it holds, and from which events
=============  =========================================================================================
format         1: format of this document.
name, run_id   From ``RunCreated``.
created        Its wall time, ISO 8601.
state          ``planned`` without a session; ``running`` while the last session is open in the journal
               (its process may have died since); ``interrupted`` when it was lost; else the reason of
               its ``SessionClosed``: planned, finished, stopped, paused, interrupted or failed.
detail         The one line of that ``SessionClosed``, else empty.
phase          The last ``PhaseStarted.phase``: calibrate, search, choose, decide, done; null before.
study_hash     Of the last ``RunCreated`` or ``StudyRevised``; so is everything read from the study.
workload       The study's.
after          ``{run, run_id, study_hash, trial, config, clipped}`` of the run that the study comes after, whose
               winner is its baseline; null without.
objective      ``{metric, direction}`` of the study, and its ``target`` where it has one.
tier           ``TierChosen.tier``; null before.
limits         The study's ``limits``.
data           Pin of the prepared data, empty without.
seed           The study's ``search.seed``.
command        Of the last ``SessionOpened``, empty without; so are the next two.
machine        ``{cores, memory_bytes, …}``.
slots          One ``{index, cores, threads}`` a slot.
versions       Of ``RunCreated``.
verdict        ``{verdict, reasons, numbers, triggers, more}`` of ``VerdictReached``; null before.
baseline       ``{number, config, derived, values, mean}``: the trial that stands for the baseline. After a
               verdict the decide phase's trial of 0 (fresh seeds), where there is one; else trial 0.
               ``config`` holds the keys of the space; ``derived`` what the study computes from it (and is
               empty where it computes nothing). So it is wherever there is a ``config``.
               On fresh seeds it has ``trials``, too: the numbers of the decide phase's trials, one a look, whose
               values these are in turn.
winner         ``{number, of, trials, config, derived, values, mean}``: the decide phase's trials of the verdict's
               winner, whose number is ``of``; null before a verdict and where there is none.
looks          ``[{look, decision, numbers}]`` of every ``LookTaken``.
best_so_far    ``[{trial, spent_device_s, value}]``: a row for every finished trial of calibration or search (of a
               search by a proxy: for every recheck, under the number of the trial it repeats) that has a value,
               which is better than all before it, in the order of finishing. ``spent_device_s`` is the sum of
               ``device_s`` of all attempts ended by then.
spend          The ledger without a clock. ``evaluations``: seeds of trials with an attempt that ended and was
               not interrupted. ``device_s``, ``attempts_price``: sums of ``device_s`` and ``price`` over all
               ended attempts. ``session_s``: wall seconds of all sessions, each from ``SessionOpened.t`` to
               the ``t`` of its ``SessionClosed`` or ``SessionLost``, while open to the latest ``Alive.t`` or
               ``ended_at`` of its attempts. ``idle_price``: those seconds at ``price_per_hour`` less
               ``attempts_price``, at least 0. ``total_price``: both prices. ``train_flops``: sum over all ended
               attempts of which it is known, null when there is none. ``by_phase``: ``{phase: {evaluations,
               device_s, price, train_flops}}`` of the attempts of each phase's trials.
slot_use       ``[{slot, attempts, failed, seconds, load, switches_per_s, contention, running, quarantined}]``
               over the slots of the last session and the attempts that ended there. ``failed``: neither ok,
               pruned nor interrupted. ``seconds``: sum of ``ended_at - started_at``. ``load``: CPU seconds over
               wall seconds and threads. ``switches_per_s``: context switches, both kinds. ``contention``: share
               of the slot's time that others took. Each of the three over the attempts of which it is known,
               null when there is none. ``running``: attempt that runs there. ``quarantined``: cause, or null.
contention     ``{contended, known, above}``: ended attempts of the run with a contention above ``above``, of
               those of which it is known.
stragglers     ``{population, slots, slot_s, idle_s, idle_share, populations, recommended}`` of a search by whole
               generations, null for others and before its first end. ``slot_s``: slots times seconds from first
               start to last end, over generations and sessions; ``idle_s``: of it what no attempt used.
               ``populations``: ``[{population, idle_share}]``, the share for other sizes, by simulating the measured
               durations on the last session's slots. ``recommended``: smallest with at most 0.1, or null.
failures       ``[{outcome, count, example_cause, attempt}]`` over ended attempts that are neither ok, pruned
               nor interrupted, retried ones included; most frequent first, ties by name. The example is
               the first in the order of trials and attempts.
warnings       ``[{flag, count, attempt}]`` over the ``info["flags"]`` of all ended attempts, in that order.
policies       ``[{policy, action, cause, evidence}]``: every ``PolicyRaised``, in journal order.
amended        ``[{key, before, after}]``: every change of every ``Amended``, in journal order.
larger_tier    ``{tier, offered, stable, improving, failed, evaluations, gain, noise, planned}`` of the next larger
               tier; null before a verdict and after the largest. ``failed`` of the last ``evaluations`` of the
               search (three generations, a quarter of it without, at least 20). ``gain``: by how much its last
               third lowered the best loss. ``noise``: of a trial's score over seeds. ``planned``:
               ``{device_hours, wall_s, price}`` of the plan.
questions      ``[{name, ask, trials, best, settled, contrasts}]`` of a staged search, in its order; empty for others.
               ``trials``: numbers of its trials. ``best``: the one whose values later questions take.
               ``settled``: ``{skipped, reason}`` of its ``QuestionSettled``, or null. A contrast: ``{reference,
               option, pairs, failed, missing, disturbed, reached, horizon, chance, answer, objective,
               equal_seconds, equal_step}``. ``reference`` and ``option``: key to value. ``pairs``: of trainings on
               the same seed that both ended ok; ``failed``: of which one failed; ``missing``: of which one was not run;
               ``disturbed``: those of ``pairs`` whose slot was used by others, left out of what is about seconds.
               ``reached``: how many of the others reached the target, reference and option; null without one.
               ``horizon``: seconds up to which all of them were watched, null where all got there. ``objective``,
               ``equal_seconds``, ``equal_step``: ``{n, mean, sd, df, lower, upper, rests_on}`` of the paired
               differences, positive where the option is better, two-sided 95% (see ``stats.contrasts``): of the
               seconds to the target in force, cut at the horizon (null where nobody got there; without a target, of
               the metric); of the loss at the moment, or step, at which the first of a pair ended, which was ``from``
               … ``to``. ``chance``: of so large a mean if pairs were turned round, where times are cut and the
               interval rests on pairs. ``answer``: better or worse where the interval of ``objective`` leaves out 0
               (and ``chance`` is at most 0.05), else open.
timed          ``{metric, target, chosen, compared}`` of a study with a target, else null. ``target``: in force;
               ``chosen``: ``{reason, counts}`` of ``TargetChosen``, or null. ``compared``: ``{horizon, logrank,
               baseline, winner}`` of the deciding step's trainings in undisturbed slots, null before a verdict on a
               winner and where all of them got there. ``logrank``: two-sided p-value. ``baseline``, ``winner``:
               ``{seeds, reached, failed, disturbed, median, restricted_mean, curve, censored}``; ``curve``:
               Kaplan and Meier's, ``[[seconds, share that has not got there], …]``; ``censored``: seconds after which
               the others ended.
packing        ``{cores, slots, threads, reason, pairs}`` of the last ``PackingChosen`` and of every
               ``PackingMeasured`` on a machine with as many cores, the last one a pair, by slots and threads;
               ``slots`` and ``threads`` are null before a choice; null when nothing was measured or chosen.
               A pair: ``{slots, threads, evaluations_per_hour, seconds, slowdown, peak_rss_bytes,
               price_per_100, cause}``. ``seconds``: mean of its evaluations, null where it does not count.
               ``slowdown``: that over the smallest of all pairs. ``price_per_100``: of 100 evaluations.
calibration    ``{seconds, values, noise_sd}`` of trial 0: ``ended_at - started_at`` and value of each seed's
               end, standard deviation (n - 1) of the values there are; null before it was proposed.
plan           ``TierChosen.plan``; null before.
trials         ``[{number, phase, of, config, derived, values, value, outcome, seconds, train_flops, attempts,
               contended}]`` by number.
               ``values``: one a seed, null where it failed or has not ended. ``outcome``: ok; the first
               failed seed's; while not finished ``running`` or ``waiting``. ``seconds``: device seconds of
               all its ended attempts; so ``train_flops``, null where unknown. ``attempts``: how many were
               started. ``contended``: how many of them are in ``contention.contended``.
=============  =========================================================================================

``mean`` of a trial and its ``value`` are the mean over all its seeds, null while one is missing or failed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from flopwise.budget.ledger import Ledger
from flopwise.contention import is_contended
from flopwise.errors import RunError
from flopwise.events import AttemptEnded, Event, RunCreated, SessionClosed, field_values
from flopwise.journal.replay import RunState, TrialState
from flopwise.objective import Objective
from flopwise.report.derived import Derive, derivation
from flopwise.report.offer import offer
from flopwise.report.packing import Packings
from flopwise.report.questions import questions
from flopwise.report.slot_use import contention, slot_use
from flopwise.report.stragglers import stragglers
from flopwise.report.timed import timed
from flopwise.stats.noise import noise_sd
from flopwise.trial import Outcome, Phase

FORMAT = 1
"""Raised when a key changes its meaning."""

NOT_FAILURES = frozenset({Outcome.OK, Outcome.PRUNED})


def summarise(events: Iterable[Event]) -> dict[str, Any]:
    """The summary of a run; the module's table says what each key holds.

    Args:
        events: The whole journal, in order.

    Returns:
        JSON values only; the same events give the same summary, byte for byte.

    Raises:
        RunError: If the journal holds no run.
        JournalDamaged: If its events contradict each other.
    """
    state, ledger, best, packings = RunState(), Ledger(), BestSoFar(), Packings()
    for event in events:
        state.apply(event)
        ledger.apply(event)
        best.apply(event, state)
        packings.apply(event)
    if state.created is None:
        raise RunError("the journal is empty", expected="a run", fix="start one with `flopwise run`")
    derive = derivation(state.study)
    return {
        "format": FORMAT,
        **_identity(state.created, state),
        **_outcome(state, derive),
        "best_so_far": best.rows(state.objective),
        "spend": _spend(ledger),
        "slot_use": slot_use(state),
        "contention": contention(state),
        "stragglers": stragglers(state),
        "failures": _failures(state),
        "warnings": _warnings(state),
        "policies": [
            {"policy": r.policy, "action": r.action, "cause": r.cause, "evidence": r.evidence} for r in state.raised
        ],
        "amended": list(state.amended),
        "larger_tier": offer(state),
        "questions": questions(state),
        "timed": timed(state),
        "packing": packings.to_json(state.study["execution"]["price_per_hour"]),
        "calibration": _calibration(state),
        "plan": state.tier.plan if state.tier else None,
        "trials": [_trial(trial, state.objective, derive) for _, trial in sorted(state.trials.items())],
    }


def counted_phases(proxied: bool) -> tuple[Phase, Phase]:
    """Phases whose values are of the full stop, and so can be the best so far."""
    return (Phase.CALIBRATE, Phase.RECHECK if proxied else Phase.SEARCH)


class BestSoFar:
    """The best value of calibration and search against what all attempts had cost by then."""

    def __init__(self) -> None:
        self._finished: list[tuple[TrialState, float]] = []
        self._spent_device_s = 0.0
        self._seen = 0

    def apply(self, event: Event, state: RunState) -> None:
        """Take one event; ``state`` has it already."""
        if isinstance(event, AttemptEnded):
            self._spent_device_s += event.device_s
        for number in state.completed[self._seen :]:
            if state.trials[number].trial.phase in counted_phases(bool(state.study.get("proxy"))):
                self._finished.append((state.trials[number], self._spent_device_s))
        self._seen = len(state.completed)

    def rows(self, objective: Objective) -> list[dict[str, Any]]:
        """The improvements, all by the target that counts in the end."""
        best, rows = math.inf, []
        for trial, spent_device_s in self._finished:
            loss = trial.loss(objective)
            value = objective.shown(loss)
            if loss is not None and value is not None and loss < best:
                best = loss
                rows.append(
                    {
                        "trial": trial.trial.number if trial.trial.of is None else trial.trial.of,
                        "spent_device_s": spent_device_s,
                        "value": value,
                    }
                )
        return rows


def _identity(created: RunCreated, state: RunState) -> dict[str, Any]:
    study = state.study
    opened = state.sessions[-1].opened if state.sessions else None
    return {
        "name": created.name,
        "run_id": created.run_id,
        "created": created.created,
        **_standing(state),
        "study_hash": state.study_hash,
        "workload": study["workload"],
        "after": study.get("after"),
        "objective": study["objective"],
        "tier": state.tier.tier if state.tier else None,
        "limits": dict(study["limits"]),
        "data": state.data,
        "seed": study["search"]["seed"],
        "command": opened.command if opened else "",
        "machine": opened.machine if opened else {},
        "slots": opened.slots if opened else [],
        "versions": created.versions,
    }


def _standing(state: RunState) -> dict[str, Any]:
    closed = state.sessions[-1].closed if state.sessions else None
    phase = state.phase.phase if state.phase else None
    if isinstance(closed, SessionClosed):
        return {"state": closed.reason, "detail": closed.detail, "phase": phase}
    name = "interrupted" if closed else "running" if state.sessions else "planned"
    return {"state": name, "detail": "", "phase": phase}


def _outcome(state: RunState, derive: Derive) -> dict[str, Any]:
    verdict, objective = state.verdict, state.objective
    if verdict is None:
        baseline = _measured(state.trials.get(0), objective, derive)
        return {"verdict": None, "baseline": baseline, "winner": None, "looks": _looks(state)}
    winner = None if verdict.winner is None else _decided(state, verdict.winner, derive)
    return {
        "verdict": {key: value for key, value in field_values(verdict).items() if key != "winner"},
        "baseline": _decided(state, 0, derive) or _measured(state.trials.get(0), objective, derive),
        "looks": _looks(state),
        "winner": None if winner is None else {**winner, "of": verdict.winner},
    }


def _measured(trial: TrialState | None, objective: Objective, derive: Derive) -> dict[str, Any] | None:
    if trial is None:
        return None
    return {
        "number": trial.trial.number,
        **_configured(trial, derive),
        "values": _values(trial, objective),
        "mean": _mean(trial, objective),
    }


def _decided(state: RunState, of: int, derive: Derive) -> dict[str, Any] | None:
    """A config on the fresh seeds of the deciding step, over all looks; None where there are none."""
    trials = [trial for trial in state.by_phase(Phase.DECIDE) if trial.trial.of == of]
    found = [_measured(trial, state.objective, derive) for trial in trials]
    if not found or found[0] is None:
        return None
    losses = [loss for trial in trials for loss in trial.losses(state.objective)]
    known = [loss for loss in losses if loss is not None]
    mean = state.objective.shown(state.objective.together(known)) if len(known) == len(losses) else None
    values = [state.objective.shown(loss) for loss in losses]
    return {**found[0], "trials": [trial.trial.number for trial in trials], "values": values, "mean": mean}


def _looks(state: RunState) -> list[dict[str, Any]]:
    return [{"look": look.look, "decision": look.decision, "numbers": look.numbers} for look in state.looks]


def _configured(trial: TrialState, derive: Derive) -> dict[str, Any]:
    return {"config": dict(trial.trial.config), "derived": derive(trial.trial.config)}


def _values(trial: TrialState, objective: Objective) -> list[float | None]:
    return [objective.shown(loss) for loss in trial.losses(objective)]


def _mean(trial: TrialState, objective: Objective) -> float | None:
    return objective.shown(trial.loss(objective))


def _spend(ledger: Ledger) -> dict[str, Any]:
    phases = {
        str(phase): {
            "evaluations": account.evaluations,
            "device_s": account.device_s,
            "price": account.price,
            "train_flops": account.train_flops,
        }
        for phase, account in ledger.phases.items()
    }
    return {
        "evaluations": ledger.total.evaluations,
        "device_s": ledger.total.device_s,
        "train_flops": ledger.total.train_flops,
        "attempts_price": ledger.total.price,
        "idle_price": ledger.idle_price(),
        "total_price": ledger.price(),
        "session_s": ledger.wall_s(),
        "by_phase": phases,
    }


def _failures(state: RunState) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for end in state.ended():
        if end.interrupted or end.outcome in NOT_FAILURES:
            continue
        first = {"outcome": end.outcome, "count": 0, "example_cause": end.cause, "attempt": end.attempt}
        rows.setdefault(end.outcome, first)["count"] += 1
    return sorted(rows.values(), key=lambda row: (-row["count"], row["outcome"]))


def _warnings(state: RunState) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for end in state.ended():
        for flag in _flags(end.info):
            rows.setdefault(flag, {"flag": flag, "count": 0, "attempt": end.attempt})["count"] += 1
    return list(rows.values())


def _flags(info: Mapping[str, Any]) -> list[str]:
    """What an attempt warned about; a workload that reports something else than a list has said nothing."""
    flags = info.get("flags")
    return [str(flag) for flag in flags] if isinstance(flags, list) else []


def _calibration(state: RunState) -> dict[str, Any] | None:
    trial = state.trials.get(0)
    if trial is None:
        return None
    values = _values(trial, state.objective)
    return {
        "seconds": [None if end is None else end.ended_at - end.started_at for end in trial.finals()],
        "values": values,
        "noise_sd": noise_sd([value for value in values if value is not None]),
    }


def _trial(state: TrialState, objective: Objective, derive: Derive) -> dict[str, Any]:
    trial = state.trial
    return {
        "number": trial.number,
        "phase": str(trial.phase),
        "of": trial.of,
        **_configured(state, derive),
        "values": _values(state, objective),
        "value": _mean(state, objective),
        "outcome": trial_outcome(state),
        "seconds": sum(attempt.device_s for attempt in state.attempts),
        "train_flops": _total(attempt.train_flops for attempt in state.attempts),
        "attempts": len(state.attempts),
        "contended": sum(is_contended(attempt.ended.contention) for attempt in state.attempts if attempt.ended),
    }


def _total(amounts: Iterable[float | None]) -> float | None:
    """The sum of what is known; None when nothing is."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None


def trial_outcome(state: TrialState) -> str:
    """``ok``, the failed seed's outcome, ``running`` or ``waiting``."""
    if not state.finished:
        return "running" if any(attempt.ended is None for attempt in state.attempts) else "waiting"
    failure = state.failure()
    return str(failure.outcome) if failure else str(Outcome.OK)
