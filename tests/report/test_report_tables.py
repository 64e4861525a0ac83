"""The screens: plain into a pipe, coloured on a terminal, never wider than it."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from flopwise.budget.plan import Plan
from flopwise.errors import Problem
from flopwise.report.headline import headline
from flopwise.report.summary import summarise
from flopwise.report.tables import closing_text, plan_text, problems_text, status_text

RUN = Path("/runs/pilot")


def pipe(width: int = 80) -> Console:
    return Console(file=StringIO(), width=width, force_terminal=False)


def terminal(width: int = 80) -> Console:
    return Console(file=StringIO(), width=width, force_terminal=True, color_system="standard")


def test_the_last_screen_is_the_verdict_with_its_price(story: Any) -> None:
    summary = summarise(story().finished().events)
    assert closing_text(summary, "finished", "GO", RUN, pipe()) == (
        """\
GO  trial 3 beats the baseline by 11.6% (95% lower bound 10.3%) on 3 fresh seeds
With 95% confidence the improvement is more than 0.2563.
val_loss went from 2.5 (baseline) to 2.21 (winner), better by 0.29 (11.60%),
mean of 3 fresh seeds.
Asked for: at least 0.025, 1.00% of the baseline.

knob             baseline  winner
model.n_layer           2       3
train.lr            0.001   0.003
val_loss (mean)     2.500   2.210

Tier max (7 min 30 s, $0.45) is not recommended: 1 of the last 4 evaluations
failed, too few to say more; the last third of the search still improved the
best (by 0.25, the noise is 0.0141); the verdict is GO.

spent   16 evaluations, 2 min 40 s device, 2 min 40 s wall, $0.16 (50% idle)
report  /runs/pilot/report.md"""
    )


def test_on_a_terminal_it_is_framed_and_coloured(story: Any) -> None:
    text = closing_text(summarise(story().finished().events), "finished", "GO", RUN, terminal())
    assert text.startswith("\x1b[32m╭")
    assert "\x1b[1;32mGO\x1b[0m" in text


def test_no_color_is_obeyed(story: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(file=StringIO(), width=80, force_terminal=True)
    assert "\x1b[32m" not in closing_text(summarise(story().finished().events), "finished", "", RUN, console)


def test_an_interrupted_run_says_how_to_go_on(story: Any) -> None:
    summary = summarise(story().searched().closed("interrupted", "SIGINT").events)
    assert closing_text(summary, "interrupted", "SIGINT", Path("/runs/my pilot"), pipe()) == (
        """\
interrupted: SIGINT
best so far: trial 3, val_loss 2.200 (baseline 2.510), not confirmed

outcome  attempts  for example                 in
nan             1  the loss is nan at step 12  t0002.s0.a1

spent   6 evaluations, 1 min 00 s device, 1 min 00 s wall, $0.060 (50% idle)
report  /runs/my pilot/report.md
go on   flopwise resume '/runs/my pilot'"""
    )


def test_a_run_below_the_working_folder_is_named_from_there(story: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    summary = summarise(story().opened().closed("interrupted").events)
    text = closing_text(summary, "interrupted", "", tmp_path / "runs" / "pilot", pipe())
    assert text.endswith("go on   flopwise resume runs/pilot")


def test_status(story: Any) -> None:
    run = story().searched().proposed(5, "search").started(5)
    assert status_text(summarise(run.events), pipe()) == (
        """\
pilot  language_model, tier min
running in phase search, 4 of 4 search trials finished
best so far: trial 3, val_loss 2.200 (baseline 2.510), not confirmed

trial  n_layer     lr  val_loss  status      time
    0        2  0.001     2.510  baseline  20.0 s
    1        1  0.001     2.450  ok        10.0 s
    2        2  0.002         –  nan       10.0 s
    3        3  0.003     2.200  best      10.0 s
    4        4  0.004     2.600  ok        10.0 s
    5        2  0.001         –  running      0 s

outcome  attempts  for example                 in
nan             1  the loss is nan at step 12  t0002.s0.a1

slot  attempts  failed  CPU  switches/s  contention  now
   0         6       1    –           –           –  t0005.s0.a1
   1         0       –    –           –           –  idle

spent  6 evaluations, 1 min 00 s device, 1 min 00 s wall, $0.060 (50% idle)
left   $0.94 of $1.00"""
    )


def test_status_of_a_run_without_a_session(story: Any) -> None:
    assert status_text(summarise(story().events), pipe()).startswith("pilot  language_model, no tier chosen\nplanned")


def test_every_limit_says_what_it_still_allows(story: Any) -> None:
    limits = {"evaluations": 10, "device_hours": 1.0, "wall_clock": 30.0, "price": None}
    text = status_text(summarise(story(limits=limits).searched().events), pipe())
    assert "left   4 of 10 evaluations" in text
    assert "left   59 min 00 s of 1 h 00 min device" in text
    assert "left   0 s of 30.0 s wall" in text


def test_the_plan_is_priced_in_plain_lines(story: Any) -> None:
    run = story().searched()
    assert plan_text(Plan.from_json(summarise(run.events)["plan"]), run.study) == (
        """\
