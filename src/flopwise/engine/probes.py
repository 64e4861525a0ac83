"""What is measured between the baseline and the search: which trials are wanted, which lack, and what they say.

    baseline ─► signal ─► knobs ─► proxy ─► ladder

What is wanted follows from the study and from what has been measured; a trial with the same config, stop and seeds is
never evaluated twice, whichever session or version of the study it came from. So a killed calibration goes on where it
was, and one that is asked for more measures only that.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flopwise.budget import probing
from flopwise.budget.fitness import Signal, measure, seeds_are_cheaper, unfit
from flopwise.budget.knobs import Knob, Probe, Tried, judge, probes
from flopwise.budget.proxy import Proxy, compare_stops
from flopwise.engine.flops import measured
from flopwise.engine.spread import name_of, spread
from flopwise.events import Event, PhaseStarted, TrialProposed
from flopwise.journal.replay import RunState, TrialState
from flopwise.policies.policy import Action
from flopwise.registry import load
from flopwise.seeds import derive
from flopwise.stats.noise import noise_sd
from flopwise.study import baseline_config, full_config, rules_of, space_of
from flopwise.trial import PROBING, Fidelity, Outcome, Phase, Proposal

MANY = 10**9
"""All configs that there are."""

LIMITS = "limits"
"""Who says that a limit allows no more probing."""


@dataclass(frozen=True)
class Wanted:
    """A trial that is to be evaluated.

    Args:
        phase: What for.
        config: Dotted key to value.
        stop: How much training.
        seeds: One evaluation each.
        point: Of a spread config.
    """

    phase: Phase
    config: Mapping[str, Any]
    stop: Mapping[str, float]
    seeds: tuple[int, ...]
    point: tuple[float, ...] | None = None

    @property
    def name(self) -> str:
        """Equal for what need not be evaluated twice."""
        return name_of(self.config, self.stop, self.seeds)


class Probes:
    """The probing of one study.

    Args:
        study: Canonical.
        slots: Evaluations at once.
    """

    def __init__(self, study: Mapping[str, Any], slots: int) -> None:
        self._study = study
        self._slots = slots
        self._space = space_of(study)
        self._rules = rules_of(study)
        self._baseline = baseline_config(study)
        self._spec = load("workloads", study["workload"])
        self._stop: dict[str, float] = study["evaluation"]["stop"]
        self._proxy: Mapping[str, Any] | None = study.get("proxy")
        self._seeds = tuple(
            derive(study["search"]["seed"], "evaluation", index) for index in range(probing.shared_seeds(study))
        )
        self._spread: list[Proposal] | None = None
        self._knobs: list[Probe] | None = None

    def next(self, state: RunState) -> list[Event]:
        """Trials that are to be evaluated now, with the phase they begin; none while some run or when all is measured.

        Args:
            state: Its baseline has been evaluated.
        """
        if any(state.unfinished_count(phase) for phase in PROBING) or ended_early(state):
            return []
        known = _by_name(state)
        missing = [wanted for wanted in self._wanted(state) if wanted.name not in known]
        if not missing:
            return []
        phase = missing[0].phase
        now = [wanted for wanted in missing if wanted.phase is phase]
        start: list[Event] = [] if _begun(state, phase) else [PhaseStarted(phase, self._detail(phase, now))]
        return start + [_proposed(state.next_number + offset, wanted) for offset, wanted in enumerate(now)]

    def done(self, state: RunState) -> bool:
        """Whether everything that is wanted has been measured, or it has been ended."""
        if ended_early(state):
            return True
        return not any(state.unfinished_count(phase) for phase in PROBING) and not self.next(state)

    # What was found

    def signal(self, state: RunState) -> Signal | None:
        """At the study's own stop; None where it was not measured."""
        return self._measured(state, self._stop)

    def rungs(self, state: RunState) -> list[Signal]:
        """At the larger stops that were measured for this study, smallest first."""
        found = []
        for stop in self._stops():
            rung = self._measured(state, stop.to_json())
            if rung is None:
                break
            found.append(rung)
        return found

    def proxy(self, state: RunState) -> Proxy | None:
        """How far the cheap stop can be trusted; None without one, or where it was not measured."""
        if self._proxy is None:
            return None
        known, pairs, seconds = _by_name(state), [], []
        for wanted in self._spread_at(Phase.SIGNAL, self._stop, MANY):
            full = known.get(wanted.name)
            cheap = known.get(name_of(wanted.config, self._proxy["stop"], self._seeds))
            if cheap is not None and full is not None and cheap.finished and full.finished:
                pairs.append((cheap.losses(state.objective), full.losses(state.objective)))
                seconds += [end.device_s for end in cheap.finals() if end is not None]
        if not pairs:
            return None
        return compare_stops(self._study, pairs, statistics.fmean(seconds), baseline_s(state))

    def knobs(self, state: RunState) -> list[Knob]:
        """What every knob does; empty where the knobs were not tried."""
        known, noise = _by_name(state), noise_sd(_known(state.trials[0].losses(state.objective)))

        def tried(config: Mapping[str, Any]) -> Tried | None:
            if dict(config) == self._baseline:
                return _tried(state.trials[0], state)
            trial = known.get(name_of(config, self._stop, self._seeds[:1]))
            return _tried(trial, state) if trial is not None and trial.finished else None

        judged = [judge(probe, tried, self._baseline, noise) for probe in self._probes()]
        return judged if any(loss is not None for knob in judged for loss in knob.losses) else []

    def evaluations(self, what: Phase, most: int) -> int:
        """What measuring the signal, or the knobs, would take where nothing of it is measured yet."""
        if what is Phase.KNOBS:
            return len({name_of(config, {}, ()) for probe in self._probes() for config in probe.configs})
        return max(probing.signal_configs(self._study, most), probing.FEWEST) * len(self._seeds)

    def room(self, state: RunState) -> int:
        """Evaluations that probing may take where it is `auto`."""
        return probing.room(self._study, baseline_s(state), self._slots, measured(state.trials[0]))

    def steps(self, stop: Fidelity) -> int | None:
        """Optimizer steps that a stop buys the baseline; None when unknown."""
        steps: int | None = self._spec.steps(full_config(self._study, self._baseline), stop)
        return steps

    # What is wanted

    def _wanted(self, state: RunState) -> Iterator[Wanted]:
        """Everything, in order; later parts depend on what the earlier ones have shown."""
        most = self.room(state)
        configs = probing.signal_configs(self._study, most)
        yield from self._spread_at(Phase.SIGNAL, self._stop, configs)
        if configs and not self._complete(state, self._stop, configs):
            return
        first = self._measured(state, self._stop, configs) if configs else None
        if first is not None and not first.usable:
            more = probing.more_configs(self._study, configs)
            yield from self._spread_at(Phase.SIGNAL, self._stop, more)
            if not self._complete(state, self._stop, more):
                return
        if probing.wants_knobs(self._study, most, self.evaluations(Phase.KNOBS, most)):
            wanted = [Wanted(Phase.KNOBS, c, self._stop, self._seeds[:1]) for p in self._probes() for c in p.configs]
            yield from {each.name: each for each in wanted}.values()
        if self._proxy is not None:
            yield from self._spread_at(Phase.PROXY, self._proxy["stop"], configs)
            yield Wanted(Phase.PROXY, self._baseline, self._proxy["stop"], self._seeds)
        yield from self._ladder(state)

    def _ladder(self, state: RunState) -> Iterator[Wanted]:
        """Spread configs at larger and larger stops, until one tells them apart or the cap is reached."""
        signal, steps = self.signal(state), self.steps(Fidelity.from_json(self._stop))
        reasons = unfit(self._study, steps, signal)
        if not reasons or seeds_are_cheaper(self._study, "few_steps" in reasons, signal):
            return
        seconds, timeout_s = baseline_s(state), self._study["evaluation"]["timeout"]
        cap_s, spent_s = probing.ladder_cap_s(self._study, seconds), 0.0
        measured = [(_amount(self._stop), seconds)] if self._stop else []
        for stop in self._stops():
            at = stop.to_json()
            for configs in (probing.FEWEST, probing.MOST):
                each_s = probing.expected_s(measured, stop.amount)
                size = min(configs, len(self._proposals())) * len(self._seeds)
                if not self._complete(state, at, configs):
                    if probing.within(cap_s, spent_s, size, each_s, timeout_s):
                        yield from self._spread_at(Phase.LADDER, at, configs)
                    return
                rung = self._measured(state, at, configs)
                if rung is None or rung.usable:
                    break
            if rung is None or rung.usable:
                return
            spent_s += rung.seconds * (rung.configs + rung.failed) * rung.seeds
            measured.append((stop.amount, rung.seconds))

    def _stops(self) -> Iterator[Fidelity]:
        return probing.ladder_stops(Fidelity.from_json(self._stop), self.steps)

    def _spread_at(self, phase: Phase, stop: Mapping[str, float], configs: int) -> Iterator[Wanted]:
        for proposal in self._proposals()[:configs]:
            yield Wanted(phase, proposal.config, stop, self._seeds, proposal.point)

    def _proposals(self) -> list[Proposal]:
        """Different configs, spread over the space."""
        if self._spread is None:
            self._spread = spread(self._study, max(probing.MOST, int(probing.asked(self._study, "signal") or 0)))
        return self._spread

    def _probes(self) -> list[Probe]:
        if self._knobs is None:
            self._knobs = probes(self._space, self._baseline, self._rules.allows)
        return self._knobs

    def _detail(self, phase: Phase, now: Sequence[Wanted]) -> dict[str, Any]:
        evaluations = sum(len(wanted.seeds) for wanted in now)
        return {"trials": len(now), "evaluations": evaluations, "stop": dict(now[0].stop)} | (
            {"knobs": len(self._probes())} if phase is Phase.KNOBS else {}
        )

    # What there is

    def _trials(self, state: RunState, stop: Mapping[str, float], configs: int | None = None) -> list[TrialState]:
        known = _by_name(state)
        found = [known.get(wanted.name) for wanted in self._spread_at(Phase.SIGNAL, stop, configs or MANY)]
        return [trial for trial in found if trial is not None and trial.finished]

    def _complete(self, state: RunState, stop: Mapping[str, float], configs: int) -> bool:
        return len(self._trials(state, stop, configs)) >= min(configs, len(self._proposals()))

    def _measured(self, state: RunState, stop: Mapping[str, float], configs: int | None = None) -> Signal | None:
        trials = self._trials(state, stop, configs)
        if not trials:
            return None
        ends = [end for trial in trials for end in trial.finals() if end is not None]
        seconds = statistics.fmean(end.device_s for end in ends)
        rows = [trial.losses(state.objective) for trial in trials]
        return measure(stop, rows, self._study["evaluation"]["seeds"], seconds)


