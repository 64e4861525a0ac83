"""What a study computes from the keys that it searches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flopwise.registry import resolve

RULES = "flopwise.study:rules_of"
"""Loaded for studies that compute something: what reads studies takes longer to import than all that a status needs."""

Derive = Callable[[Mapping[str, Any]], dict[str, Any]]
"""From a config, dotted key to value, to the computed keys with their values."""


def derivation(study: Mapping[str, Any]) -> Derive:
    """How a study computes its derived values.

    Args:
        study: Canonical.
    """
    if not study.get("derived"):
        return lambda config: {}
    derive: Derive = resolve(RULES)(study).derive
    return derive
