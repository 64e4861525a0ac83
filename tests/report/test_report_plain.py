"""A run as lines of text."""

from __future__ import annotations

from typing import Any

from flopwise.budget.ledger import Ledger
from flopwise.events import SessionLost
from flopwise.journal.replay import RunState


def test_plain_lines_of_a_whole_run(story: Any, play: Any, plain_view: Any) -> None:
    view, file, clock = plain_view()
    view.open()
    play(view, story().finished().events, clock)
    view.close()
    assert file.getvalue() == (
        """\
pilot: language_model, minimize val_loss, 2 evaluations at a time
data ready in 1.5 s
calibrate: the baseline, for its time and its noise
[1/2]  baseline seed 1/2  val_loss 2.500  10.0 s  $0.010 spent, $0.99 left
[2/2]  baseline seed 2/2  val_loss 2.520  10.0 s  $0.020 spent, $0.98 left
tier min: 14 evaluations, about 1 min 10 s, $0.070
search: 4 evaluations
[ 3/16]  trial 1  val_loss 2.450  10.0 s  best 2.450 (trial 1)  $0.030 spent, $0.97 left, ETA 1 min 05 s
trial 2 failed, nan: the loss is nan at step 12 (t0002.s0.a1)
    | step 11
    | step 12 loss nan
[ 5/16]  trial 3  val_loss 2.200  10.0 s  best 2.200 (trial 3)  $0.050 spent, $0.95 left, ETA 55.0 s
[ 6/16]  trial 4  val_loss 2.600  10.0 s  best 2.200 (trial 3)  $0.060 spent, $0.94 left, ETA 50.0 s
choose: trials 3, 1 on fresh seeds
[ 7/16]  trial 5 (as 3) seed 1/2  val_loss 2.210  10.0 s  $0.070 spent, $0.93 left, ETA 45.0 s
[ 8/16]  trial 5 (as 3) seed 2/2  val_loss 2.220  10.0 s  $0.080 spent, $0.92 left, ETA 40.0 s
[ 9/16]  trial 6 (as 1) seed 1/2  val_loss 2.440  10.0 s  $0.090 spent, $0.91 left, ETA 35.0 s
[10/16]  trial 6 (as 1) seed 2/2  val_loss 2.460  10.0 s  $0.10 spent, $0.90 left, ETA 30.0 s
decide: trial 3 and the baseline on 3 other fresh seeds
[11/16]  trial 7 (baseline) seed 1/3  val_loss 2.510  10.0 s  $0.11 spent, $0.89 left, ETA 25.0 s
[12/16]  trial 7 (baseline) seed 2/3  val_loss 2.500  10.0 s  $0.12 spent, $0.88 left, ETA 20.0 s
[13/16]  trial 7 (baseline) seed 3/3  val_loss 2.490  10.0 s  $0.13 spent, $0.87 left, ETA 15.0 s
[14/16]  trial 8 (as 3) seed 1/3  val_loss 2.200  10.0 s  $0.14 spent, $0.86 left, ETA 10.0 s
[15/16]  trial 8 (as 3) seed 2/3  val_loss 2.210  10.0 s  $0.15 spent, $0.85 left, ETA 5.0 s
[16/16]  trial 8 (as 3) seed 3/3  val_loss 2.220  10.0 s  $0.16 spent, $0.84 left
verdict GO
"""
    )


def test_evaluations_of_one_batch_are_counted_one_by_one(story: Any, plain_view: Any) -> None:
    view, file, _ = plain_view()
    run = story().opened().calibrated(2.5, 2.6, 2.7)
    state = run.state
    for event in run.events:
        view.event(event, state)
    assert [line[:5] for line in file.getvalue().splitlines()[2:]] == ["[1/3]", "[2/3]", "[3/3]"]


def test_a_free_machine_has_no_money_in_its_lines(story: Any, play: Any, plain_view: Any) -> None:
    free = {**story().study["execution"], "price_per_hour": 0.0}
    view, file, clock = plain_view()
    play(view, story(execution=free).searched().events, clock)
    assert "$" not in file.getvalue()


def test_a_failed_attempt_that_is_tried_again_says_so(story: Any, play: Any, plain_view: Any) -> None:
    view, file, clock = plain_view()
    run = (
        story().opened().calibrated(2.5).phase("search").proposed(1, "search").ran(1, None, outcome="oom", cause="full")
    )
    play(view, run.events, clock)
    assert "trial 1 failed, oom: full (t0001.s0.a1); it is tried again\n" in file.getvalue()


def test_an_interrupted_attempt_is_no_failure(story: Any, play: Any, plain_view: Any) -> None:
    view, file, clock = plain_view()
    run = story().opened().calibrated(2.5).phase("search").proposed(1, "search")
    play(view, run.ran(1, None, outcome="killed", interrupted=True, cause="stopped").events, clock)
    assert "failed" not in file.getvalue()


def test_a_resumed_run_goes_on_with_its_own_figures(story: Any, plain_view: Any) -> None:
    """The view of the second session sees only that session's events, and the state of all."""
    run = story().searched()
    run.events.append(SessionLost(1, run.now, "keeper"))
    known = len(run.events)
    run.opened().proposed(5, "search").ran(5, 2.1)
    view, file, clock = plain_view()
    state, ledger = RunState(run.events[:known]), Ledger()
    for event in run.events[known:]:
        state.apply(event)
        view.event(event, state)
        view.tick(state, ledger)
        clock.advance(1.0)
    assert file.getvalue().startswith(
        "pilot: language_model, minimize val_loss, 2 evaluations at a time, session 2 goes on with search\n"
    )
    assert "best 2.100 (trial 5)" in file.getvalue()


def test_progress_is_said_now_and_then_and_when_complete(plain_view: Any) -> None:
    view, file, clock = plain_view()
    for done in range(101):
        view.progress("tokenizing", done, 100)
        clock.advance(0.125)
    clock.advance(5.0)
    view.progress("downloading", 0, 0)
    assert file.getvalue().splitlines() == [
        "tokenizing    0%",
        "tokenizing   40%",
        "tokenizing   80%",
        "tokenizing  100%",
        "downloading",
    ]
