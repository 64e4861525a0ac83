"""What every attempt of this benchmark does."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any


def nothing(config: Mapping[str, Any] | None = None) -> float:
    """What is left is the executor's own."""
    return 1.0


def second(config: Mapping[str, Any] | None = None) -> float:
    """One second, whatever else the machine does."""
    time.sleep(1.0)
    return 1.0


WORK = {"nothing": nothing, "second": second}
