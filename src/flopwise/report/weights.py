"""How much each knob mattered, as a value: computed by ``importance``, shown by tables and pictures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from flopwise.report.grid import Grid, right
from flopwise.report.text import percent


@dataclass(frozen=True)
class Weight:
    """How much a knob mattered.

    Args:
        key: Dotted key.
        importance: Share of all knobs' importances, 0 to 1.
        floor: What luck reaches, on the same scale; may be above 1.
        stands_out: Whether importance is above floor.
    """

    key: str
    importance: float
    floor: float
    stands_out: bool


@dataclass(frozen=True)
class Importance:
    """All knobs, most important first, or why there are none.

    Args:
        trials: Finished search trials it rests on.
        top: How many of the best were compared with all.
        weights: Empty when there is nothing to say.
        note: One sentence: what the numbers rest on, or what is missing.
    """

    trials: int
    top: int
    weights: tuple[Weight, ...]
    note: str

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        return {**asdict(self), "weights": [asdict(weight) for weight in self.weights]}


def importance_grid(found: Importance) -> Grid:
    """Knobs with their shares and noise floors."""
    rows = [
        (w.key, percent(w.importance), percent(w.floor), "stands out" if w.stands_out else "could be luck")
        for w in found.weights
    ]
    marks = ["best" if weight.stands_out else "" for weight in found.weights]
    return Grid.of(["knob", right("importance"), right("noise floor"), ""], rows, marks)
