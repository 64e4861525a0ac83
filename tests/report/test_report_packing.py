"""The table of the packing: what was measured, its price, what was taken and why the others were not."""

from __future__ import annotations

from typing import Any

from flopwise.budget.plan import Calibration, make_plan
from flopwise.events import Event, PackingChosen, PackingMeasured, SessionOpened
from flopwise.report.document import render_markdown
from flopwise.report.packing import Packings
from flopwise.report.summary import summarise
from flopwise.report.tables import plan_text

GIB = 2**30
MEASURED = [
    PackingMeasured(16, 8, [100.0] * 16, 576.0, 3 * GIB, "", 1600.0, 0.1, 1.0),
    PackingMeasured(32, 4, [150.0] * 32, 768.0, 3 * GIB, "", 4800.0, 0.15, 2.0),
    PackingMeasured(64, 2, [], 0.0, None, "memory: 64 × 3.0 GiB, and 144.0 GiB are free to use", 0.0, 0.0, 3.0),
]
CHOSEN = PackingChosen(32, 4, 128, "768 evaluations an hour, the most of 3 tried")


def opened(cores: int, session: int = 1) -> SessionOpened:
    return SessionOpened(session, 1, "box", "boot", "", {"cores": cores}, [], "", 0.0)


def folded(*events: Event) -> dict[str, Any] | None:
    packings = Packings()
    for event in events:
        packings.apply(event)
    return packings.to_json(3.50)


def test_each_pair_has_its_rate_slowdown_and_price() -> None:
    packing = folded(opened(128), *MEASURED, CHOSEN)
    assert packing is not None
    assert (packing["cores"], packing["slots"], packing["threads"]) == (128, 32, 4)
    first, second, third = packing["pairs"]
    assert first["slowdown"] == 1.0 and second["slowdown"] == 1.5
    assert second["price_per_100"] == 100 * 3.50 / 768
    assert third["seconds"] is third["slowdown"] is third["price_per_100"] is None


def test_the_last_word_on_a_pair_counts_and_only_of_such_a_machine() -> None:
    interrupted = PackingMeasured(16, 8, [3.0] * 16, 0.0, None, "interrupted: SIGINT", 48.0, 0.0, 0.5)
    elsewhere = PackingMeasured(2, 1, [5.0, 5.0], 1440.0, None, "", 10.0, 0.0, 0.1)
    packing = folded(opened(2), elsewhere, opened(128, 2), interrupted, *MEASURED, CHOSEN)
    assert packing is not None
    assert [pair["slots"] for pair in packing["pairs"]] == [16, 32, 64]
    assert packing["pairs"][0]["cause"] == ""


def test_without_packing_there_is_nothing_to_say() -> None:
    assert folded(opened(2)) is None


def test_the_plan_shows_it_in_80_columns(story: Any) -> None:
    told = story()
    plan = make_plan(told.study, Calibration((150.0, 150.0), (2.5, 2.4)), slots=32)
    text = plan_text(plan, told.study, folded(opened(128), *MEASURED, CHOSEN))
    assert max(map(len, text.splitlines())) <= 80
    assert (
        """\
slots × threads  evaluations/h        each  slowdown   memory  price of 100
         16 × 8            576  1 min 40 s      1.00  3.0 GiB         $0.61
       * 32 × 4            768  2 min 30 s      1.50  3.0 GiB         $0.46
         64 × 2              –           –         –        –             –

32 × 4 is taken: 768 evaluations an hour, the most of 3 tried.
64 × 2: memory: 64 × 3.0 GiB, and 144.0 GiB are free to use."""
        in text
    )


def test_the_report_has_it_too(story: Any) -> None:
    told = story().opened()
    session = told.events.pop()
    told.events += [session, *MEASURED, PackingChosen(32, 4, 2, "made up")]
    summary = summarise(told.events)
    assert [pair["slots"] for pair in summary["packing"]["pairs"]] == [16, 32, 64]
    assert "## Packing\n\n- 32 × 4 is taken: made up.\n- 64 × 2: memory:" in render_markdown(summary)
