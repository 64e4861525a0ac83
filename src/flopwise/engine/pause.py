"""Going on after a pause: what was its cause has to be accepted, or something has to have changed."""

from __future__ import annotations

from collections.abc import Sequence

from flopwise.engine.request import Request
from flopwise.errors import InputError, RunError, StillPaused
from flopwise.events import Event, PauseAccepted, PolicyRaised, SlotExcluded
from flopwise.journal.replay import RunState
from flopwise.journal.states import EXCLUDED
from flopwise.registry import did_you_mean
from flopwise.report.pause import evidence_lines, ways_on


def answers(state: RunState, request: Request, run: str) -> list[Event]:
    """The user's answer to a pause, to be journaled when the next session begins.

    A pause is lifted by accepting it; by excluding a slot, after which the policy counts anew; or by amending its
    policy, which is then asked again with its new options.

    Args:
        state: Of the run.
        request: What the user asks for: ``accept`` and ``exclude``.
        run: Its name, for messages.

    Raises:
        StillPaused: If none of these happened.
        InputError: If there is nothing of that name to accept, or no such slot to exclude.
    """
    excluded = [_exclusion(state, slot) for slot in dict.fromkeys(request.exclude)]
    _leaves_a_slot(state, request.exclude)
    paused = state.paused
    _check_accepted(paused, request.accept, run)
    if paused is None:
        return [*excluded]
    if request.accept or excluded:
        return [*excluded, PauseAccepted(paused.policy)]
    if not state.changed:
        raise _still_paused(paused, run)
    return []


def _check_accepted(paused: PolicyRaised | None, accept: str | None, run: str) -> None:
    if accept is None or (paused is not None and accept == paused.policy):
        return
    if paused is None:
        raise RunError(
            f"{run} is not paused: there is nothing to accept",
            got=f"accept {accept}",
            fix=f"`flopwise resume {run}` goes on with it",
        )
    raise InputError(
        f"{run} is paused by {paused.policy}, not by {accept}",
        expected=paused.policy,
        got=accept,
        fix=did_you_mean(accept, [paused.policy]) or f"`flopwise resume {run} --accept {paused.policy}`",
    )


def _still_paused(paused: PolicyRaised, run: str) -> StillPaused:
    ways = ways_on({"policy": paused.policy, "evidence": paused.evidence}, run)
    return StillPaused(
        f"{run} is paused by {paused.policy}: {paused.cause}",
        expected="its cause accepted, or something changed",
        got="\n    ".join(["neither, and this evidence:", *evidence_lines(paused.evidence)]),
        fix="\n    ".join(["one of these", *(f"if {when}: {way}" for when, way in ways)]),
    )


def _exclusion(state: RunState, slot: int) -> SlotExcluded:
    opened = state.sessions[-1].opened if state.sessions else None
    known = {each["index"]: each for each in opened.slots} if opened else {}
    if opened is None or slot not in known:
        there = ", ".join(map(str, known)) or "none yet"
        raise InputError(f"no slot {slot} in the last session", expected=f"one of {there}", got=str(slot))
    found = known[slot]
    cores, accelerators = list(found["cores"]), list(found.get("accelerators", ()))
    return SlotExcluded(slot, opened.session, opened.host, cores, accelerators)


def _leaves_a_slot(state: RunState, exclude: Sequence[int]) -> None:
    if not exclude or not state.sessions:
        return
    left = {slot["index"] for slot in state.sessions[-1].opened.slots} - set(exclude)
    left -= {slot for slot, why in state.quarantined.items() if why.cause == EXCLUDED}
    if not left:
        raise InputError(
            "that would exclude the last slot: nothing could run any more",
            expected="at least one slot that stays",
            fix="run the study elsewhere, or with other execution.slots",
        )
