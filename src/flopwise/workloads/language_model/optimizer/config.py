"""The optimizer's part of the config, and which of its knobs act with which optimizer. No torch here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from flopwise.errors import Problem
from flopwise.workloads.language_model.section import Section


class OptimizerConfig(Section):
    """Which optimizer, and the knobs that only some have; the others are in train."""

    kind: Literal["adamw", "muon", "lion"] = Field(
        "adamw",
        description="adamw and lion: all params. muon: the blocks' matrices; embedding, head, vectors by adamw.",
    )
    adamw_lr: float | None = Field(
        None, gt=0, le=100, description="muon: peak learning rate of what adamw trains. null: train.lr."
    )
    momentum: float = Field(0.95, ge=0, lt=1, description="muon: decay of the mean of gradients.")
    nesterov: bool = Field(True, description="muon: whether momentum looks ahead.")
    orthogonalisation: Literal["polar_express", "newton_schulz", "newton_schulz_cubic", "none"] = Field(
        "polar_express", description="muon: polynomials that bring singular values to 1. none: momentum of that length."
    )
    iterations: int = Field(5, ge=1, le=20, description="muon: of the orthogonalisation.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="muon: of the orthogonalisation. auto: bfloat16 on cuda, float32 elsewhere."
    )
    shape_scale: Literal["rms", "aspect", "none"] = Field(
        "rms",
        description="muon: a matrix's lr is times 0.2 sqrt(max(rows, columns)), sqrt(max(1, rows / columns)), or 1.",
    )
    variance_reduction: bool = Field(False, description="muon: rows divided by their root mean square (NorMuon).")
    variance_decay: float = Field(0.95, ge=0, lt=1, description="muon with variance_reduction: decay of that mean.")
    cautious_weight_decay: bool = Field(
        False, description="muon (its matrices) and lion: only numbers decay that the update does not pull away from 0."
    )


ACTS: dict[str, frozenset[str]] = {
    "adamw": frozenset({"kind"}),
    "lion": frozenset({"kind", "cautious_weight_decay"}),
    "muon": frozenset(OptimizerConfig.model_fields),
}
"""Knobs of the section that do something with each kind."""


def optimizer_problems(optimizer: OptimizerConfig, weight_decay: float, own_eps: bool) -> Iterator[Problem]:
    """Every knob that would be ignored.

    Args:
        optimizer: The section.
        weight_decay: ``train.weight_decay``.
        own_eps: Whether ``train.eps`` is not its default.
    """
    kind, fields = optimizer.kind, OptimizerConfig.model_fields
    changed = [name for name in fields if getattr(optimizer, name) != fields[name].default]
    ignored = [name for name in changed if name not in ACTS[kind]]
    for name in ignored:
        kinds = " or ".join(each for each, names in ACTS.items() if name in names)
        yield _nothing(f"optimizer.{name}", f"kind: {kind}", f"say kind: {kinds}")
    acting = set(changed) - set(ignored)
    if kind == "lion" and own_eps:
        yield _nothing("eps", "optimizer.kind: lion", "say kind: adamw or muon")
    if optimizer.orthogonalisation == "none":
        for name in sorted(acting & {"iterations", "precision"}):
            yield _nothing(f"optimizer.{name}", "orthogonalisation: none", "choose an orthogonalisation")
    if "variance_decay" in acting and not optimizer.variance_reduction:
        yield _nothing("optimizer.variance_decay", "variance_reduction: false", "say variance_reduction: true")
    if "cautious_weight_decay" in acting and weight_decay == 0:
        yield _nothing("optimizer.cautious_weight_decay", "weight_decay: 0", "raise train.weight_decay")


def _nothing(name: str, beside: str, fix: str) -> Problem:
    return Problem(f"train.{name}", f"means nothing with {beside}; {fix}, or drop it")
