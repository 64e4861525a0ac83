"""Variance reduction: Li et al., NorMuon: making Muon more efficient and scalable, arXiv 2510.05491, 2025."""

from __future__ import annotations

import torch
from torch import Tensor

EPS = 1e-10


def normalise_rows(update: Tensor, mean_square: Tensor, decay: float) -> Tensor:
    """Divide every row (a neuron's weights) by the root of its mean square so far; the length of the whole stays.

    Args:
        update: Orthogonalised matrices, shape (matrices, rows, columns).
        mean_square: Decaying mean of the rows' mean squares, shape (matrices, rows, 1); changed in place.
        decay: Of that mean.

    Returns:
        The same shape, each matrix as long (2-norm of all its numbers) as before.
    """
    mean_square.lerp_(update.float().square().mean(-1, keepdim=True), 1.0 - decay)
    scaled = update * (mean_square + EPS).rsqrt().to(update.dtype)
    before, after = (torch.linalg.matrix_norm(each.float(), keepdim=True) for each in (update, scaled))
    ratio: Tensor = before / (after + EPS)
    return scaled * ratio.to(update.dtype)
