"""The postsynaptic side: fast and slow weights that grow where the two sides of the attention are active together.

Shapes: B sequences, T tokens, D width of the residual stream, R rank of the eligibility trace.
"""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from flopwise.workloads.language_model.synaptic.config import SynapticConfig
from flopwise.workloads.language_model.synaptic.counts import TRACE_CHUNK
from flopwise.workloads.language_model.synaptic.recurrence import Recurrence, leak

TINY = 1e-12
"""Added to activities that are divided by."""


class Postsynapse(nn.Module):
    """What Hebbian weights add to the output of attention.

    With x the input of attention and a its output, in every token t:

        u_t = norm(pre x_t),  v_t = post a_t                                R channels each
        E_t = post_trace_decay E_{t-1} + v_t u_tᵀ                           eligibility, R x R
        F_t = post_fast_decay F_{t-1} + post_fast_lr E_t                    fast weights
        W_t = post_slow_decay W_{t-1} + post_slow_lr g_t E_t                slow weights
        g_t = k_t² / (k_t² + q_t²)                                          consolidation gate
        k_t, q_t = means of |v|², forgotten with camkii_decay and pp1_decay
        added = out (F_{t-1} + W_{t-1}) u_t

    The gate opens when the activity of now (CaMKII) exceeds that of long (PP1): a threshold that slides, as in
    Bienenstock, Cooper and Munro, J. Neurosci. 2:32, 1982. A rate enters as it stands: a trace remembers
    1 / (1 - post_trace_decay) tokens and its weights 1 / (1 - post_fast_decay) traces, so over a sequence a rate
    of 1e-2 becomes a weight of order 1 and one of 1e-5 of order 1e-3.

    Sources: fast weights as linear attention, Schlag et al., Linear transformers are secretly fast weight
    programmers, 2021; eligibility traces that a gate consolidates, Gerstner et al., Front. Neural Circuits 12:53, 2018.

    Args:
        config: The knobs.
        n_embd: D.
        longest: Most tokens there will be.
    """

    def __init__(self, config: SynapticConfig, n_embd: int, longest: int) -> None:
        super().__init__()
        self.rank = config.rank_eligibility
        self.pre = nn.Linear(n_embd, self.rank, bias=False)
        self.post = nn.Linear(n_embd, self.rank, bias=False)
        self.out = nn.Linear(self.rank, n_embd, bias=False)
        self.eligibility = Recurrence(leak(config.post_trace_decay), TRACE_CHUNK, longest)
        self.fast = Recurrence(leak(config.post_fast_decay, config.post_fast_lr, lagged=True), TRACE_CHUNK, longest)
        self.slow = Recurrence(leak(config.post_slow_decay, config.post_slow_lr, lagged=True), TRACE_CHUNK, longest)
        self.camkii = Recurrence(leak(config.camkii_decay, 1 - config.camkii_decay), TRACE_CHUNK, longest)
        self.pp1 = Recurrence(leak(config.pp1_decay, 1 - config.pp1_decay), TRACE_CHUNK, longest)

    def forward(self, x_btd: Tensor, a_btd: Tensor) -> Tensor:
        """What is added to the output, (B, T, D), from input and output of attention."""
        u_btr, v_btr = F.rms_norm(self.pre(x_btd), (self.rank,)), self.post(a_btd)
        trace_bte = self.eligibility((v_btr[..., None] * u_btr[..., None, :]).flatten(-2))
        weights_bte = self.fast(trace_bte) + self.slow(trace_bte * self.gate(v_btr))
        read_btr = (weights_bte.unflatten(-1, (self.rank, self.rank)) * u_btr[..., None, :]).sum(-1)
        return self.out(read_btr)  # type: ignore[no-any-return]

    def gate(self, v_btr: Tensor) -> Tensor:
        """How far consolidation is open, (B, T, 1), between 0 and 1."""
        activity_bt1 = v_btr.square().mean(-1, keepdim=True)
        camkii_bt1, pp1_bt1 = self.camkii(activity_bt1).square(), self.pp1(activity_bt1).square()
        return camkii_bt1 / (camkii_bt1 + pp1_bt1 + TINY)  # type: ignore[no-any-return]
