"""Release of an edge: the formulas as they are written, their gradients, and what randomness does to them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from flopwise.workloads.language_model.synaptic.config import SynapticConfig
from flopwise.workloads.language_model.synaptic.presynapse import Presynapse, ReleaseNoise
from flopwise.workloads.language_model.synaptic.release import log_release, release_probability

CONFIGS = [
    SynapticConfig(),
    SynapticConfig(fast_share=0.3, complexin_clamp=1.0, syt1_kd=0.7, syt7_kd=2.0, complexin_kd=0.4, init_rrp=1.5),
    SynapticConfig(fast_share=1.0, complexin_clamp=0.0, spontaneous_release=0.5, init_rrp=18.0),
]


def even(low: float, high: float, count: int = 50, seed: int = 0) -> Tensor:
    drawn = torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return low + (high - low) * drawn


@pytest.mark.parametrize("config", CONFIGS)
def test_the_probability_is_two_sensors_behind_a_clamp(config: SynapticConfig) -> None:
    for calcium in (0.0, 0.01, 0.5, 2.0, 30.0, 1e6):
        fast = calcium**4 / (calcium**4 + config.syt1_kd**4)
        slow = calcium**2 / (calcium**2 + config.syt7_kd**2)
        clamp = config.complexin_clamp * config.complexin_kd**2 / (calcium**2 + config.complexin_kd**2)
        expected = (config.fast_share * fast + (1 - config.fast_share) * slow) * (1 - clamp)
        found = float(release_probability(torch.tensor(calcium), config))
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-12)
        assert 0 <= found <= 1


def test_more_calcium_releases_more() -> None:
    p = release_probability(torch.linspace(0, 20, 400), SynapticConfig())
    assert (p.diff() > 0).all()


@pytest.mark.parametrize("config", CONFIGS)
def test_gradients_of_the_probability(config: SynapticConfig) -> None:
    calcium = torch.cat((torch.zeros(1, dtype=torch.float64), even(0, 6))).requires_grad_()
    assert torch.autograd.gradcheck(lambda c: release_probability(c, config), (calcium,))


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("noisy", [False, True])
def test_gradients_of_the_release(config: SynapticConfig, noisy: bool) -> None:
    p, spent = even(0.02, 0.95).requires_grad_(), even(0, 8, seed=1).requires_grad_()
    noise = even(-1.7, 1.7, seed=2) * (even(0, 1, seed=3) < 0.5) if noisy else None
    assert torch.autograd.gradcheck(lambda p, spent: log_release(p, spent, noise, config), (p, spent))


def test_release_is_that_of_at_least_one_vesicle() -> None:
    config = SynapticConfig(init_rrp=6.0, spontaneous_release=0.01)
    p, spent = torch.tensor([0.0, 0.2, 0.9]), torch.tensor([0.0, 1.0, 20.0])
    expected = [math.log(0.01 + 1 - math.exp(-a * 6.0 / (1 + b))) for a, b in zip(p, spent, strict=True)]
    torch.testing.assert_close(log_release(p, spent, None, config), torch.tensor(expected))


def test_edges_without_noise_release_as_in_evaluation() -> None:
    p, spent = even(0, 1), even(0, 9, seed=1)
    config = SynapticConfig()
    torch.testing.assert_close(log_release(p, spent, torch.zeros_like(p), config), log_release(p, spent, None, config))


def test_random_vesicles_have_mean_and_variance_of_a_binomial_count() -> None:
    """Where no draw reaches zero."""
    config, count = SynapticConfig(init_rrp=10.0, spontaneous_release=1e-9), 200_000
    noise = ReleaseNoise(1.0, seed=0).draw(torch.empty(count, dtype=torch.float64))
    p = torch.full((count,), 0.4, dtype=torch.float64)
    vesicles = -torch.log1p(-log_release(p, torch.ones_like(p), noise, config).exp())
    assert float(vesicles.mean()) == pytest.approx(5 * 0.4, rel=0.01)
    assert float(vesicles.var()) == pytest.approx(5 * 0.4 * 0.6, rel=0.01)


def test_a_failed_release_is_the_spontaneous_one() -> None:
    config = SynapticConfig(spontaneous_release=0.02)
    p = torch.tensor([0.05], requires_grad=True)
    failed = log_release(p, torch.tensor([9.0]), torch.tensor([-1.7]), config)
    assert float(failed.detach()) == pytest.approx(math.log(0.02))
    failed.backward()
    assert p.grad is not None
    assert float(p.grad) == 0


@pytest.mark.parametrize("share", [0.05, 0.4, 1.0])
def test_the_share_of_random_edges_is_the_one_asked_for(share: float) -> None:
    noise = ReleaseNoise(share, seed=3).draw(torch.empty(100_000))
    chosen = noise[noise != 0]
    assert len(chosen) / len(noise) == pytest.approx(share, abs=0.005)
    assert float(chosen.mean()) == pytest.approx(0, abs=0.03)
    assert float(chosen.var()) == pytest.approx(1, rel=0.03)


def test_noise_comes_from_its_seed_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    like = torch.empty(64)
    first, second = ReleaseNoise(0.5, seed=7), ReleaseNoise(0.5, seed=7)
    assert torch.equal(first.draw(like), second.draw(like))
    assert not torch.equal(first.draw(like), ReleaseNoise(0.5, seed=7).draw(like)), "every draw is new"
    assert not torch.equal(ReleaseNoise(0.5, seed=8).draw(like), ReleaseNoise(0.5, seed=7).draw(like))
    assert torch.equal(torch.get_rng_state(), before)


def step_by_step(config: SynapticConfig, scores: list[float]) -> list[float]:
    """The equations of one edge, in the order in which time passes."""
    calcium = released = recycled = 0.0
    found = []
    for score in scores:
        calcium = config.tau_c * calcium + config.alpha_c * math.log1p(math.exp(score))
        p = float(release_probability(torch.tensor(calcium, dtype=torch.float64), config))
        pool = config.init_rrp / (1 + released + recycled)
        found.append(math.log(config.spontaneous_release + 1 - math.exp(-pool * p)))
        recycled = (1 - config.prime_rate) * recycled + config.rec_rate * released
        released = (1 - config.rec_rate) * released + p
    return found


@pytest.mark.parametrize("changes", [{}, {"prime_rate": 0.06}, {"tau_c": 0.99, "rec_rate": 0.2, "prime_rate": 0.01}])
def test_an_edge_lives_as_its_equations_say(changes: dict[str, Any]) -> None:
    config, tokens = SynapticConfig(**changes), 70
    scores = torch.randn(2, 3, tokens, tokens, generator=torch.Generator().manual_seed(0)) * 2
    future = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
    found = Presynapse(config, tokens)(scores.masked_fill(future, -math.inf), None)
    for key in (0, 1, 31, 32, 40, 69):
        expected = step_by_step(config, scores[1, 2, key:, key].tolist())
        torch.testing.assert_close(found[1, 2, key:, key], torch.tensor(expected), rtol=2e-4, atol=2e-4)


def exact_pool(config: SynapticConfig, p: float, tokens: int) -> list[float]:
    """The pool where only vesicles that are there can be released: not linear."""
    released = recycled = 0.0
    pool = []
    for _ in range(tokens):
        pool.append(1 - released - recycled)
        recycled = (1 - config.prime_rate) * recycled + config.rec_rate * released
        released = (1 - config.rec_rate) * released + p * pool[-1]
    return pool


@pytest.mark.parametrize("p", [0.01, 0.1, 0.4])
def test_the_pool_is_near_one_that_runs_dry(p: float) -> None:
    """Equal at rest and in the steady state, as the docstring claims, and emptied more slowly in between."""
    config, tokens = SynapticConfig(), 400
    spent = Presynapse(config, tokens).spent(torch.full((1, tokens, 1), p))[0, :, 0]
    pool, exact = 1 / (1 + spent), torch.tensor(exact_pool(config, p, tokens))
    assert float(pool[0]) == float(exact[0]) == 1
    assert float(pool[1]) == pytest.approx(float(exact[1]), abs=p * p)
    assert float(pool[-1]) == pytest.approx(float(exact[-1]), rel=1e-3)
    assert float((pool - exact).min()) > -1e-6
    assert float((pool - exact).max()) < 0.26
    assert ((pool > 0) & (pool <= 1)).all()
