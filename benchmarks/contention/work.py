"""What every attempt of this benchmark does."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any


def compute(config: Mapping[str, Any]) -> float:
    """Work for ``config["cpu_s"]`` seconds of CPU time, in one thread."""
    total, end = 0.0, time.process_time() + config["cpu_s"]
    while time.process_time() < end:
        total += sum(i * 0.5 for i in range(5000))
    return total
