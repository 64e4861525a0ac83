"""A run as a table on a terminal."""

from __future__ import annotations

import re
import threading
from io import StringIO
from typing import Any

from rich.console import Console
from rich.text import Text

from flopwise.budget.ledger import Ledger
from flopwise.clock import SimulatedClock
from flopwise.events import LookTaken, Measured, QuestionSettled, TargetChosen
from flopwise.report.live import ROWS, LiveView

SHOW, HIDE = "\x1b[?25h", "\x1b[?25l"


def last_screen(file: StringIO) -> list[str]:
    """Lines of the last drawing, without colours."""
    drawn = file.getvalue().removesuffix(SHOW)
    text = re.split(r"\x1b\[2K(?:\x1b\[1A\x1b\[2K)*", drawn)[-1]
    return [Text.from_ansi(line).plain.rstrip() for line in text.strip("\r\n").split("\n")]


def trial_lines(file: StringIO) -> list[str]:
    """The rows of the last drawing's table."""
    lines = last_screen(file)
    return lines[next(i for i, line in enumerate(lines) if line.startswith("trial")) + 1 :]


def test_the_live_table(story: Any, play: Any, live_view: Any) -> None:
    view, file, clock = live_view()
    view.open()
    run = story().searched().proposed(5, "search", **{"model.n_layer": 2, "train.lr": 0.05}).started(5)
    play(view, run.events, clock)
    assert last_screen(file) == [
        "pilot  tier min  ·  search: 4 evaluations",
        "",
        "evaluations  ━━━━━━━━━───────────────  6 of 16  ·  1 failed  ·  ETA 50.0 s",
        "spent        ━╸──────────────────────  $0.060 of $1.00  ·  1 min 00 s device",
        "best         █▇▇▁▁  2.200 (trial 3)  ·  12.4% better than the baseline",
        "slots        ░·  1 of 2 busy",
        "",
        "trial  n_layer     lr   val_loss  status           time",
        "    0        2  0.001      2.510  baseline       20.0 s",
        "    1        1  0.001      2.450  ok             10.0 s",
        "    2        2  0.002          –  nan            10.0 s",
        "    3        3  0.003      2.200  best           10.0 s",
        "    4        4  0.004      2.600  ok             10.0 s",
        "    5        2   0.05          –  running           0 s",
    ]
    assert "\x1b[1;32m    3" in file.getvalue()
    assert "\x1b[31m    2" in file.getvalue()


def test_failures_stand_above_the_live_table_at_once(story: Any, play: Any, live_view: Any) -> None:
    view, file, clock = live_view()
    view.open()
    play(view, story().searched().events, clock)
    shown = Text.from_ansi(file.getvalue()).plain
    assert "trial 2 failed, nan: the loss is nan at step 12 (t0002.s0.a1)\n    | step 11\n" in shown


def test_decisions_stand_above_the_live_table(story: Any, play: Any, live_view: Any) -> None:
    look = {"mean_improvement": 0.25, "lower": None, "upper": None, "looks": 3, "seeds": 2, "planned": 5}
    decisions = [
        TargetChosen(5.5, "nobody reached 5", []),
        QuestionSettled("A", [1], 2, "one option is surely the best", {}),
        LookTaken(1, "continue", look),
    ]
    view, file, clock = live_view()
    view.open()
    play(view, [*story().searched().events, *decisions], clock)
    shown = Text.from_ansi(file.getvalue()).plain
    for line in (
        "compared by 5.5 from here on: nobody reached 5",
        "question A is settled: one option is surely the best; 2 configs are not run",
        "look 1 of 3, 2 of 5 seeds: better by 0.2500: continue",
    ):
        assert line in shown


