"""Paired comparison and the noise of seeds, against scipy's own and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from flopwise.stats.compare import paired
from flopwise.stats.noise import noise_sd


def test_bounds_are_those_of_the_paired_t_test() -> None:
    generator = np.random.default_rng(0)
    baseline, candidate = generator.normal(2.0, 0.1, 7), generator.normal(1.9, 0.1, 7)
    ours = paired(baseline.tolist(), candidate.tolist())
    test = stats.ttest_rel(baseline, candidate)
    low, high = test.confidence_interval(0.90)
    assert ours.n == 7
    assert (ours.lower, ours.upper) == (pytest.approx(low), pytest.approx(high))
    assert ours.mean_improvement == pytest.approx(float(np.mean(baseline - candidate)))


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_lower_bound_lies_above_the_truth_in_one_study_of_twenty(n: int) -> None:
    generator = np.random.default_rng(n)
    baseline, candidate = generator.normal(0, 1, (2, 4000, n))
    misses = sum((paired(b, c).lower or 0.0) > 0.0 for b, c in zip(baseline.tolist(), candidate.tolist(), strict=True))
    assert 0.038 < misses / 4000 < 0.062


def test_without_spread_the_improvement_is_known_exactly() -> None:
    ours = paired([3.0, 2.0, 1.0], [2.5, 1.5, 0.5])
    assert (ours.sd, ours.lower, ours.upper) == (0.0, 0.5, 0.5)


def test_one_seed_has_no_bounds() -> None:
    assert paired([3.0], [2.0]).lower is None
    assert paired([3.0], [2.0]).mean_improvement == 1.0


def test_unequal_or_empty_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="argument 2"):
        paired([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="no seeds"):
        paired([], [])


def test_noise_is_the_sample_standard_deviation() -> None:
    values = np.random.default_rng(1).normal(0, 3, 50)
    assert noise_sd(values.tolist()) == pytest.approx(float(np.std(values, ddof=1)))


def test_pooled_noise_ignores_how_far_the_configs_lie_apart() -> None:
    generator = np.random.default_rng(2)
    groups = [(generator.normal(level, 0.5, 4)).tolist() for level in range(400)]
    assert noise_sd(*groups) == pytest.approx(0.5, rel=0.05)


def test_noise_is_unknown_without_repeats_and_zero_without_spread() -> None:
    assert noise_sd() is None
    assert noise_sd([1.0], [2.0]) is None
    assert noise_sd([1.0, 1.0], [2.0]) == 0.0
