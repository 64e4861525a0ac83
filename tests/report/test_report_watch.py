"""Looking on: the journal as it grows, the views of the run, and how busy its slots are."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flopwise.clock import SimulatedClock
from flopwise.errors import JournalDamaged
from flopwise.events import SessionOpened
from flopwise.journal.follow import Follower
from flopwise.journal.log import Journal, read_events
from flopwise.paths import RunFolder
from flopwise.report.gauges import bar, limit_shares
from flopwise.report.live import LiveView
from flopwise.report.plain import PlainView
from flopwise.report.slots import BOOT_ID, SlotMeter, tree_cpu_s
from flopwise.report.watch import Watch


def test_a_follower_gives_every_event_once_whatever_the_cuts(story: Any, run_folder: Any, tmp_path: Path) -> None:
    whole = run_folder(story().finished().events).journal.read_bytes()
    path = tmp_path / "growing.log"
    for step in (61, 977, 10**6):
        path.write_bytes(b"")
        follower, found = Follower(path), []
        for end in range(0, len(whole) + step, step):
            path.write_bytes(whole[:end])
            found += follower.read()
        assert found == read_events(tmp_path / "runs" / "pilot" / "journal.log")[0]
        assert follower.read() == []


def test_a_follower_names_a_damaged_record_and_a_shortened_file(story: Any, run_folder: Any) -> None:
    path = run_folder(story().finished().events).journal
    whole = path.read_bytes()
    half = whole.index(b"\n", len(whole) // 2) + 1
    path.write_bytes(whole[:half])
    follower = Follower(path)
    before = len(follower.read())
    path.write_bytes(whole[:half] + whole[half:].replace(b"event", b"evant", 1))
    with pytest.raises(JournalDamaged, match=f"record {before + 1} of the journal") as caught:
        follower.read()
    assert f"byte {half}" in str(caught.value)
    path.write_bytes(whole[: half - 10])
    with pytest.raises(JournalDamaged, match="became shorter"):
        follower.read()


class Steps:
    """Stands for the time between two looks: does the next thing each time."""

    def __init__(self, clock: SimulatedClock, *steps: Callable[[], object]) -> None:
        self._clock = clock
        self._steps = list(steps)

    def __call__(self, seconds: float) -> None:
        self._clock.advance(3.0)
        self._steps.pop(0)()


def test_a_watch_follows_a_run_to_its_end(story: Any, run_folder: Any) -> None:
    events = story().finished().events
    folder, clock, file = run_folder(events[:20]), SimulatedClock(), StringIO()
    journal = Journal.open(folder)

    def write(some: list[Any]) -> None:
        journal.append(some)
        journal.commit()

    steps = Steps(clock, lambda: write(events[20:30]), lambda: write(events[30:]), journal.close)
    watch = Watch(folder, PlainView(Console(file=file, width=80), clock), clock, wait=steps, from_start=True)
    assert watch.run() == "finished"
    assert watch.events == read_events(folder.journal)[0]
    assert len(watch.events) == len(events)
    assert file.getvalue().count("trial 3") >= 1 and "verdict GO" in file.getvalue()


def test_a_watch_that_comes_late_shows_the_screen_and_not_the_past(story: Any, run_folder: Any, live_view: Any) -> None:
    folder = run_folder(story().searched().events)
    view, file, clock = live_view()
    with Journal.open(folder):
        watch = Watch(folder, view, clock, wait=Steps(clock, lambda: watch.leave()))
        assert watch.run() == "left"
    assert "trial 2 failed" not in file.getvalue()
    assert "2.200 (trial 3)" in file.getvalue()


def test_a_watch_notices_that_the_run_is_gone(story: Any, run_folder: Any, plain_view: Any) -> None:
    folder = run_folder(story().searched().events)
    view, _, clock = plain_view()
    assert Watch(folder, view, clock, wait=Steps(clock, lambda: None)).run() == "killed"


class Pressed:
    """Keys that a test presses."""

    def __init__(self) -> None:
        self.typed = ""

    def open(self) -> None:
        """Nothing to take."""

    def close(self) -> None:
        """Nothing to give back."""

    def pressed(self) -> str:
        typed, self.typed = self.typed, ""
        return typed


def test_a_q_leaves_once_however_long_it_is_held(story: Any, play: Any) -> None:
    clock, keys, left = SimulatedClock(), Pressed(), []
    console = Console(file=StringIO(), force_terminal=True, width=80, height=40)
    view = LiveView(console, clock, keys=keys, leave=lambda: left.append(clock.monotonic()))  # type: ignore[arg-type]
    view.open()
    run = story().searched()
    state = play(view, run.events, clock)
    for typed in ("x", "qqq", "q", "Q"):
        keys.typed = typed
        view.tick(state, run.ledger)
    assert len(left) == 1
    clock.advance(1.5)
    keys.typed = "Q"
    view.tick(state, run.ledger)
    assert len(left) == 2


def running(story: Any, boot_id: str) -> Any:
    run = story().opened()
    object.__setattr__(next(e for e in run.events if isinstance(e, SessionOpened)), "boot_id", boot_id)
    return run.calibrated(2.5).tier().phase("search").proposed(1, "search").started(1)


def test_the_load_of_a_slot_is_the_growth_of_its_processes_cpu_time(story: Any, run_folder: Any) -> None:
    run = running(story, BOOT_ID.read_text().strip())
    folder = run_folder(run.events)
    cpu_s = {77: 0.5}
    meter = SlotMeter(lambda _: folder, cpu_s.get)
    meter.look(run.state, 500.0)
    assert meter.started_at("t0001.s0.a1") is None
    folder.stamps.write_text(
        json.dumps({"event": "start", "at": 499.0, "attempt": "t0001.s0.a1", "pid": 77}) + '\n{"ev'
    )
    meter.look(run.state, 499.1)
    assert (meter.started_at("t0001.s0.a1"), meter.share("t0001.s0.a1")) == (499.0, None)
    meter.look(run.state, 501.0)
    assert meter.share("t0001.s0.a1") == pytest.approx(0.25)
    cpu_s[77] = 2.0
    meter.look(run.state, 501.5)
    assert meter.share("t0001.s0.a1") == pytest.approx(0.25)
    meter.look(run.state, 503.0)
    assert meter.share("t0001.s0.a1") == pytest.approx(0.75)


def test_processes_of_another_machine_are_not_looked_at(story: Any, run_folder: Any) -> None:
    run = running(story, "of another boot")
    folder = run_folder(run.events)
    folder.stamps.write_text(json.dumps({"event": "start", "at": 1.0, "attempt": "t0001.s0.a1", "pid": 1}) + "\n")
    meter = SlotMeter(lambda _: folder)
    meter.look(run.state, 500.0)
    assert meter.started_at("t0001.s0.a1") is None


def test_cpu_time_of_a_process_that_is_gone_is_unknown() -> None:
    mine = tree_cpu_s(os.getpid())
    assert mine is not None and mine > 0
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert tree_cpu_s(child) is None


def test_slots_and_their_load_are_shown(story: Any, run_folder: Any, play: Any) -> None:
    run = running(story, BOOT_ID.read_text().strip())
    folder: RunFolder = run_folder(run.events)
    folder.stamps.write_text(json.dumps({"event": "start", "at": -5.0, "attempt": "t0001.s0.a1", "pid": 77}) + "\n")
    clock, file, spent = SimulatedClock(), StringIO(), iter([1.0, 1.9, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    meter = SlotMeter(lambda _: folder, lambda _: next(spent))
    view = LiveView(Console(file=file, force_terminal=True, width=80, height=40), clock, meter=meter)
    view.open()
    state = play(view, run.events, clock, step_s=0.0)
    for _ in range(2):
        clock.advance(1.0)
        view.tick(state, run.ledger)
    assert "▇·  1 of 2 busy  ·  CPU 90% ·" in file.getvalue()
    assert "7.0 s" in file.getvalue()


def test_bars_and_limits() -> None:
    assert [bar(share, 4) for share in (-1.0, 0.0, 0.125, 0.5, 1.0, 9.0)] == [
        "────",
        "────",
        "╸───",
        "━━──",
        "━━━━",
        "━━━━",
    ]


def test_the_fullest_limit_is_the_one_that_is_shown(story: Any) -> None:
    run = story().searched()
    limits = {"evaluations": 12, "device_hours": 1.0, "wall_clock": None, "price": 1.0}
    shares = limit_shares(limits, run.ledger)
    assert shares["evaluations"] == (0.5, "6 of 12 evaluations")
    assert shares["device_hours"][1] == "1 min 00 s of 1 h 00 min device"
    assert max(shares, key=lambda name: shares[name][0]) == "evaluations"
