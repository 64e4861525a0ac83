"""What every attempt of this benchmark does: sleep, so that all that is added is overhead."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any


def sleep(config: Mapping[str, Any]) -> float:
    """Sleep ``config["seconds"]``; the loss is of no interest."""
    time.sleep(config["seconds"])
    return 0.0
