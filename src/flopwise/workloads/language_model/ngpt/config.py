"""Every knob of the normalised transformer. No torch here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from flopwise.errors import Problem
from flopwise.workloads.language_model.section import Section

TRAIN_DEFAULTS = {"weight_decay": 0.0, "warmup_fraction": 0.0}
"""Of the section train where it does not say: unit norms need no decay, and training is stable from the first step."""


class NgptConfig(Section):
    """What differs from the paper's model, and where it starts."""

    residual: Literal["learned", "fixed", "gated"] = Field(
        "learned",
        description="Step towards a layer's output: alpha learned a channel, fixed, or times a learned gate a channel.",
    )
    alpha: float = Field(0.05, gt=0, le=1, description="That step (at the start, where it is learned).")
    qk_norm: bool = Field(True, description="Whether queries and keys have unit norm and a learned scale.")
    logit_scale: float = Field(1.0, gt=0, le=1000, description="Logits are cosines times this (at the start).")
    learn_logit_scale: bool = Field(True, description="Whether that scale is learned, one number a token.")
    project_every: int = Field(
        1, ge=1, le=100_000, description="Optimizer steps between projections of all matrices to unit norm."
    )


def ngpt_problems(kind: str, ngpt: NgptConfig, own_norm_eps: bool) -> Iterator[Problem]:
    """Every knob that would be ignored.

    Args:
        kind: ``model.kind``.
        ngpt: The section.
        own_norm_eps: Whether ``model.norm_eps`` is not its default.
    """
    if kind != "ngpt":
        for name, field in NgptConfig.model_fields.items():
            if getattr(ngpt, name) != field.default:
                yield Problem(f"model.ngpt.{name}", f"means nothing with kind: {kind}; say kind: ngpt, or drop it")
    elif own_norm_eps:
        yield Problem("model.norm_eps", "means nothing with kind: ngpt, which has no RMSNorm; drop it")
