"""What the user changed in a run, applied in order: amendments of the study, and slots taken out of use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flopwise.engine.verify.difference import Difference, compare
from flopwise.engine.verify.parts import Session
from flopwise.engine.verify.records import Record
from flopwise.events import Amended, SlotExcluded


def amended(study: Mapping[str, Any], event: Amended, record: Record) -> tuple[dict[str, Any], list[Difference]]:
    """A study after changes, and which of them did not change what was there."""
    changed, problems = dict(study), []
    for change in event.changes:
        section, _, name = str(change["key"]).partition(".")
        if section not in ("limits", "policies"):
            problems.append(Difference(record.where, "key", "one of limits or policies", str(change["key"])))
            continue
        problems += compare(record.where, changed[section].get(name), change["before"], f"{change['key']} before")
        changed[section] = {**changed[section], name: change["after"]}
    return changed, problems


def left_out(session: Session, excluded: SlotExcluded) -> list[int]:
    """Slots of a session that share a core or an accelerator with one that was excluded; without any, its index."""
    opened, found = session.opened, []
    for slot in opened.slots:
        if excluded.cores or excluded.accelerators:
            parts = {*slot["cores"], *slot.get("accelerators", ())}
            if opened.host == excluded.host and parts & {*excluded.cores, *excluded.accelerators}:
                found.append(slot["index"])
        elif slot["index"] == excluded.slot:
            found.append(slot["index"])
    return found
