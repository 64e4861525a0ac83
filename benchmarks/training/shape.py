"""The shape of what is trained."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """One model and one batch.

    Args:
        layers: Blocks.
        heads: Of attention.
        width: Of the residual stream.
        hidden: Inside a SwiGLU block.
        vocabulary: Different tokens.
        length: Tokens of a sequence.
        batch: Sequences of a step.
        micro: Sequences computed at a time.
    """

    layers: int
    heads: int
    width: int
    hidden: int
    vocabulary: int
    length: int
    batch: int
    micro: int

    @property
    def tokens(self) -> int:
        """Of a step."""
        return self.batch * self.length
