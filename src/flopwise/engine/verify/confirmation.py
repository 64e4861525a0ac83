"""Did the run go from phase to phase as its values demanded, and does its verdict follow from them?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flopwise.engine.verify.comparison import evidence
from flopwise.engine.verify.difference import Difference, compare
from flopwise.engine.verify.looks import check_looks
from flopwise.engine.verify.proposals import CHOOSE_SEEDS
from flopwise.engine.verify.run import PROBING, Run, Trial
from flopwise.engine.verify.triggers import broken, check_triggers
from flopwise.events import PhaseStarted, TrialProposed, VerdictReached

ORDER = ("calibrate", "search", "choose", "decide", "done")


def check_phases(run: Run) -> Iterator[Difference]:
    """Phases in order; trials in the phase they are for; candidates and chosen one by their values."""
    phase, now = -1, ""
    for record in run.records:
        event = record.event
        if isinstance(event, PhaseStarted):
            if event.phase in PROBING and phase == 0:
                now = event.phase
                continue
            if event.phase not in ORDER[phase + 1 :]:
                yield Difference(record.where, "phase", f"one of {', '.join(ORDER[phase + 1 :])}", event.phase)
                continue
            phase, now = ORDER.index(event.phase), event.phase
        elif isinstance(event, TrialProposed) and event.phase == "recheck" and now == "search":
            continue
        elif isinstance(event, TrialProposed) and event.phase != now:
            yield Difference(record.where, "phase", now or "none yet", event.phase)
    yield from _chosen(run)


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Those with a loss, best first; ties by number."""
    losses = [(trial.loss(), trial.event.number, trial) for trial in trials]
    known = [(loss, number, trial) for loss, number, trial in losses if loss is not None]
    return [trial for _, _, trial in sorted(known, key=lambda entry: entry[:2])]


def _chosen(run: Run) -> Iterator[Difference]:
    best = [trial.event.number for trial in ranked(run.by_phase("search"))]
    if run.study.get("proxy"):
        best = [trial.event.of for trial in ranked(run.by_phase("recheck")) if trial.event.of is not None]
        yield from _rechecked(run)
    if "choose" in run.phases:
        record, started = run.phases["choose"]
        top = run.study["confirm"]["top"]
        yield from compare(record.where, {"candidates": best[:top], "seeds": CHOOSE_SEEDS}, started.detail, "detail")
        yield from _confirms(run, "choose", best[:top])
        best = [trial.event.of for trial in ranked(run.by_phase("choose")) if trial.event.of is not None]
    if "decide" in run.phases and run.tier is not None:
        record, started = run.phases["decide"]
        plan = run.tier[1].plan
        expected = {"chosen": best[0] if best else None, "seeds": plan["confirm_seeds"], "looks": plan["confirm_looks"]}
        yield from compare(record.where, expected, started.detail, "detail")
        over = bool(run.looks) and run.looks[-1][1].decision != "continue"
        yield from _confirms(run, "decide", [0, *best[:1]] * (len(run.looks) + (not over)))


def _rechecked(run: Run) -> Iterator[Difference]:
    """What was evaluated again at the full stop is the best of its batch by the cheap one."""
    trials, section = run.by_phase("search"), run.study["proxy"]
    size = run.study["tiers"][run.tier[1].tier].get("population") if run.tier else None
    batches = [trials[start : start + (size or 8)] for start in range(0, len(trials), size or 8)]
    best = {trial.event.number for batch in batches for trial in ranked(batch)[: section["recheck"]]}
    for trial in run.by_phase("recheck"):
        if trial.event.of not in best:
            where, wanted = trial.proposed.where, f"one of the best {section['recheck']} of its batch"
            yield Difference(where, "of", wanted, str(trial.event.of))


def _confirms(run: Run, phase: str, of: Sequence[int]) -> Iterator[Difference]:
    """The trials of a confirming phase confirm these trials, in this order; none lacks once it is over."""
    trials = run.by_phase(phase)
    for number, trial in zip(of, trials, strict=False):
        yield from compare(trial.proposed.where, number, trial.event.of, "of")
    over = run.verdict is not None or any(later in run.phases for later in ORDER[ORDER.index(phase) + 1 :])
    if len(trials) > len(of) or (over and len(trials) < len(of)):
        where = trials[-1].proposed.where if trials else run.phases[phase][0].where
        yield Difference(where, "trials", f"{len(of)} of phase {phase}", str(len(trials)))


def check_verdict(run: Run) -> Iterator[Difference]:
    """Every look at the deciding step; the verdict's word and every number in it."""
    yield from check_looks(run)
    if run.verdict is None:
        return
    where, event = run.verdict[0].where, run.verdict[1]
    last = run.looks[-1][1] if run.looks else None
    if last is None or last.decision == "continue":
        yield from _undecided(run, where, event)
        return
    chosen = run.phases["decide"][1].detail["chosen"]
    word = "INCONCLUSIVE" if last.decision == "GO" and broken(event) else last.decision
    yield from compare(where, word, event.verdict, "verdict")
    yield from compare(where, chosen, event.winner, "winner")
    yield from compare(where, last.numbers, event.numbers, "numbers")
    if event.winner in run.trials:
        yield from check_triggers(run, where, event, last.numbers)


def _undecided(run: Run, where: str, event: VerdictReached) -> Iterator[Difference]:
    """A confirmation that could not be completed has no GO, and no numbers but those of its last look."""
    if event.verdict not in ("NO-GO", "INCONCLUSIVE"):
        yield Difference(where, "verdict", "NO-GO or INCONCLUSIVE: nothing was decided", event.verdict)
    share = run.study["confirm"]["min_improvement"]
    seen = run.looks[-1][1].numbers if run.looks else evidence([], [], share, 1.0, (), None)
    yield from compare(where, {key: seen.get(key) for key in event.numbers}, event.numbers, "numbers")
