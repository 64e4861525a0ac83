"""Can this budget tell candidates apart, and if not, which one can? From what was measured before the search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flopwise.budget.probing import FEW_STEPS, STEP, asked
from flopwise.stats.signal import FEWEST_CONFIGS, GOOD, reliability, seeds_for

MOST_ADVISED = 10
"""More seeds than this are not recommended: a larger stop is."""

LEAST_SHARE = 0.2
"""Below this share a number of seeds computed from it is not to be trusted."""

UNFIT = {
    "few_steps": "an evaluation is fewer than {few} optimizer steps",
    "drowned": "scores of different configs differ hardly more than seeds of the same config",
}
"""Why a search should not be spent on a study."""


@dataclass(frozen=True)
class Signal:
    """What spread configs on shared seeds have shown at one stop; see :mod:`flopwise.stats.signal`.

    Args:
        stop: As a mapping.
        configs: That ended ok on every seed; only these are counted.
        failed: That did not.
        seeds: Shared by all.
        icc: Share of the variance of a single score that is real; None where it is unknown.
        lower: One-sided 95% lower bound of it.
        upper: One-sided 95% upper bound of it.
        icc_trial: The same share for the mean over the seeds of a trial.
        config_sd: Standard deviation between configs; None with too few of them.
        noise_sd: Of a score around what its config and its seed make of it.
        seed_sd: Of what seeds do to all configs alike.
        usable: Whether a search ranks configs rather than luck.
        seconds: Mean device-seconds of an evaluation.
    """

    stop: dict[str, float]
    configs: int
    failed: int
    seeds: int
    icc: float | None
    lower: float | None
    upper: float | None
    icc_trial: float | None
    config_sd: float | None
    noise_sd: float | None
    seed_sd: float | None
    usable: bool
    seconds: float


@dataclass(frozen=True)
class Advice:
    """A budget that tells candidates apart; one of stop and seeds.

    Args:
        stop: For ``evaluation.stop``.
        seeds: For ``evaluation.seeds``.
        times: How many times as much one trial then costs.
    """

    stop: dict[str, float] | None
    seeds: int | None
    times: float


def measure(
    stop: Mapping[str, float],
    rows: Sequence[Sequence[float | None]],
    trial_seeds: int,
    seconds: float,
) -> Signal:
    """Analyse what spread configs gave.

    Args:
        stop: They were evaluated at.
        rows: One a config: losses on the shared seeds, None where one failed.
        trial_seeds: The study's ``evaluation.seeds``.
        seconds: Mean device-seconds of an evaluation.
    """
    whole = [[loss for loss in row if loss is not None] for row in rows if None not in row]
    found = reliability(whole)
    return Signal(
        stop=dict(stop),
        configs=len(whole),
        failed=len(rows) - len(whole),
        seeds=max(map(len, rows), default=0),
        icc=found.icc if found else None,
        lower=found.lower if found else None,
        upper=found.upper if found else None,
        icc_trial=found.of_mean(trial_seeds) if found else None,
        config_sd=found.config_sd if found else None,
        noise_sd=found.noise_sd if found else None,
        seed_sd=found.seed_sd if found else None,
        usable=found is not None and found.usable(trial_seeds),
        seconds=seconds,
    )


def unfit(study: Mapping[str, Any], steps: int | None, signal: Signal | None) -> tuple[str, ...]:
    """Keys of :data:`UNFIT`; none where candidates can be told apart, where nobody knows, or nobody wants to.

    Few steps are too few even where they tell configs apart: what is best after one step says little about the rest.
    Where most configs fail nothing is known about scores; that is for the policies that watch failures.

    Args:
        study: Canonical.
        steps: Optimizer steps of an evaluation; None when unknown.
        signal: At the study's own stop; None when it was not measured.
    """
    if asked(study, "signal") is False:
        return ()
    few = ("few_steps",) if steps is not None and steps < FEW_STEPS else ()
    drowned = signal is not None and signal.configs >= FEWEST_CONFIGS and not signal.usable
    return (*few, "drowned") if drowned else few


def advise(study: Mapping[str, Any], few: bool, signal: Signal | None, rungs: Sequence[Signal]) -> Advice | None:
    """The cheapest budget at which candidates can be told apart, as far as it was found; None when it was not.

    Args:
        study: Canonical.
        few: Whether an evaluation has too few steps, so that more seeds do not help.
        signal: At the study's own stop.
        rungs: At the larger stops that were measured, smallest first.
    """
    seeds = None if few else enough_seeds(study, signal)
    rung = next((rung for rung in rungs if rung.usable), None)
    found = []
    if seeds is not None:
        found.append(Advice(None, seeds, seeds / study["evaluation"]["seeds"]))
    if rung is not None:
        found.append(Advice(rung.stop, None, _amount(rung.stop) / _amount(study["evaluation"]["stop"])))
    return min(found, key=lambda advice: advice.times, default=None)


def enough_seeds(study: Mapping[str, Any], signal: Signal | None) -> int | None:
    """Seeds whose mean is reliable enough, by Spearman and Brown; None where too many or unknown."""
    if signal is None or signal.icc is None or signal.icc < LEAST_SHARE:
        return None
    seeds = max(seeds_for(signal.icc, GOOD) or 0, study["evaluation"]["seeds"] + 1)
    return seeds if seeds <= MOST_ADVISED else None


def seeds_are_cheaper(study: Mapping[str, Any], few: bool, signal: Signal | None) -> bool:
    """Whether more seeds cost no more than the first rung of a ladder would."""
    seeds = None if few else enough_seeds(study, signal)
    return seeds is not None and seeds <= STEP * study["evaluation"]["seeds"]


def _amount(stop: Mapping[str, float]) -> float:
    return next(iter(stop.values()))
