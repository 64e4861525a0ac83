"""How far a cheap stop can stand for the full one: the same configs on the same seeds at both."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flopwise.stats.rank import Agreement, agreement


@dataclass(frozen=True)
class Proxy:
    """What the plan says of a proxy.

    Args:
        stop: The cheap one.
        agreement: None with fewer than three configs that ended ok at both stops.
        seconds: Mean device-seconds of an evaluation at the cheap stop.
        saved: Share of an evaluation's device time that the cheap stop saves; negative where it saves none.
        pause_below: The least Spearman correlation with which the study wants to go on.
    """

    stop: dict[str, float]
    agreement: Agreement | None
    seconds: float
    saved: float
    pause_below: float

    @property
    def trusted(self) -> bool:
        """Whether the correlation is what the study asks for."""
        found = self.agreement
        return found is not None and found.spearman is not None and found.spearman >= self.pause_below


def compare_stops(
    study: Mapping[str, Any],
    pairs: Sequence[tuple[Sequence[float | None], Sequence[float | None]]],
    seconds: float,
    full_s: float,
) -> Proxy:
    """Compare what configs gave at the cheap and at the full stop.

    Args:
        study: Canonical, with a ``proxy`` section.
        pairs: Losses of each config at the cheap and at the full stop, one a seed; None where one failed.
        seconds: Mean device-seconds of an evaluation at the cheap stop.
        full_s: The same at the full one.
    """
    section = study["proxy"]
    means = [(_mean(cheap), _mean(full)) for cheap, full in pairs]
    both = [(cheap, full) for cheap, full in means if cheap is not None and full is not None]
    return Proxy(
        stop=dict(section["stop"]),
        agreement=agreement(
            [cheap for cheap, _ in both],
            [full for _, full in both],
            top=section["recheck"],
            seed=study["search"]["seed"],
        ),
        seconds=seconds,
        saved=1.0 - seconds / full_s if full_s > 0 else 0.0,
        pause_below=section["pause_below"],
    )


def _mean(losses: Sequence[float | None]) -> float | None:
    """Of all seeds; None where one failed."""
    known = [loss for loss in losses if loss is not None]
    return statistics.fmean(known) if known and len(known) == len(losses) else None
