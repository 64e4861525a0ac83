"""Linear recurrences with constant coefficients over time, as matrix products: no loop over time.

Shapes: T tokens in G chunks of C, S states, X columns that share the coefficients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable


@dataclass(frozen=True)
class Dynamics:
    """``h_t = A h_{t-1} + b u_t`` from ``h_{-1} = 0``; what is seen of it is ``y_t = o h_t``, or ``o h_{t-1}``.

    Args:
        transition: A, shape (S, S).
        inflow: b, shape (S,).
        outflow: o, shape (S,).
        lagged: Whether y_t sees only what came before t.
    """

    transition: Sequence[Sequence[float]]
    inflow: Sequence[float]
    outflow: Sequence[float]
    lagged: bool = False


def leak(decay: float, gain: float = 1.0, lagged: bool = False) -> Dynamics:
    """A leaky integrator: ``h_t = decay * h_{t-1} + gain * u_t``."""
    return Dynamics([[decay]], [gain], [1.0], lagged)


class Recurrence(nn.Module):
    """Runs dynamics over the second but last dimension of its input, in float32 also under autocast.

    Inside a chunk the answer to all inputs is one product with a triangular matrix of constants; the state at the end
    of each chunk is another, and what is left of it in later chunks a third, as in the chunked form of linear
    attention (Hua et al., Transformer quality in linear time, 2022). The gradient is the same recurrence with all
    matrices transposed, so it runs back in time.

    Args:
        dynamics: What to run.
        chunk: C.
        longest: Most tokens there will be.
    """

    inside_cc: Tensor
    gather_sc: Tensor
    between_gsgs: Tensor
    spread_cs: Tensor

    def __init__(self, dynamics: Dynamics, chunk: int, longest: int) -> None:
        super().__init__()
        self.dynamics, self.chunk, self.states = dynamics, min(chunk, longest), len(dynamics.inflow)
        self.chunks = math.ceil(longest / self.chunk)
        for name, table in self._tables().items():
            self.register_buffer(name, torch.tensor(table, dtype=torch.float32), persistent=False)

    def fill_tables(self) -> None:
        """Write the constants again, where the memory was only reserved."""
        for name, table in self._tables().items():
            self.get_buffer(name).copy_(torch.from_numpy(table))

    def forward(self, u_tx: Tensor) -> Tensor:
        """y of the same shape (…, T, X) as the input u."""
        tokens = u_tx.shape[-2]
        chunks = math.ceil(tokens / self.chunk)
        missing = 0 if chunks == 1 else chunks * self.chunk - tokens
        chunk = min(self.chunk, tokens)
        u_bgcx = F.pad(u_tx.to(self.inside_cc.dtype), (0, 0, 0, missing)).reshape(-1, chunks, chunk, u_tx.shape[-1])
        between = self.between_gsgs[: chunks * self.states, : chunks * self.states]
        inside = self.inside_cc[:chunk, :chunk]
        with _exactly(u_tx.device.type):
            y_bgcx: Tensor = _Scan.apply(u_bgcx, inside, self.gather_sc, between, self.spread_cs)  # type: ignore[no-untyped-call]
        y_tx = y_bgcx.reshape(*u_tx.shape[:-2], chunks * chunk, u_tx.shape[-1])
        return y_tx[..., :tokens, :] if missing else y_tx

    def _tables(self) -> dict[str, np.ndarray]:
        chunk, chunks, lag = self.chunk, self.chunks, int(self.dynamics.lagged)
        inflow, outflow = np.array(self.dynamics.inflow), np.array(self.dynamics.outflow)
        powers = _powers(np.array(self.dynamics.transition, dtype=np.float64), chunk + 1)
        answers = np.concatenate([np.zeros(lag), powers[: chunk + 1 - lag] @ inflow @ outflow])[:chunk]
        leaps = _powers(powers[chunk], chunks)
        zero = np.zeros_like(leaps[0])
        blocks = [[leaps[g - 1 - e] if e < g else zero for e in range(chunks)] for g in range(chunks)]
        return {
            "inside_cc": _toeplitz(answers),
            "gather_sc": (powers[:chunk][::-1] @ inflow).T,
            "between_gsgs": np.block(blocks),
            "spread_cs": outflow @ powers[1 - lag : chunk + 1 - lag],
        }


class _Scan(Function):
    """``inside u + spread between gather u``, chunk by chunk."""

    @staticmethod
    def forward(ctx: Any, u_bgcx: Tensor, *tables: Tensor) -> Tensor:
        ctx.save_for_backward(*tables)
        return _scan(u_bgcx, *tables)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_bgcx: Tensor) -> tuple[Tensor | None, ...]:
        inside, gather, between, spread = (table.transpose(0, 1) for table in ctx.saved_tensors)
        return _scan(gradient_bgcx, inside, spread, between, gather), None, None, None, None


def _exactly(device_type: str) -> AbstractContextManager[Any]:
    """Context without autocast, of which the meta device knows nothing."""
    return nullcontext() if device_type == "meta" else torch.autocast(device_type, enabled=False)


def _scan(u_bgcx: Tensor, inside: Tensor, gather: Tensor, between: Tensor, spread: Tensor) -> Tensor:
    batch, chunks, _, columns = u_bgcx.shape
    u_ncx = u_bgcx.flatten(0, 1)
    if chunks == 1:
        return torch.bmm(inside.expand(batch, -1, -1), u_ncx).unsqueeze(1)
    ends_nsx = torch.bmm(gather.expand(batch * chunks, -1, -1), u_ncx)
    starts_bmx = torch.bmm(between.expand(batch, -1, -1), ends_nsx.reshape(batch, -1, columns))
    answer_ncx = torch.bmm(inside.expand(batch * chunks, -1, -1), u_ncx)
    starts_nsx = starts_bmx.reshape(batch * chunks, -1, columns)
    torch.baddbmm(answer_ncx, spread.expand(batch * chunks, -1, -1), starts_nsx, out=answer_ncx)
    return answer_ncx.view_as(u_bgcx)


def _powers(matrix: np.ndarray, count: int) -> np.ndarray:
    """The first powers of a matrix, from the 0th, shape (count, S, S)."""
    found = [np.eye(len(matrix))]
    while len(found) < count:
        found.append(matrix @ found[-1])
    return np.stack(found)


def _toeplitz(answers: np.ndarray) -> np.ndarray:
    """The lower triangular matrix with ``answers[i - j]`` at (i, j)."""
    age = np.subtract.outer(np.arange(len(answers)), np.arange(len(answers)))
    return np.where(age >= 0, answers[np.maximum(age, 0)], 0.0)