plan of pilot
one evaluation  10.0 s, 43 steps
baseline        val_loss 2.510, noise between seeds 0.01414 (0.56%)
detects         improvements of val_loss from: min 1.9%, max 1.9%
confirmation    best 2 on fresh seeds, then one and the baseline on 3 more each
machine         2 evaluations at a time, $3.60 an hour

tier  trials  evaluations  steps each  device time  wall clock   price
min    2 × 2           14          43   2 min 20 s  1 min 10 s  $0.070
max   8 × 10           90          43  15 min 00 s  7 min 30 s   $0.45"""
    )


def test_warnings_of_the_plan_are_marked(story: Any) -> None:
    run = story(limits={"evaluations": None, "device_hours": None, "wall_clock": None, "price": 0.1}).searched()
    text = plan_text(Plan.from_json(summarise(run.events)["plan"]), run.study)
    assert "\nmax !  8 × 10 " in text
    assert "\n!  Tier max does not fit" in text


def test_problems_are_one_a_line() -> None:
    problems = [Problem("space.lr.low", "is above high", "pilot.yaml:7"), Problem("nam\x1b[2Je", "unknown key")]
    assert problems_text(problems, pipe()) == "pilot.yaml:7: space.lr.low: is above high\nname: unknown key"


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("screen", [pipe, terminal])
def test_nothing_is_wider_than_the_screen(story: Any, width: int, screen: Any) -> None:
    space = {f"model.block.parameter_number_{i}": {"type": "float", "low": 0.0, "high": 1.0} for i in range(12)}
    config = dict.fromkeys(space, 0.123456789)
    run = story(space=space).opened().calibrated(2.5, 2.6).tier("max").phase("search")
    for number in range(1, 15):
        run.proposed(number, "search", **config)
        run.ran(number, *([None] if number % 3 == 0 else [2.4]), cause="out of memory " * 20, seconds=4000.0)
    run.phase("decide", chosen=1, seeds=2).proposed(15, "decide", 2, 0, **config).proposed(16, "decide", 2, 1, **config)
    summary = summarise(run.ran(15, 2.5, 2.51).ran(16, 2.2, 2.22).verdict().events)
    plan = plan_text(Plan.from_json(summary["plan"]), run.study)
    texts = [status_text(summary, screen(width)), closing_text(summary, "finished", "", RUN, screen(width)), plan]
    for text in texts:
        assert max(Text.from_ansi(line).cell_len for line in text.splitlines()) <= width
    assert "parameter_number_0 0.1235" in texts[0]


def test_markup_and_escapes_in_names_are_text(story: Any) -> None:
    run = story(name="[red]pilot[/red]\x1b[2J", workload="[bold]w").searched().closed("failed", "[link=x]y")
    text = status_text(summarise(run.events), pipe())
    assert text.startswith("[red]pilot[/red]  [bold]w, tier min")
    assert "[link=x]y" in text


@pytest.mark.parametrize(
    ("verdict", "mean", "lower", "upper", "line"),
    [
        ("NO-GO", -0.05, -0.06, -0.04, "is 2% worse than the baseline (95% upper bound -1.6%)"),
        ("NO-GO", 0.005, -0.001, 0.01, "is 0.2% better than the baseline (95% upper bound 0.4%)"),
        ("INCONCLUSIVE", 0.025, -0.01, 0.06, "against the baseline: 1% (90% interval -0.4% to 2.4%)"),
        ("GO", 0.1, 0.05, 0.15, "beats the baseline by 4% (95% lower bound 2%)"),
    ],
)
def test_headlines(story: Any, verdict: str, mean: float, lower: float, upper: float, line: str) -> None:
    summary = summarise(story().finished().events)
    numbers = {"n": 3, "baseline_mean": 2.5, "relative": 0.1}
    numbers |= {"mean_improvement": mean, "lower": lower, "upper": upper}
    summary["verdict"] = {"verdict": verdict, "reasons": [], "numbers": numbers}
    assert headline(summary) == f"trial 3 {line} on 3 fresh seeds"


def test_a_baseline_without_shares_is_compared_in_the_metrics_unit(story: Any) -> None:
    summary = summarise(story().finished().events)
    summary["verdict"]["numbers"]["relative"] = None
    assert "by 0.2900 (95% lower bound 0.2563)" in headline(summary)


def test_a_verdict_without_numbers_is_its_first_reason(story: Any) -> None:
    summary = summarise(story().finished().events)
    summary["verdict"] |= {"reasons": ["The winner failed on 3 of 3 fresh seeds."], "numbers": {"n": 0}}
    assert headline(summary) == "The winner failed on 3 of 3 fresh seeds."
