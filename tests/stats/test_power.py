"""How many seeds: against the noncentral t distribution and by running the verdict's own rule."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import chdtri, nctdtr

from flopwise.objective import Objective
from flopwise.stats.compare import t_quantile
from flopwise.stats.power import enough_seeds, go_probability, seeds_needed
from flopwise.stats.threshold import threshold
from flopwise.stats.verdict import Verdict, decide

LOSS = Objective("val_loss")


def go_rate(improvement: float, noise: float, n: int, share: float = 0.01, studies: int = 2500) -> float:
    """Share of simulated studies with baseline 1.0 that end in GO."""
    generator = np.random.default_rng(n)
    baseline = generator.normal(1.0, noise, (studies, n)).tolist()
    candidate = generator.normal(1.0 - improvement, noise, (studies, n)).tolist()
    verdicts = [decide(b, c, share, LOSS).verdict for b, c in zip(baseline, candidate, strict=True)]
    return sum(verdict is Verdict.GO for verdict in verdicts) / studies


@pytest.mark.parametrize("n", [3, 5, 12, 20])
@pytest.mark.parametrize("improvement", [0.0, 0.5, 1.0, 2.0])
def test_without_a_threshold_it_is_the_noncentral_t_distribution(n: int, improvement: float) -> None:
    shift = improvement / math.sqrt(2.0 / n)
    assert go_probability(improvement, 0.0, 1.0, n) == pytest.approx(
        1.0 - nctdtr(n - 1, shift, t_quantile(n - 1)), abs=1e-4
    )


@pytest.mark.parametrize("noise", [0.007, 0.01, 0.015, 0.02])
def test_the_planned_seeds_give_80_percent_power_at_twice_the_threshold(noise: float) -> None:
    n = seeds_needed(noise, 1.0, 0.01)
    assert 3 < n < 20
    assert 0.77 < go_rate(0.02, noise, n) < 0.93
    assert go_probability(0.02, 0.01, noise, n) >= 0.80
    assert go_probability(0.02, 0.01, noise, n - 1) < 0.80


@pytest.mark.parametrize("noise", [0.005, 0.02, 0.1])
def test_a_candidate_that_is_no_better_rarely_gets_a_go(noise: float) -> None:
    assert go_rate(0.0, noise, seeds_needed(noise, 1.0, 0.01)) < 0.062


def test_the_forecast_is_what_the_rule_does() -> None:
    for improvement in (0.005, 0.01, 0.02):
        assert go_rate(improvement, 0.01, 8) == pytest.approx(go_probability(improvement, 0.01, 0.01, 8), abs=0.03)


def test_more_noise_never_needs_fewer_seeds() -> None:
    needed = [seeds_needed(noise, 2.0, 0.01) for noise in np.geomspace(1e-12, 1e6, 60)]
    assert needed == sorted(needed)
    assert (needed[0], needed[-1]) == (3, 20)


def test_the_less_is_known_of_the_noise_the_more_seeds_are_planned() -> None:
    needed = [seeds_needed(0.008, 1.0, 0.01, measured_on=count) for count in (3, 4, 8, 50, None)]
    assert needed == sorted(needed, reverse=True)
    assert needed[0] > needed[-1]


def test_the_planned_seeds_give_80_percent_power_over_what_the_noise_may_be() -> None:
    measured = [0.008 * math.sqrt(chdtri(4, (i + 0.5) / 20) / 4) for i in range(20)]
    planned = [seeds_needed(noise, 1.0, 0.01, measured_on=5) for noise in measured]
    assert sum(go_probability(0.02, 0.01, 0.008, n) for n in planned) / 20 > 0.80


def test_seeds_beyond_the_most_are_named_where_they_would_do() -> None:
    n = enough_seeds(0.01, 0.05)
    assert n is not None and n > 20
    assert go_probability(0.02, 0.01, 0.05, n) >= 0.80 > go_probability(0.02, 0.01, 0.05, n - 1)
    assert enough_seeds(0.01, 1.0) is None


def test_the_known_ends() -> None:
    assert seeds_needed(0.0, 1.0, 0.01) == 3
    assert seeds_needed(0.0, 1.0, 0.0) == 3
    assert seeds_needed(None, 1.0, 0.01) == 5
    assert seeds_needed(0.1, 1.0, 0.0) == 20


def test_a_baseline_that_is_not_positive_counts_noise_instead_of_percent() -> None:
    assert threshold(-3.0, 0.01, 0.2) == threshold(0.0, 0.01, 0.2) == pytest.approx(0.2)
    assert threshold(-3.0, 0.01, None) == 0.0
    assert seeds_needed(0.2, -3.0, 0.01) == seeds_needed(7.0, 0.0, 0.01) == seeds_needed(0.01, 1.0, 0.01)
