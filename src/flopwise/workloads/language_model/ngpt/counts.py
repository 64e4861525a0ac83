"""Numbers of the normalised transformer's scales, in closed form. No torch here.

Its matrices, and so its FLOPs, are those of the plain model: norms, scales and projections are no matrix products.
"""

from __future__ import annotations

from flopwise.workloads.language_model.ngpt.config import NgptConfig


def parameters(ngpt: NgptConfig, n_layer: int, n_embd: int, hidden_width: int, gated_mlp: bool, vocabulary: int) -> int:
    """Trained numbers beside those of the matrices.

    Args:
        ngpt: The section.
        n_layer: Blocks.
        n_embd: Width of the residual stream.
        hidden_width: Width inside the feed-forward block.
        gated_mlp: Whether that has a gate beside it.
        vocabulary: Rows of the head.
    """
    steps = 0 if ngpt.residual == "fixed" else 2 * n_embd
    queries = n_embd if ngpt.qk_norm else 0
    hidden = hidden_width * (2 if gated_mlp else 1)
    logits = vocabulary if ngpt.learn_logit_scale else 0
    return n_layer * (steps + queries + hidden) + logits
