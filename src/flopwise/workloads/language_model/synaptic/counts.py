"""What synaptic attention adds to plain attention, in closed form. No torch here.

A recurrence over T tokens is computed in chunks of C tokens (:mod:`.recurrence`), G = ceil(T / C) of them, for each of
its columns with matrices of constants: ``C x C`` inside a chunk, and with more than one chunk ``S x C`` into the S
states at its end, ``GS x GS`` between chunks and ``C x S`` back. Forward that is, per column,

    2 G C^2  +  [G > 1] * (4 G C S + 2 (G S)^2)

and constants need no gradient, so a training step costs twice, not three times, the forward pass. There are

    calcium      1 state,  n_head * T columns an attention map
    vesicles     2 states, n_head * T columns
    eligibility, fast and slow weights   1 state, rank^2 columns each
    CaMKII, PP1  1 state,  1 column each

and three projections of ``n_embd x rank`` per token, which cost three times their forward pass as all weights do.
"""

from __future__ import annotations

import math

from flopwise.workloads.language_model.synaptic.config import SynapticConfig

EDGE_CHUNK = 32
"""Tokens of a chunk where there is a column for every key: small, as the work grows with it."""
TRACE_CHUNK = 64
"""Tokens of a chunk where there are few columns: large, as few large products take less time than many small ones."""
PROJECTIONS = 3


def parameters(synaptic: SynapticConfig, n_embd: int) -> int:
    """Trained numbers of one layer's synapses, beside those of its attention."""
    return PROJECTIONS * n_embd * synaptic.rank_eligibility


def train_flops(synaptic: SynapticConfig, n_embd: int, n_head: int, sequence_length: int) -> int:
    """FLOPs of one layer's synapses for one sequence, forward and backward, beside those of its attention."""
    rank = synaptic.rank_eligibility
    edges = n_head * sequence_length
    edge_columns = edges * (recurrence(1, EDGE_CHUNK, sequence_length) + recurrence(2, EDGE_CHUNK, sequence_length))
    trace_columns = (3 * rank**2 + 2) * recurrence(1, TRACE_CHUNK, sequence_length)
    projections = 2 * sequence_length * parameters(synaptic, n_embd)
    return 2 * (edge_columns + trace_columns) + 3 * projections


def recurrence(states: int, chunk: int, tokens: int) -> int:
    """FLOPs of a recurrence with ``states`` states over so many tokens, forward, for one column."""
    chunk = min(chunk, tokens)
    chunks = math.ceil(tokens / chunk)
    inside = 2 * chunks * chunk**2
    return inside if chunks == 1 else inside + 4 * chunks * chunk * states + 2 * (chunks * states) ** 2
