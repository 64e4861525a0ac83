"""A packing whose numbers do not follow from its seconds, or a choice that they do not speak for, is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flopwise.engine.verify.packing import check_packing, expected_packing
from flopwise.engine.verify.records import Record
from flopwise.engine.verify.run import Run
from flopwise.events import Event, PackingChosen, PackingMeasured, SessionOpened
from flopwise.report.packing import Packings

OPENED = SessionOpened(1, 1, "box", "boot", "", {"cores": 4}, [], "", 0.0)
ONE = PackingMeasured(1, 4, [4.0], 900.0, 7, "", 4.0, 0.0, 5.0)
TWO = PackingMeasured(2, 2, [7.0, 9.0], 900.0, 9, "", 16.0, 0.0, 3.0)
FOUR = PackingMeasured(4, 1, [], 0.0, None, "memory: too much", 0.0, 0.0, 4.0)
CHOSEN = PackingChosen(1, 4, 4, "900 evaluations an hour, the most of 3 tried")


def run(*events: Event) -> Run:
    records = [Record(number, 0, event) for number, event in enumerate(events, start=1)]
    return Run(records, studies=[(1, {"execution": {"price_per_hour": 3.6}}, "")])


def problems(*events: Event) -> list[str]:
    return [difference.what for difference in check_packing(run(OPENED, *events))]


def test_what_the_engine_writes_holds() -> None:
    assert problems(TWO, FOUR, ONE, CHOSEN) == []


@pytest.mark.parametrize(
    ("events", "what"),
    [
        ((replace(TWO, evaluations_per_hour=901.0),), "evaluations_per_hour"),
        ((replace(TWO, seconds=[7.0]),), "seconds"),
        ((replace(FOUR, evaluations_per_hour=1.0),), "evaluations_per_hour"),
        ((TWO, ONE, replace(CHOSEN, slots=2, threads=2)), "slots"),
        ((TWO, ONE, replace(CHOSEN, threads=3)), "threads"),
        ((TWO, ONE, replace(CHOSEN, cores=8)), "cores"),
        ((FOUR, CHOSEN), "reason"),
        ((TWO, replace(CHOSEN, reason="not measured, because I say so")), "reason"),
        ((replace(CHOSEN, slots=5, reason="not measured"),), "slots"),
    ],
)
def test_what_does_not_follow_is_named(events: tuple[Event, ...], what: str) -> None:
    assert what in problems(*events)


def test_both_derive_the_same_section_of_the_report() -> None:
    packings = Packings()
    for event in (OPENED, TWO, FOUR, ONE, CHOSEN):
        packings.apply(event)
    section = expected_packing(run(OPENED, TWO, FOUR, ONE, CHOSEN))
    assert section == packings.to_json(3.6)
    assert section is not None and section["pairs"][1]["slowdown"] == 2.0
