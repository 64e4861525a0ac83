"""Muon: momentum, orthogonalised by matrix (Jordan et al., 2024); with variance reduction it is NorMuon."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from flopwise.training.optimizers.decay import decay_
from flopwise.training.optimizers.orthogonalise import Method, orthogonalise
from flopwise.training.optimizers.variance import normalise_rows

Scale = Literal["aspect", "rms", "none"]


@dataclass(frozen=True)
class Hidden:
    """A parameter whose rows are one matrix, or several on top of each other (query, key and value).

    Args:
        parameter: Of shape (rows, columns).
        rows: Of each matrix; together all.
    """

    parameter: nn.Parameter
    rows: tuple[int, ...]


@dataclass(frozen=True)
class MuonOptions:
    """Numbers of the algorithm.

    Args:
        lr: Peak learning rate.
        momentum: Decay of the mean of gradients.
        nesterov: Look ahead: the mean as it will be if the next gradient is like this one.
        method: Of orthogonalisation.
        iterations: Of it.
        dtype: Of its matrix products.
        scale: What the learning rate of a matrix is multiplied by, see :func:`scale_of`.
        weight_decay: Decay of the matrices, times the learning rate, each step.
        cautious: Whether it is cautious, see :mod:`.decay`.
        variance_reduction: Whether rows are normalised, see :mod:`.variance`.
        variance_decay: Decay of the rows' mean square.
    """

    lr: float
    momentum: float = 0.95
    nesterov: bool = True
    method: Method = "polar_express"
    iterations: int = 5
    dtype: torch.dtype = torch.bfloat16
    scale: Scale = "rms"
    weight_decay: float = 0.1
    cautious: bool = False
    variance_reduction: bool = False
    variance_decay: float = 0.95


def scale_of(rows: int, columns: int, scale: Scale) -> float:
    """What the learning rate of a matrix is multiplied by.

    ``aspect``: sqrt(max(1, rows / columns)) (Jordan et al., 2024). ``rms``: 0.2 sqrt(max(rows, columns)), with which
    the update's root mean square is that of AdamW and its learning rates fit (Liu et al., arXiv 2502.16982, 2025).

    Example:
        >>> scale_of(400, 100, "aspect"), scale_of(400, 100, "rms"), scale_of(400, 100, "none")
        (2.0, 4.0, 1.0)
    """
    if scale == "none":
        return 1.0
    return math.sqrt(max(1.0, rows / columns)) if scale == "aspect" else 0.2 * math.sqrt(max(rows, columns))


class Muon(torch.optim.Optimizer):
    """Muon over matrices; matrices of one shape are orthogonalised together.

    Args:
        hidden: The matrices.
        options: Numbers of the algorithm.
    """

    def __init__(self, hidden: Sequence[Hidden], options: MuonOptions) -> None:
        self.options = options
        self._rows = [each.rows for each in hidden]
        defaults = {"lr": options.lr, "weight_decay": options.weight_decay}
        super().__init__([each.parameter for each in hidden], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update; ``closure`` must be None."""
        assert closure is None
        (group,) = self.param_groups
        by_shape: dict[torch.Size, list[_Piece]] = {}
        for piece in self._pieces(group["params"]):
            by_shape.setdefault(piece.weight.shape, []).append(piece)
        for pieces in by_shape.values():
            self._update(pieces, group["lr"], group["weight_decay"])

    def _pieces(self, params: Sequence[Tensor]) -> Iterator[_Piece]:
        """The matrices with a gradient; their momentum already moved."""
        with_rows = [(p, rows) for p, rows in zip(params, self._rows, strict=True) if p.grad is not None]
        gradients = [p.grad for p, _ in with_rows if p.grad is not None]
        states = [self._state_of(p) for p, _ in with_rows]
        if not states:
            return
        buffers = [state["momentum"] for state in states]
        torch._foreach_lerp_(buffers, gradients, 1.0 - self.options.momentum)
        nesterov = self.options.nesterov
        moved = torch._foreach_lerp(gradients, buffers, self.options.momentum) if nesterov else buffers
        for (param, rows), state, update in zip(with_rows, states, moved, strict=True):
            kept = state.get("mean_square")
            squares = [None] * len(rows) if kept is None else torch.split(kept, list(rows))
            yield from map(_Piece, torch.split(param, list(rows)), torch.split(update, list(rows)), squares)

    def _state_of(self, param: Tensor) -> dict[str, Any]:
        state: dict[str, Any] = self.state[param]
        if not state:
            state["momentum"] = torch.zeros_like(param)
            if self.options.variance_reduction:
                state["mean_square"] = torch.zeros_like(param[:, :1], dtype=torch.float32)
        return state

    def _update(self, pieces: Sequence[_Piece], lr: float, weight_decay: float) -> None:
        """Move matrices of one shape."""
        options = self.options
        update = orthogonalise(
            torch.stack([piece.update for piece in pieces]), options.method, options.iterations, options.dtype
        )
        if options.variance_reduction:
            kept = [piece.mean_square for piece in pieces if piece.mean_square is not None]
            mean_square = torch.stack(kept)
            update = normalise_rows(update, mean_square, options.variance_decay)
            torch._foreach_copy_(kept, list(mean_square))
        weights = [piece.weight for piece in pieces]
        updates = list(update.to(weights[0].dtype))
        decay_(weights, updates, lr * weight_decay, options.cautious)
        rows, columns = weights[0].shape
        torch._foreach_add_(weights, updates, alpha=-lr * scale_of(rows, columns, options.scale))


@dataclass(frozen=True)
class _Piece:
    """One matrix: views of weight, update and rows' mean square."""

    weight: Tensor
    update: Tensor
    mean_square: Tensor | None
