"""What an attempt of the sleeping benchmarks does: nothing, so that all that is added is overhead."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any


def run(config: Mapping[str, Any]) -> float:
    """Sleep ``config["amount"]`` seconds; the loss is of no interest."""
    time.sleep(config["amount"])
    return 0.0


def warm() -> None:
    """There is nothing to warm up."""
