"""What a study may spend, and what something costs: the same five quantities everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

ROUNDING = 1.0 + 1e-9
"""What sums of amounts may be off by: a reserve for n evaluations must admit the n-th."""


@dataclass(frozen=True)
class Spent:
    """An amount of budget: spent, reserved or needed.

    Args:
        evaluations: Seeds of trials evaluated.
        device_s: Seconds on one slot, summed over attempts.
        wall_s: Seconds of the study's sessions.
        price: Money, for the whole machine, idle time included.
        flops: Training FLOPs of all attempts.
    """

    evaluations: int = 0
    device_s: float = 0.0
    wall_s: float = 0.0
    price: float = 0.0
    flops: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.evaluations + other.evaluations,
            self.device_s + other.device_s,
            self.wall_s + other.wall_s,
            self.price + other.price,
            self.flops + other.flops,
        )

    def to_json(self) -> dict[str, Any]:
        """Field to number."""
        return asdict(self)


@dataclass(frozen=True)
class Limits:
    """The most a study may spend over all its sessions; None where nothing is limited.

    Args:
        evaluations: Seeds of trials evaluated, calibration and confirmation included.
        device_hours: Hours on one slot, summed over attempts.
        wall_clock_s: Seconds of all sessions together.
        price: Money for the whole machine.
        price_per_hour: Of the whole machine; turns what money remains into time.
        flops: Training FLOPs of all attempts, those that failed or were lost included.
    """

    evaluations: int | None = None
    device_hours: float | None = None
    wall_clock_s: float | None = None
    price: float | None = None
    price_per_hour: float = 0.0
    flops: float | None = None

    @classmethod
    def from_study(cls, study: Mapping[str, Any]) -> Limits:
        """The limits of a canonical study."""
        limits = study["limits"]
        return cls(
            evaluations=limits["evaluations"],
            device_hours=limits["device_hours"],
            wall_clock_s=limits["wall_clock"],
            price=limits["price"],
            price_per_hour=study["execution"]["price_per_hour"],
            flops=limits.get("flops"),
        )

    def time_left(self, used: Spent) -> dict[str, float]:
        """Seconds that each limit on time or money still allows after ``used``; may be negative.

        Money is paid for the whole machine by the hour, so a limit on it is a limit on wall-clock
        time; at a price of zero it never binds.
        """
        left: dict[str, float] = {}
        if self.device_hours is not None:
            left["device_hours"] = self.device_hours * 3600.0 - used.device_s
        if self.wall_clock_s is not None:
            left["wall_clock"] = self.wall_clock_s - used.wall_s
        if self.price is not None and self.price_per_hour > 0:
            left["price"] = (self.price - used.price) * 3600.0 / self.price_per_hour
        return left

    def exceeded(self, needed: Spent) -> list[str]:
        """One sentence for each limit that ``needed`` does not fit in."""
        rows = (
            ("evaluations", self.evaluations, needed.evaluations, ""),
            ("device_hours", self.device_hours, needed.device_s / 3600.0, " h"),
            ("wall_clock", self.wall_clock_s, needed.wall_s, " s"),
            ("price", self.price, needed.price, ""),
            ("flops", self.flops, needed.flops / ROUNDING, ""),
        )
        return [
            f"limits.{name} is {limit:.6g}{unit}, {amount:.6g}{unit} needed"
            for name, limit, amount, unit in rows
            if limit is not None and amount > limit
        ]
