"""Which evaluation goes where: pure rules about slots that are in doubt and evaluations that must run alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from flopwise.engine.quarantine import suspected
from flopwise.journal.replay import RunState, TrialState
from flopwise.wire import Slot

Evaluation = tuple[TrialState, int]
"""A trial and the index of one of its seeds."""


def next_up(waiting: Iterable[Evaluation], state: RunState) -> Iterable[Evaluation]:
    """What may be started now, in order.

    An evaluation that two keepers have died with is run with nothing beside it, before anything else: then it
    is clear whether it is what kills them.
    """
    if not state.suspects:
        return waiting
    if any((attempt.id.trial, attempt.id.seed_index) in state.suspects for attempt in state.running()):
        return ()
    suspects = [(trial, index) for trial, index in waiting if (trial.trial.number, index) in state.suspects]
    return () if state.running() else suspects[:1]


def free_slots(slots: Sequence[Slot], busy: Collection[int], state: RunState) -> list[Slot]:
    """Slots that may be given something: idle, not quarantined, and not suspected while others can tell."""
    idle = [slot for slot in slots if slot.index not in busy and slot.index not in state.quarantined]
    doubtful = {index for index in state.slots.failing if suspected(state.slots, index)} if busy else ()
    return [slot for slot in idle if slot.index not in doubtful]


def slot_for(evaluation: Evaluation, free: Sequence[Slot], state: RunState, down: Collection[int] = ()) -> Slot | None:
    """The slot for an evaluation; None when it has to wait.

    It waits where it has just failed on the only slot that is free: a broken one is free sooner than all others, and
    would have every attempt. What was lost with a node waits for another node, as long as there is one.

    Args:
        evaluation: Trial and seed index.
        free: From :func:`free_slots`.
        state: Of the run.
        down: Slots that cannot be used at the moment.
    """
    trial, seed_index = evaluation
    shunned = trial.shunned(seed_index)
    if shunned is None:
        return next(iter(free), None)
    avoided = _with_it(shunned, state) if trial.lost("node", seed_index) else {shunned}
    alone = not state.slots.usable - avoided - set(down)
    return next((slot for slot in free if slot.index not in avoided or alone), None)


def _with_it(slot: int, state: RunState) -> set[int]:
    """The slots of the same host, as the session began; the slot alone where there are no hosts."""
    slots = state.sessions[-1].opened.slots
    host = slots[slot].get("host") if slot < len(slots) else None
    return {slot} if host is None else {index for index, each in enumerate(slots) if each.get("host") == host}
