"""What views, status and report say about slots: load, switches, contention, quarantine."""

from __future__ import annotations

import json
import os
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flopwise.contention import CONTENDED_ABOVE, is_contended
from flopwise.events import SessionOpened, SlotQuarantined
from flopwise.report.document import render_markdown
from flopwise.report.gauges import slots_line
from flopwise.report.slot_use import slot_grid, slot_sentences, slot_use, with_meter
from flopwise.report.slots import BOOT_ID, SlotMeter, tree_switches
from flopwise.report.summary import summarise
from flopwise.report.tables import status_text

SEEN = {"cpu_s": 5.0, "switches": [30, 70], "contention": 0.02}
CAUSE = "the last 3 trials on slot 1 failed, while 6 of 6 attempts ended well on the others"


def crowded(story: Any) -> Any:
    """A search in which others were in the way of one trial, and slot 1 was quarantined."""
    run = story().opened().data().calibrated(2.5, 2.52).tier().phase("search")
    for number in (1, 2, 3):
        run.proposed(number, "search", **{"model.n_layer": number, "train.lr": 0.001})
    run.ran(1, 2.45, **SEEN).ran(2, 2.4, **{**SEEN, "contention": 0.5})
    run.events.append(SlotQuarantined(1, 1, CAUSE, {}))
    return run.started(3)


def pipe(width: int = 80) -> Console:
    return Console(file=StringIO(), width=width, color_system=None)


def test_each_slots_attempts_are_summed_by_what_is_known_of_them(story: Any) -> None:
    first, second = slot_use(crowded(story).state)
    assert first == {
        "slot": 0,
        "attempts": 4,
        "failed": 0,
        "seconds": 40.0,
        "load": pytest.approx(0.5),
        "switches_per_s": pytest.approx(10.0),
        "contention": pytest.approx(0.26),
        "running": "t0003.s0.a1",
        "quarantined": None,
    }
    assert (second["attempts"], second["load"], second["quarantined"]) == (0, None, CAUSE)


def test_failures_are_counted_and_interruptions_are_not(story: Any) -> None:
    run = story().opened().data().calibrated(2.5).tier().phase("search").proposed(1, "search").proposed(2, "search")
    run.ran(1, None, outcome="error").ran(2, None, outcome="killed", interrupted=True)
    assert [(row["attempts"], row["failed"]) for row in slot_use(run.state)] == [(3, 1), (0, 0)]


def test_only_the_last_session_is_shown_and_none_without_one(story: Any) -> None:
    run = crowded(story).ended(3, 0, 2.0).closed("paused").opened()
    assert [row["attempts"] for row in slot_use(run.state)] == [0, 0]
    assert all(row["quarantined"] is None for row in slot_use(run.state))
    assert slot_use(story().state) == []


def test_status_shows_the_slots_in_80_columns(story: Any) -> None:
    text = status_text(summarise(crowded(story).events), pipe())
    assert all(len(line) <= 80 for line in text.splitlines())
    assert (
        """\
slot  attempts  failed  CPU  switches/s  contention  now
   0         4       –  50%          10       ! 26%  t0003.s0.a1
   1         0       –    –           –           –  quarantined

1 of 2 measured attempts were contended (!): other processes took more than 10%
of their cores' time, so their seconds say little about their configs.

Slot 1 is quarantined until the next session: the last 3 trials on slot 1
failed, while 6 of 6 attempts ended well on the others.
"""
        in text
    )


def test_a_contended_trial_is_marked_beside_its_time(story: Any) -> None:
    summary = summarise(crowded(story).events)
    assert [trial["contended"] for trial in summary["trials"]] == [0, 0, 1, 0]
    assert summary["contention"] == {"contended": 1, "known": 2, "above": CONTENDED_ABOVE}
    lines = status_text(summary, pipe()).splitlines()
    assert any("2.400  best" in line and line.endswith("! 10.0 s") for line in lines)
    assert any("2.450  ok" in line and not line.endswith("! 10.0 s") for line in lines)


def test_the_report_has_a_section_of_slots(story: Any) -> None:
    text = render_markdown(summarise(crowded(story).events))
    section = text.split("## Slots")[1].split("## ")[0]
    assert "1 of 2 measured attempts were contended" in section
    assert "Slot 1 is quarantined" in section
    assert "switches/s" in section


def test_a_calm_run_says_nothing_of_contention(story: Any) -> None:
    assert list(slot_sentences(summarise(story().searched().events))) == []


@pytest.mark.parametrize(("share", "marked"), [(None, False), (0.0, False), (0.1, False), (0.11, True), (1.0, True)])
def test_from_which_share_on_an_attempt_is_contended(share: float | None, marked: bool) -> None:
    assert is_contended(share) is marked


def test_a_quarantined_slot_has_a_cross_for_a_bar(story: Any) -> None:
    assert slots_line(crowded(story).state, None) == "░×  1 of 2 busy  ·  1 quarantined"


def test_views_tell_of_a_quarantine(story: Any, play: Any, plain_view: Any, live_view: Any) -> None:
    for made in (plain_view, live_view):
        view, file, clock = made(120)
        view.open()
        play(view, crowded(story).events, clock)
        view.close()
        assert f"slot 1 is quarantined: {CAUSE[:30]}" in file.getvalue()


def test_what_runs_now_stands_in_place_of_what_has_ended(story: Any, run_folder: Any) -> None:
    run = crowded(story)
    opened = next(event for event in run.events if isinstance(event, SessionOpened))
    object.__setattr__(opened, "boot_id", BOOT_ID.read_text().strip())
    folder = run_folder(run.events)
    folder.stamps.write_text(json.dumps({"event": "start", "at": 90.0, "attempt": "t0003.s0.a1", "pid": 77}) + "\n")
    switches = {77: 400}
    meter = SlotMeter(lambda _: folder, {77: 9.0}.get, switches.get)
    meter.look(run.state, 100.0)
    summary = summarise(run.events)
    first, second = with_meter(summary["slot_use"], summary["slots"], meter)
    assert (first["load"], first["switches_per_s"]) == (pytest.approx(0.9), pytest.approx(40.0))
    assert second == summary["slot_use"][1]
    switches[77] = 500
    meter.look(run.state, 105.0)
    assert meter.switches_per_s("t0003.s0.a1") == pytest.approx(20.0)
    switches.clear()
    meter.look(run.state, 110.0)
    assert meter.switches_per_s("t0003.s0.a1") is None
    assert slot_grid([first, second]).rows[0][3:5] == ("90%", "40")


def test_switches_of_a_process_that_is_gone_are_unknown(tmp_path: Path) -> None:
    mine = tree_switches(os.getpid())
    assert mine is not None and mine > 0
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert tree_switches(child) is None
