"""Orthogonalisation of matrices by polynomials of matrix products: what all optimizers of the Muon family share.

With the singular value decomposition ``x = U S V^T`` every iteration maps each singular value s to
``a s + b s^3 + c s^5`` and leaves U and V alone; after some iterations S is near 1 and x near ``U V^T``. Matrices of
one shape are one batched product; tall ones are computed as their transpose, where the squares are smaller.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Method = Literal["newton_schulz_cubic", "newton_schulz", "polar_express", "none"]
Coefficients = tuple[float, float, float]
"""a, b and c."""

CUBIC: Coefficients = (1.5, -0.5, 0.0)
"""Newton and Schulz; it converges to 1, but slowly: small singular values grow by half an iteration."""
QUINTIC: Coefficients = (3.4445, -4.7750, 2.0315)
"""Jordan et al., Muon, 2024: steepest at zero; singular values end between 0.7 and 1.2."""
POLAR_EXPRESS: tuple[Coefficients, ...] = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
    (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
    (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
    (1.875, -1.25, 0.375),
)
"""Amsel et al., The Polar Express, arXiv 2505.16932, 2025: the best polynomial for each iteration; the last repeats."""
SAFETY = 1.01
"""Polar Express maps values above 1 far away, and rounding to bfloat16 makes some: all stay this much smaller."""
MARGIN = {"polar_express": SAFETY, "newton_schulz_cubic": 1.1}
"""What the length of a matrix is multiplied by before it is scaled to 1; of the cubic as in the nGPT sweep."""
EPS = 1e-7


def coefficients(method: Method, iterations: int) -> list[Coefficients]:
    """The polynomial of each iteration.

    Example:
        >>> coefficients("newton_schulz_cubic", 2)
        [(1.5, -0.5, 0.0), (1.5, -0.5, 0.0)]
    """
    if method == "none":
        return []
    if method != "polar_express":
        return [QUINTIC if method == "newton_schulz" else CUBIC] * iterations
    chosen = [POLAR_EXPRESS[min(i, len(POLAR_EXPRESS) - 1)] for i in range(iterations)]
    return [(a / SAFETY, b / SAFETY**3, c / SAFETY**5) for a, b, c in chosen]


def orthogonalise(x: Tensor, method: Method, iterations: int, dtype: torch.dtype) -> Tensor:
    """Matrices with the singular vectors of ``x`` and singular values near 1.

    Args:
        x: Shape (..., rows, columns); each matrix on its own.
        method: Which polynomials. ``none``: ``x`` as it is, scaled to the length that an orthogonal matrix has.
        iterations: How many.
        dtype: Of the products.

    Returns:
        Same shape, of type ``dtype``.
    """
    rows, columns = x.shape[-2:]
    length: Tensor = torch.linalg.matrix_norm(x.float(), keepdim=True)
    if method == "none":
        return (x * (math.sqrt(min(rows, columns)) / (length + EPS))).to(dtype)
    y = (x / (length * MARGIN.get(method, 1.0) + EPS)).to(dtype)
    y = y.flatten(0, -3) if y.ndim > 2 else y[None]
    y = y.mT.contiguous() if rows > columns else y
    for a, b, c in coefficients(method, iterations):
        gram = torch.bmm(y, y.mT)
        factor = gram * b if c == 0.0 else torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        y = torch.baddbmm(y, factor, y, beta=a)
    return (y.mT if rows > columns else y).reshape(x.shape)
