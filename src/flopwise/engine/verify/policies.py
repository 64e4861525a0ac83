"""Does every decision of a policy follow from what was known when it was made?

The history is put together again by verify's own fold, from the records before the decision, and the policy asked
once more. Searchers are shared with the engine in the same way: what is verified is what they were given.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from flopwise.engine.verify.comparison import pooled_sd
from flopwise.engine.verify.difference import Difference, compare
from flopwise.engine.verify.records import Record
from flopwise.engine.verify.run import Run, fold
from flopwise.engine.work import Work
from flopwise.events import Amended, PauseAccepted, PolicyRaised, SessionOpened
from flopwise.policies.evaluations import Evaluations, Finished
from flopwise.policies.pace import Pace, Timing
from flopwise.policies.policy import History, ProxyPairs
from flopwise.registry import load, names
from flopwise.trial import Fidelity, Outcome, Phase

LIMITS = "limits"
"""Decides in place of a policy where a limit allows nothing more."""

CLOSE = 1e-9
"""Relative tolerance of evidence."""


def check_policies(run: Run) -> Iterator[Difference]:
    """Every decision, every answer to a pause, and every change of the options that were asked with."""
    for index, record in enumerate(run.records):
        if isinstance(record.event, PolicyRaised):
            yield from _raised(run, record, record.event, index)
    yield from _answered(run)


def _raised(run: Run, record: Record, event: PolicyRaised, index: int) -> Iterator[Difference]:
    study = run.study_at(record.number)
    if event.policy == LIMITS:
        if not any(limit is not None for limit in study["limits"].values()):
            yield Difference(record.where, "policy", "none: the study has no limits", LIMITS)
        return
    options = study["policies"].get(event.policy)
    if options is None or event.policy not in names("policies"):
        yield Difference(record.where, "policy", "one that the study has switched on", event.policy)
        return
    before, _ = fold(run.records[:index])
    kind = load("policies", event.policy)
    decision = kind(kind.Options(**options)).judge(history(before, event.policy, over=event.action == "stop"))
    if decision is None:
        yield Difference(record.where, "policy", "no reason to do anything", event.action)
        return
    yield from compare(record.where, str(decision.action), event.action, "action")
    yield from compare(record.where, decision.cause, event.cause, "cause")
    yield from compare(record.where, dict(decision.evidence), event.evidence, "evidence", CLOSE)


def _answered(run: Run) -> Iterator[Difference]:
    """After a pause no session begins before it was accepted, or its policy amended."""
    paused: str | None = None
    for record in run.records:
        match record.event:
            case PolicyRaised() as event if event.action == "pause":
                paused = event.policy
            case PauseAccepted() as event:
                if event.policy != paused:
                    yield Difference(record.where, "policy", paused or "none: nothing is paused", event.policy)
                paused = None
            case Amended() as event if any(change["key"] == f"policies.{paused}" for change in event.changes):
                paused = None
            case SessionOpened() if paused is not None:
                yield Difference(record.where, "session", f"the pause of {paused} answered before", "it is not")
                paused = None


def history(run: Run, policy: str, *, over: bool) -> History:
    """What a policy knew when these records were all there was.

    Args:
        run: Fold of a journal's first records.
        policy: Its name: acceptances and notes are its own.
        over: Whether it was asked at the end of the search.
    """
    study = run.study
    tier = study["tiers"][run.tier[1].tier] if run.tier else {}
    population = tier.get("population")
    return History(
        finished=Evaluations(study["evaluation"]["seeds"], _finished(run, population)),
        population=population,
        noise_sd=pooled_sd(run.trials[0].reached()),
        accepted_after=_count_at(run, PauseAccepted, policy),
        seeds=study["evaluation"]["seeds"],
        pace=_pace(run),
        noted_after=_count_at(run, PolicyRaised, policy),
        proxy=_proxy(run),
        over=over and not (run.tier and len(study["tiers"]) > 1 and run.tier[1].tier == next(iter(study["tiers"]))),
    )


def _finished(run: Run, population: int | None) -> Iterator[Finished]:
    """The ends that count, in journal order."""
    work = Work(run.study, run.trials[0].event.config)
    for trial, attempt, end, _ in run.ended():
        if trial.end(attempt.id.seed_index) is not end:
            continue
        event, phase = trial.event, Phase(trial.event.phase)
        losses = trial.losses()[attempt.id.seed_index]
        intent = attempt.intent
        place = _place(run, event.number) if phase is Phase.SEARCH else 0
        yield Finished(
            number=event.number,
            phase=phase,
            generation=1 + place // population if population and phase is Phase.SEARCH else None,
            loss=losses,
            outcome=Outcome(end.outcome),
            timing=Timing(intent.session, intent.slot, end.started_at, end.ended_at, end.contention),
            config=event.config,
            work=work(event.config, Fidelity.from_json(event.stop)),
            seed_index=attempt.id.seed_index,
        )


def _proxy(run: Run) -> ProxyPairs | None:
    """The pairs that a proxy was judged by, where the search goes by one."""
    proxy = run.study.get("proxy")
    if proxy is None:
        return None
    full = {json.dumps(trial.event.config, sort_keys=True): trial.loss() for trial in run.by_phase("signal")}
    pairs = [(t.loss(), full.get(json.dumps(t.event.config, sort_keys=True))) for t in run.by_phase("proxy")]
    pairs += [(run.trials[trial.event.of or 0].loss(), trial.loss()) for trial in run.by_phase("recheck")]
    known = [(cheap, loss) for cheap, loss in pairs if cheap is not None and loss is not None]
    return ProxyPairs(known, proxy["pause_below"])


def _place(run: Run, number: int) -> int:
    """How many trials of the search come before one."""
    return sum(other < number and trial.event.phase == Phase.SEARCH for other, trial in run.trials.items())


def _count_at(run: Run, kind: type[PauseAccepted | PolicyRaised], policy: str) -> int:
    """Evaluations that had ended for good at the last acceptance, or note, of a policy."""
    found = 0
    for index, record in enumerate(run.records):
        event = record.event
        if isinstance(event, kind) and event.policy == policy and getattr(event, "action", "note") == "note":
            before, _ = fold(run.records[:index])
            found = sum(trial.end(attempt.id.seed_index) is end for trial, attempt, end, _ in before.ended())
    return found


def _pace(run: Run) -> Pace | None:
    if run.tier is None or not run.sessions:
        return None
    plan, last = run.tier[1].plan, run.sessions[-1]
    excluded = len(last.excluded)
    return Pace(
        plan["seconds_per_evaluation"],
        max(1, plan["slots"] - excluded),
        len(last.opened.slots) - excluded,
        len(last.quarantined) - excluded,
    )
