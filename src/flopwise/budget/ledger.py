"""The account of a run: a fold over its events, so that every charge is counted once.

Device time, price and training FLOPs of an attempt are charged when it ends, with the numbers journaled there; so is
what a late result says it took beyond that, and each measured way of cutting the machine. The machine is paid for as
long as a session lasts; what no attempt was charged for is idle time.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from flopwise.budget.limits import Spent
from flopwise.events import (
    Alive,
    AttemptEnded,
    AttemptStarted,
    Event,
    LateResult,
    PackingMeasured,
    PackingStarted,
    RunCreated,
    SessionClosed,
    SessionLost,
    SessionOpened,
    StudyRevised,
    TrialProposed,
)
from flopwise.trial import AttemptId

PACKING = "packing"
"""Account of what measuring ways of cutting the machine cost; it belongs to no trial's phase."""


def charge(seconds: float, slots: int, price_per_hour: float) -> tuple[float, float]:
    """What an attempt on one slot costs: ``(device_s, price)``.

    Args:
        seconds: Wall seconds from the fork to the end of its process.
        slots: Slots of the session; each bears an equal share of the machine's price.
        price_per_hour: Of the whole machine.

    Raises:
        ValueError: On negative seconds or no slots.

    Example:
        >>> charge(1800.0, 2, 0.20)
        (1800.0, 0.05)
    """
    if seconds < 0 or slots < 1:
        raise ValueError(f"cannot charge {seconds} s on {slots} slots")
    return seconds, price_per_hour / 3600.0 * seconds / slots


@dataclass
class Account:
    """Charges of one phase, or of the whole run.

    Args:
        attempts: Attempts ended, interrupted ones included.
        evaluations: Seeds of trials with an attempt that ended and was not interrupted.
        device_s: Seconds on one slot.
        price: Money.
        train_flops: Training FLOPs; None while none is known.
    """

    attempts: int = 0
    evaluations: int = 0
    device_s: float = 0.0
    price: float = 0.0
    train_flops: float | None = None


@dataclass
class Session:
    """One coordinator's time: monotonic seconds of its own boot."""

    opened_at: float
    latest_at: float
    price_per_hour: float
    closed: bool = False

    @property
    def wall_s(self) -> float:
        return self.latest_at - self.opened_at


@dataclass
class Ledger:
    """What a run has spent, from its events alone.

    Example:
        >>> ledger = Ledger()
        >>> ledger.spent()
        Spent(evaluations=0, device_s=0.0, wall_s=0.0, price=0.0, flops=0.0)
    """

    total: Account = field(default_factory=Account)
    phases: defaultdict[str, Account] = field(default_factory=lambda: defaultdict(Account))
    sessions: dict[int, Session] = field(default_factory=dict)
    _price_per_hour: float = 0.0
    _phase_of: dict[int, str] = field(default_factory=dict)
    _session_of: dict[str, int] = field(default_factory=dict)
    _evaluated: dict[int, int] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """Fold one more event in; those that cost nothing change nothing."""
        match event:
            case RunCreated() | StudyRevised():
                self._reprice(float(event.study["execution"]["price_per_hour"]))
            case SessionOpened():
                self.sessions[event.session] = Session(event.t, event.t, self._price_per_hour)
            case SessionClosed() | SessionLost():
                self._stamp(event.session, event.t)
                self.sessions[event.session].closed = True
            case Alive():
                self._stamp(max(self.sessions, default=0), event.t)
            case TrialProposed():
                self._phase_of[event.number] = event.phase
            case AttemptStarted():
                self._session_of[event.attempt] = event.session
            case AttemptEnded():
                self._ended(event)
            case LateResult():
                self._late(event)
            case PackingStarted():
                self._stamp(event.session, event.t)
            case PackingMeasured():
                self._add(PACKING, event)
                self._stamp(max(self.sessions, default=0), event.t)

    def wall_s(self, now: float | None = None) -> float:
        """Seconds of all sessions; the open one counts until ``now`` or its latest known moment.

        Args:
            now: The current session's monotonic clock; None for what the journal alone knows.
        """
        return sum((self._session_s(number, now) for number in self.sessions), 0.0)

    def machine_price(self, now: float | None = None) -> float:
        """What the machine cost during all sessions."""
        return sum(
            session.price_per_hour / 3600.0 * self._session_s(number, now) for number, session in self.sessions.items()
        )

    def idle_price(self, now: float | None = None) -> float:
        """Machine time that no attempt was charged for; never negative."""
        return max(0.0, self.machine_price(now) - self.total.price)

    def price(self, now: float | None = None) -> float:
        """What the run cost: attempts and idle time."""
        return self.total.price + self.idle_price(now)

    def spent(self, now: float | None = None) -> Spent:
        """The amounts that limits are about."""
        total = self.total
        flops = total.train_flops or 0.0
        return Spent(total.evaluations, total.device_s, self.wall_s(now), self.price(now), flops)

    def evaluated(self, trial: int, seed_index: int) -> bool:
        """Whether a seed of a trial is counted already, so that another attempt of it is a retry."""
        return bool(self._evaluated.get(trial, 0) >> seed_index & 1)

    def _session_s(self, number: int, now: float | None) -> float:
        """Seconds of one session; ``now`` belongs to the last one opened."""
        session = self.sessions[number]
        if session.closed or now is None or number != max(self.sessions):
            return session.wall_s
        return max(session.wall_s, now - session.opened_at)

    def _reprice(self, price_per_hour: float) -> None:
        self._price_per_hour = price_per_hour
        for session in self.sessions.values():
            if not session.closed:
                session.price_per_hour = price_per_hour

    def _stamp(self, number: int, t: float) -> None:
        session = self.sessions.get(number)
        if session is not None and not session.closed:
            session.latest_at = max(session.latest_at, t)

    def _ended(self, event: AttemptEnded) -> None:
        attempt = AttemptId.parse(event.attempt)
        counts = not event.interrupted and not self.evaluated(attempt.trial, attempt.seed_index)
        if counts:
            self._evaluated[attempt.trial] = self._evaluated.get(attempt.trial, 0) | 1 << attempt.seed_index
        phase = self._phase_of.get(attempt.trial, "unknown")
        for account in (self.total, self.phases[phase]):
            account.attempts += 1
            account.evaluations += counts
        self._add(phase, event)
        self._stamp(self._session_of.pop(event.attempt, 0), event.ended_at)

    def _late(self, event: LateResult) -> None:
        """What an attempt took beyond the end it was charged until; it is not another evaluation."""
        attempt = AttemptId.parse(event.attempt)
        self._add(self._phase_of.get(attempt.trial, "unknown"), event)
        self._stamp(max(self.sessions, default=0), event.t)

    def _add(self, phase: str, event: AttemptEnded | LateResult | PackingMeasured) -> None:
        for account in (self.total, self.phases[phase]):
            account.device_s += event.device_s
            account.price += event.price
            flops = None if isinstance(event, PackingMeasured) else event.train_flops
            if flops is not None:
                account.train_flops = (account.train_flops or 0.0) + flops
