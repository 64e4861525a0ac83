"""What a look at one thing gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One line of the examination.

    Args:
        level: ``problem`` where a study would fail or lose something, ``note`` where it would be slower or lack
            something that it may not need.
        topic: One word.
        text: What there is.
        fix: What to do about it; empty when nothing has to be done.
    """

    level: Level
    topic: str
    text: str
    fix: str = ""
