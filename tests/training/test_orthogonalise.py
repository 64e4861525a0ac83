from __future__ import annotations

import pytest
import torch
from torch import Tensor

from flopwise.training.optimizers.orthogonalise import coefficients, orthogonalise

SHAPES = [(96, 96), (96, 384), (384, 96)]
METHODS = ["polar_express", "newton_schulz", "newton_schulz_cubic"]


def spread(rows: int, columns: int, seed: int = 0) -> Tensor:
    """A matrix whose k-th singular value is 1 / k."""
    generator = torch.Generator().manual_seed(seed)
    u, _, v = torch.linalg.svd(torch.randn(rows, columns, generator=generator), full_matrices=False)
    return (u / torch.arange(1, min(rows, columns) + 1)) @ v


def values(x: Tensor) -> Tensor:
    return torch.linalg.svdvals(x.float())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_polar_express_brings_every_singular_value_near_one(shape: tuple[int, int], dtype: torch.dtype) -> None:
    found = values(orthogonalise(spread(*shape), "polar_express", 5, dtype))
    assert 0.97 < float(found.median()) < 1.03
    assert float(found.min()) > 0.8
    assert float(found.max()) < 1.2


@pytest.mark.parametrize("shape", SHAPES)
def test_the_quintic_brings_them_between_two_thirds_and_one_and_a_quarter(shape: tuple[int, int]) -> None:
    found = values(orthogonalise(spread(*shape), "newton_schulz", 5, torch.float32))
    assert float(found.min()) > 0.66
    assert float(found.max()) < 1.25


def test_five_iterations_of_the_cubic_do_not_orthogonalise_and_many_do() -> None:
    few, many = (values(orthogonalise(spread(96, 96), "newton_schulz_cubic", n, torch.float32)) for n in (5, 30))
    assert float(few.median()) < 0.3
    torch.testing.assert_close(many, torch.ones(96), atol=1e-3, rtol=0)


@pytest.mark.parametrize("method", [*METHODS, "none"])
@pytest.mark.parametrize("shape", SHAPES)
def test_many_together_are_each_alone(method: str, shape: tuple[int, int]) -> None:
    several = torch.stack([spread(*shape, seed=seed) * 10.0**seed for seed in range(3)])
    together = orthogonalise(several, method, 5, torch.float32)  # type: ignore[arg-type]
    for one, alone in zip(several, together, strict=True):
        torch.testing.assert_close(
            orthogonalise(one, method, 5, torch.float32),  # type: ignore[arg-type]
            alone,
            atol=1e-5,
            rtol=1e-4,
        )


def test_singular_vectors_stay() -> None:
    x = spread(40, 90)
    u, _, v = torch.linalg.svd(x, full_matrices=False)
    inside = u.mT @ orthogonalise(x, "polar_express", 8, torch.float32) @ v.mT
    torch.testing.assert_close(inside, torch.eye(40), atol=2e-2, rtol=0)


def test_none_keeps_the_direction_and_has_the_length_of_an_orthogonal_matrix() -> None:
    x = spread(40, 90)
    found = orthogonalise(x, "none", 5, torch.float32)
    torch.testing.assert_close(found / found.norm(), x / x.norm())
    assert float(found.norm()) == pytest.approx(40**0.5)


def test_a_gradient_of_zeros_gives_zeros() -> None:
    for method in (*METHODS, "none"):
        assert not orthogonalise(torch.zeros(4, 6), method, 5, torch.float32).any()  # type: ignore[arg-type]


def test_polar_express_has_a_polynomial_for_each_iteration_and_repeats_the_last() -> None:
    eight, ten = coefficients("polar_express", 8), coefficients("polar_express", 10)
    assert len(set(eight)) == 8
    assert ten == [*eight, eight[-1], eight[-1]]


@pytest.mark.parametrize("columns", [768, 3072])
def test_at_the_size_of_a_real_layer_polar_express_in_bfloat16_is_within_two_percent(columns: int) -> None:
    generator = torch.Generator().manual_seed(0)
    u, _ = torch.linalg.qr(torch.randn(768, 768, generator=generator))
    v, _ = torch.linalg.qr(torch.randn(columns, 768, generator=generator))
    found = orthogonalise((u / torch.arange(1, 769)) @ v.mT, "polar_express", 5, torch.bfloat16).float()
    median = torch.linalg.eigvalsh(found @ found.mT).sqrt().median()
    assert float(median) == pytest.approx(1.0, abs=0.02)