def ended_early(state: RunState) -> bool:
    """Whether a limit, or a policy, has ended the probing."""
    return any(raised.action == Action.END_PROBING for raised in state.raised)


def baseline_s(state: RunState) -> float:
    """Mean device-seconds of the baseline's evaluations."""
    return statistics.fmean(end.device_s for end in state.trials[0].finals() if end is not None)


def _begun(state: RunState, phase: Phase) -> bool:
    """Whether a phase has announced trials that it has not proposed yet: a kill came between."""
    last = state.phase
    return last is not None and last.phase == phase and state.since_phase < last.detail.get("trials", 0)


def _by_name(state: RunState) -> dict[str, TrialState]:
    """Trials that probing has proposed, by what they are."""
    return {
        name_of(trial.trial.config, trial.trial.fidelity.to_json(), trial.trial.seeds): trial
        for trial in state.by_phase(*PROBING)
    }


def _proposed(number: int, wanted: Wanted) -> TrialProposed:
    return TrialProposed(
        number=number,
        phase=wanted.phase,
        config=dict(wanted.config),
        stop=dict(wanted.stop),
        seeds=list(wanted.seeds),
        point=None if wanted.point is None else list(wanted.point),
    )


def _tried(trial: TrialState, state: RunState) -> Tried | None:
    """What the trial's first seed gave."""
    end = trial.final(0)
    if end is None:
        return None
    ok = end.outcome == Outcome.OK
    return Tried(state.objective.loss(end.metrics) if ok else None, str(end.outcome))


def _known(losses: Sequence[float | None]) -> list[float]:
    return [loss for loss in losses if loss is not None]


def _amount(stop: Mapping[str, float]) -> float:
    return next(iter(stop.values()))
