"""An oracle for runs: every record, proposal, charge and reported number derived again, by code of its own.

It shares the words of the house (events, seeds, space), the study's reading and the searchers with the
engine, and nothing else: no replay, no ledger, no report. What it finds is a list of differences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from flopwise.engine.verify.charges import check_charges
from flopwise.engine.verify.confirmation import check_phases, check_verdict
from flopwise.engine.verify.difference import Difference
from flopwise.engine.verify.document import check_report
from flopwise.engine.verify.lifecycles import check_lifecycles, check_study
from flopwise.engine.verify.packing import check_packing
from flopwise.engine.verify.plan import check_plan
from flopwise.engine.verify.policies import check_policies
from flopwise.engine.verify.probes import check_announced, check_probes
from flopwise.engine.verify.proposals import check_proposals
from flopwise.engine.verify.records import Record, read_records
from flopwise.engine.verify.run import Run, fold
from flopwise.engine.verify.settled import check_settled
from flopwise.engine.verify.summaries import check_summaries
from flopwise.engine.verify.timing import check_timing
from flopwise.errors import FlopwiseError
from flopwise.paths import RunFolder

__all__ = ["Difference", "verify"]

Check = Callable[[Run], Iterator[Difference]]


def verify(folder: RunFolder) -> list[Difference]:
    """Everything in a run folder that does not hold; empty when all of it does.

    An unterminated last record is none: it was never acknowledged, and opening the run drops it.

    Args:
        folder: A run folder; nothing in it is changed or locked.

    Returns:
        Damaged records first. After a record that can no longer be read as an event, or an altered
        study, nothing else can be derived and only those are listed.

    Raises:
        OSError: If the journal cannot be read.
    """
    report = folder.report_json.read_bytes() if folder.report_json.is_file() else None
    reading = read_records(folder)
    if reading.lost or not reading.records:
        return reading.differences or [Difference(folder.journal.name, "records", "at least one", "none")]
    found = [*reading.differences, *check_study(reading.records)]
    if len(found) == len(reading.differences):
        found += _guarded("events", lambda: _derived(reading.records, folder, report))
    return found


def _derived(records: Sequence[Record], folder: RunFolder, report: bytes | None) -> Iterator[Difference]:
    """All that follows from an unaltered study."""
    run, contradictions = fold(records)
    yield from contradictions
    for name, check in _checks(folder).items():
        yield from _guarded(name, partial(check, run))
    if report is not None:
        yield from _guarded("report.json", partial(check_report, run, report))


def _checks(folder: RunFolder) -> dict[str, Check]:
    return {
        "lifecycles": check_lifecycles,
        "proposals": check_proposals,
        "charges": lambda run: check_charges(run, folder),
        "summaries": lambda run: check_summaries(run, folder),
        "policies": check_policies,
        "packing": check_packing,
        "probes": check_probes,
        "announced": check_announced,
        "plan": check_plan,
        "phases": check_phases,
        "verdict": check_verdict,
        "timing": check_timing,
        "questions": check_settled,
    }


def _guarded(name: str, check: Callable[[], Iterator[Difference]]) -> list[Difference]:
    """A check's findings; a journal that makes no sense to it is a finding as well."""
    found: list[Difference] = []
    try:
        found.extend(check())
    except (FlopwiseError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        found.append(
            Difference(name, "re-derivation", "a journal that can be followed", f"{type(error).__name__}: {error}")
        )
    return found
