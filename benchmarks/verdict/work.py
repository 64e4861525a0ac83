"""What the simulated studies evaluate: a made-up training whose result depends on one knob and on the seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

LEVEL = 2.0
"""The baseline's true value."""

NOISE = 0.01
"""Standard deviation between seeds, as a share of it."""


def value(x: int, seed: int, best: int, gain: float) -> float:
    """A noisy value; smaller is better.

    Args:
        x: The knob; 0 is the baseline.
        seed: Of the evaluation. Configs do not share its noise: the hardest case for a comparison by seed.
        best: The one knob value that is truly better.
        gain: By which share of the baseline.
    """
    true = LEVEL * (1.0 - gain * (x == best))
    return true + LEVEL * NOISE * random.Random(f"{seed}/{x}").gauss(0.0, 1.0)


def evaluate(config: Mapping[str, Any], context: Any) -> float:
    """The objective of every study."""
    return value(config["x"], context.seed, config["best"], config["gain"])