def test_a_running_attempt_shows_its_time_and_its_last_measurement(story: Any, play: Any, live_view: Any) -> None:
    view, file, clock = live_view()
    view.open()
    run = story().opened().calibrated(2.5).phase("search").proposed(1, "search").started(1)
    run.events.append(Measured("t0001.s0.a1", [{"step": 9, "elapsed_s": 3.0, "values": {"val_loss": 3.25}}]))
    state = play(view, run.events, clock)
    clock.advance(30.0)
    view.tick(state, run.ledger)
    assert last_screen(file)[-1].split() == ["1", "2", "0.001", "~3.250", "running", "31.0", "s"]


def test_the_live_table_keeps_baseline_and_best_among_the_latest(story: Any, play: Any, live_view: Any) -> None:
    view, file, clock = live_view()
    view.open()
    run = story().opened().calibrated(2.5).tier("max").phase("search")
    for number in range(1, 41):
        run.proposed(number, "search").ran(number, 1.0 if number == 3 else 2.0)
    play(view, run.events, clock)
    numbers = [int(line.split()[0]) for line in trial_lines(file)]
    assert numbers == [0, 3, *range(31, 41)]
    assert len(numbers) == ROWS


def test_a_generation_that_waits_hides_nothing_that_runs(story: Any, play: Any, live_view: Any) -> None:
    view, file, clock = live_view()
    view.open()
    run = story().opened().calibrated(2.5).tier("max").phase("search")
    for number in range(1, 41):
        run.proposed(number, "search")
    play(view, run.ran(1, 2.4).started(2).started(3).events, clock)
    assert [line.split()[0] for line in trial_lines(file)] == ["0", "1", "2", "3"]


def test_a_low_terminal_shows_fewer_trials(story: Any, play: Any) -> None:
    clock = SimulatedClock()
    file = StringIO()
    view = LiveView(Console(file=file, force_terminal=True, width=80, height=12), clock)
    view.open()
    run = story().opened().calibrated(2.5).tier("max").phase("search")
    for number in range(1, 21):
        run.proposed(number, "search").ran(number, 2.0)
    play(view, run.events, clock)
    assert len(last_screen(file)) < 12
    assert last_screen(file)[-1].split()[0] == "20"


def test_seeds_of_confirmation_are_counted(story: Any, play: Any, live_view: Any) -> None:
    view, file, clock = live_view()
    view.open()
    run = story().searched().phase("decide", chosen=3, seeds=3).proposed(5, "decide", 3, 0).proposed(6, "decide", 3, 3)
    run.ran(5, 2.5, 2.5, 2.5).ran(6, 2.2).started(6, 1)
    play(view, run.events, clock)
    rows = [line.split() for line in last_screen(file)[-2:]]
    assert [row[4] for row in rows] == ["baseline", "as"]
    assert rows[1][4:7] == ["as", "3", "1/3"]


def test_drawing_is_limited_by_the_clock(story: Any, play: Any, live_view: Any) -> None:
    view, file, clock = live_view()
    view.open()
    state = play(view, story().searched().events, clock, step_s=0.0)
    before = len(file.getvalue())
    for _ in range(50):
        view.tick(state, Ledger())
    assert len(file.getvalue()) == before
    clock.advance(1.0)
    view.tick(state, Ledger())
    assert len(file.getvalue()) > before


def test_the_terminal_is_given_back_and_can_be_taken_again(story: Any, play: Any, live_view: Any) -> None:
    view, file, clock = live_view()
    view.open()
    assert file.getvalue().endswith(HIDE)
    play(view, story().searched().events, clock)
    view.close()
    view.close()
    assert file.getvalue().count(SHOW) == 1
    view.message("asked in between")
    view.open()
    view.close()
    assert file.getvalue().count(HIDE) == file.getvalue().count(SHOW) == 2


def test_nothing_of_the_live_view_runs_by_itself(story: Any, play: Any, live_view: Any) -> None:
    view, _, clock = live_view()
    before = threading.active_count()
    view.open()
    play(view, story().searched().events, clock)
    assert threading.active_count() == before
    view.close()
