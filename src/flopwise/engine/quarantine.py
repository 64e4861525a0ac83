"""Which slot is not to be used any more: one that keeps failing while the others do not.

Pure decisions over :class:`~flopwise.journal.slot_health.SlotHealth`. A slot is quarantined for the rest of the
session; the next session begins with all of them.
"""

from __future__ import annotations

from flopwise.events import SlotQuarantined
from flopwise.journal.slot_health import SlotHealth

LEAST_FAILURES = 3
"""Different trials that fail in a row on a slot before it is suspected."""

LEAST_ELSEWHERE = 3
"""Attempts that must have ended on other slots meanwhile: there is nothing to compare with before."""

MOST_CHANCE = 0.02
"""How often the slot of a whole session may look so bad by chance."""


def chance(health: SlotHealth, slot: int) -> float:
    """How many such rows of failures to expect in this session if the slot were as good as the others.

    The others' rate of failures is Laplace's estimate of what ended there since the row began, or in the whole session
    if that is more. Every end of an attempt is another occasion to be misled (Bonferroni).
    """
    streak, (ended, failed) = health.streak(slot), health.elsewhere(slot)
    rate = max((streak.failed_elsewhere + 1) / (streak.elsewhere + 2), (failed + 1) / (ended + 2))
    return float(health.count * rate**streak.length)


def quarantine(health: SlotHealth, slot: int, session: int) -> SlotQuarantined | None:
    """The event that takes a slot out of use; None while there is no reason to, or it is the last one.

    Args:
        health: Of the session's slots.
        slot: On which an attempt has just ended.
        session: The session's number.
    """
    streak = health.streak(slot)
    if not _failing(health, slot) or streak.elsewhere < LEAST_ELSEWHERE or chance(health, slot) > MOST_CHANCE:
        return None
    well = streak.elsewhere - streak.failed_elsewhere
    cause = (
        f"the last {streak.length} trials on slot {slot} failed, while {well} of {streak.elsewhere} attempts "
        "ended well on the others"
    )
    evidence = {
        "trials": sorted(set(streak.trials)),
        "attempts": list(streak.attempts),
        "elsewhere": streak.elsewhere,
        "failed_elsewhere": streak.failed_elsewhere,
        "ended": health.count,
        "chance": chance(health, slot),
    }
    return SlotQuarantined(slot, session, cause, evidence)


def suspected(health: SlotHealth, slot: int) -> bool:
    """Whether a slot gets nothing new for now, because the ends of what runs elsewhere will tell whose fault it is."""
    others = len(health.usable) - 1
    return _failing(health, slot) and health.streak(slot).elsewhere < max(LEAST_ELSEWHERE, others)


def _failing(health: SlotHealth, slot: int) -> bool:
    usable, streak = health.usable, health.streak(slot)
    return slot in usable and len(usable) > 1 and streak.length >= LEAST_FAILURES and streak.alone
