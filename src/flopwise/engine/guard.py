"""Limits and policies, asked with values taken from the state. Both are pure; this only translates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flopwise.budget.admission import NOTHING, Admission, Commitment, Committed, admit
from flopwise.budget.ledger import Ledger
from flopwise.budget.limits import Limits
from flopwise.budget.plan import Plan
from flopwise.clock import Clock
from flopwise.engine.flops import Appetite
from flopwise.engine.recheck import proxy_pairs
from flopwise.engine.work import Work
from flopwise.events import AttemptEnded, PolicyRaised, TierChosen
from flopwise.journal.replay import RunState
from flopwise.journal.states import EXCLUDED
from flopwise.objective import uncensored
from flopwise.policies.evaluations import Evaluations, Finished
from flopwise.policies.pace import Pace, Timing
from flopwise.policies.policy import Action, History, Policy, ProxyPairs
from flopwise.stats.noise import noise_sd
from flopwise.trial import AttemptId, Outcome, Phase


class Guard:
    """Decides whether an attempt may start, and whether the study goes on.

    Args:
        study: Canonical study.
        policies: By name, in the order they are asked.
        clock: For the wall time of the session that runs.
        slots: How many evaluations run at a time.
    """

    def __init__(self, study: Mapping[str, Any], policies: Mapping[str, Policy], clock: Clock, slots: int = 1) -> None:
        self._study = study
        self._limits = Limits.from_study(study)
        self._timeout_s = study["evaluation"]["timeout"]
        self._policies = policies
        self._clock = clock
        self._appetite = Appetite(study)
        self._evaluations = Evaluations(study["evaluation"]["seeds"], slots=slots)
        self._plan: tuple[TierChosen, Plan] | None = None
        self._noise: tuple[int, float | None] = (0, None)
        self._pairs: tuple[int, ProxyPairs] | None = None
        self._work: Work | None = None

    def admit(
        self,
        state: RunState,
        ledger: Ledger,
        phase: Phase,
        evaluation: tuple[int, int],
        *,
        free: int,
        committed: Committed,
    ) -> Admission:
        """May one more evaluation start, and with what time-out?

        Args:
            state: The run so far.
            ledger: What it has spent.
            phase: What the evaluation is for.
            evaluation: Trial number and seed index.
            free: Slots that could start something now.
            committed: From :meth:`committed`, and what was admitted since.
        """
        plan = self._planned(state)
        return admit(
            self._limits,
            ledger.spent(self._clock.monotonic()),
            committed,
            estimate_s=plan.seconds_per_evaluation if plan else None,
            timeout_s=self._timeout_s,
            reserve=plan.reserve(state.tier.tier, phase) if plan and state.tier else NOTHING,
            retry=ledger.evaluated(*evaluation),
            starting=free,
            flops=self.flops(state, evaluation[0]),
        )

    def committed(self, state: RunState, ledger: Ledger) -> Committed:
        """What the attempts that run now may still use; nothing where no limit asks for it."""
        limits = self._limits
        if limits.evaluations is None and limits.device_hours is None and limits.flops is None:
            return Committed()
        return Committed.of(
            Commitment(
                attempt.intent.limit_s,
                retry=ledger.evaluated(attempt.id.trial, attempt.id.seed_index),
                flops=self.flops(state, attempt.id.trial),
            )
            for attempt in state.running()
        )

    def flops(self, state: RunState, trial: int) -> float:
        """What an evaluation of a trial will train; nothing where no limit asks for it."""
        return 0.0 if self._limits.flops is None else self._appetite.of(state.trials[trial], state)

    def judge(self, state: RunState, *, over: bool = False) -> list[PolicyRaised]:
        """What policies have to say: notes, and last the first that wants more than that.

        Args:
            state: The run so far.
            over: The search has ended.
        """
        settled = {raised.policy for raised in state.raised if raised.action == Action.END_SEARCH}
        found: list[PolicyRaised] = []
        for name, policy in self._policies.items():
            decision = None if name in settled else policy.judge(self._history(state, name, over))
            if decision is not None:
                found.append(PolicyRaised(name, decision.action, decision.cause, dict(decision.evidence)))
                if decision.action is not Action.NOTE:
                    break
        return found

    def _history(self, state: RunState, policy: str, over: bool) -> History:
        population = self._population(state)
        for end in state.final_ends[len(self._evaluations) :]:
            self._evaluations.append(self._finished(end, state, population))
        return History(
            finished=self._evaluations,
            population=population,
            noise_sd=self._noise_sd(state),
            accepted_after=state.accepted_at.get(policy, 0),
            seeds=self._study["evaluation"]["seeds"],
            pace=_pace(state),
            proxy=self._proxy(state),
            noted_after=state.noted_at.get(policy, 0),
            over=over and not self._is_smoke_test(state),
        )

    def _is_smoke_test(self, state: RunState) -> bool:
        """Whether the tier is the smallest of several: too little to call an objective flat."""
        tiers = list(self._study["tiers"])
        return state.tier is not None and len(tiers) > 1 and state.tier.tier == tiers[0]

    def _finished(self, end: AttemptEnded, state: RunState, population: int | None) -> Finished:
        attempt = AttemptId.parse(end.attempt)
        trial = state.trials[attempt.trial].trial
        if self._work is None:
            self._work = Work(self._study, state.trials[0].trial.config)
        return replace(
            _finished(end, state, population),
            config=trial.config,
            work=self._work(trial.config, trial.fidelity),
            seed_index=attempt.seed_index,
        )

    def _proxy(self, state: RunState) -> ProxyPairs | None:
        """Every config with a loss at both stops; computed again only when another one was rechecked."""
        section = self._study.get("proxy")
        if section is None:
            return None
        finished = state.proposed(Phase.RECHECK) - state.unfinished_count(Phase.RECHECK)
        if self._pairs is None or self._pairs[0] != finished:
            self._pairs = (finished, ProxyPairs(proxy_pairs(state), section["pause_below"]))
        return self._pairs[1]

    def _noise_sd(self, state: RunState) -> float | None:
        """Of the baseline's losses; computed again only when there is another one."""
        losses = uncensored(state.trials[0].losses(state.objective), state.objective)
        if len(losses) != self._noise[0]:
            self._noise = (len(losses), noise_sd(losses))
        return self._noise[1]

    def _planned(self, state: RunState) -> Plan | None:
        """The chosen tier's plan, read once."""
        if state.tier is None:
            return None
        if self._plan is None or self._plan[0] is not state.tier:
            self._plan = (state.tier, Plan.from_json(state.tier.plan))
        return self._plan[1]

    def _population(self, state: RunState) -> int | None:
        tier = self._study["tiers"][state.tier.tier] if state.tier else {}
        return tier.get("population")


def _finished(end: AttemptEnded, state: RunState, population: int | None) -> Finished:
    trial = state.trials[AttemptId.parse(end.attempt).trial].trial
    ok = end.outcome == Outcome.OK
    loss = state.objective.loss(end.metrics, end.info) if ok else None
    intent = state.attempt(end.attempt).intent
    timing = Timing(intent.session, intent.slot, end.started_at, end.ended_at, end.contention)
    return Finished(trial.number, trial.phase, trial.generation(population), loss, Outcome(end.outcome), timing)


def _pace(state: RunState) -> Pace | None:
    """What the chosen tier's plan promised, on the slots of the last session."""
    if state.tier is None or not state.sessions:
        return None
    plan, slots = state.tier.plan, len(state.sessions[-1].opened.slots)
    excluded = sum(out.cause == EXCLUDED for out in state.quarantined.values())
    planned = max(1, plan["slots"] - excluded)
    return Pace(plan["seconds_per_evaluation"], planned, slots - excluded, len(state.quarantined) - excluded)
