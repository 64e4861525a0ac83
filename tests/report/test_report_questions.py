"""Answers of a staged search: known differences, censored and lost pairs, and the same numbers by verify's own code."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any

import pytest
from PIL import Image
from scipy.stats import t as student

from flopwise.engine.verify.censoring import expected_timed
from flopwise.engine.verify.difference import compare
from flopwise.engine.verify.questions import expected_questions
from flopwise.engine.verify.records import Record
from flopwise.engine.verify.run import fold
from flopwise.events import AttemptEnded, Measured
from flopwise.report.document import render_markdown
from flopwise.report.evidence import gather
from flopwise.report.page import render_page
from flopwise.report.plots.clocks import clocks
from flopwise.report.plots.png import draw
from flopwise.report.plots.style import BASELINE, WINNER
from flopwise.report.summary import summarise
from flopwise.report.tables import closing_text
from flopwise.target import Point, Target
from flopwise.trial import AttemptId

TARGET = Target("val_loss", 5.0)
TIMED = {"metric": "seconds_to_target", "direction": "minimize", "target": TARGET.to_json()}
PLAIN = {"metric": "val_loss", "direction": "minimize"}
SPACE = {
    "method": {"type": "categorical", "choices": ["cubic", "polar"]},
    "lr": {"type": "float", "low": 1e-4, "high": 1e-1, "scale": "log"},
}
CONTEXTS = [{"lr": 0.001}, {"lr": 0.01}, {"lr": 0.1}]
TWO_BY_THREE = {"ask": "does it pay?", "base": {}, "grid": {"method": ["cubic", "polar"]}, "configs": CONTEXTS}

Facts = Mapping[str, Any]


def line(step_s: float, rate: float, steps: int = 100) -> list[Point]:
    """A loss that falls from 8 by ``rate`` in 100 steps, validated every 10, until it has reached 5."""
    found: list[Point] = []
    for step in range(0, steps + 1, 10):
        found.append(Point(step, step_s * step, 8.0 - rate * step / 100))
        if found[-1].value <= TARGET.value:
            break
    return found


class Asked:
    """A staged run, told training by training.

    Args:
        story: The fixture.
        objective: Of the study.
        seeds: Of every trial of the search.
        questions: Asked.
    """

    def __init__(self, story: Any, objective: Any = TIMED, seeds: int = 1, **questions: Any) -> None:
        evaluation = {"stop": {"steps": 100}, "seeds": seeds, "timeout": None}
        options = {"questions": questions, "refine": {"trials": 0, "top": 3, "levels": 4}}
        search = {"method": "staged", "seed": 7, "options": options}
        base = {"method": "polar", "lr": 0.01}
        study = {"objective": objective, "evaluation": evaluation, "search": search, "space": SPACE, "base": base}
        self.run = story(**study, tiers={"default": {"trials": 99}})
        if "target" in objective:
            from_json = type(self.run.objective).from_json
            self.run.objective = from_json(objective)
        self.run.opened().phase("calibrate")
        self._next = 0

    def trial(self, phase: str, *curves: Any, of: int | None = None, **facts: Any) -> Asked:
        """One trial, its seeds with these curves; None for a seed that fails, "waiting" for one that has not run."""
        number, self._next = self._next, self._next + 1
        self.run.proposed(number, phase, len(curves), of, method="polar", lr=0.01)
        for seed, curve in enumerate(curves):
            if curve == "waiting":
                continue
            for _ in range(2 if facts else 0):  # a disturbed attempt counts once it is the third
                self.run.started(number, seed).ended(number, seed, 0.0, info=self._info(curve), **facts)
            self.run.started(number, seed)
            if curve is None:
                self.run.ended(number, seed, None, outcome="nan", cause="nan")
                continue
            values = [{"val_loss": each.value, "train_s": each.seconds} for each in curve]
            rows = [
                {"step": each.step, "elapsed_s": each.seconds, "values": row}
                for each, row in zip(curve, values, strict=True)
            ]
            self.run.events.append(Measured(str(AttemptId(number, seed, 3 if facts else 1)), rows))
            self.run.ended(number, seed, self._value(curve), info=self._info(curve), **facts)
        return self

    def _value(self, curve: list[Point]) -> float:
        if self.run.objective.target is None:
            return curve[-1].value
        seconds = TARGET.seconds(curve)
        return math.nan if seconds is None else seconds

    def _info(self, curve: list[Point]) -> dict[str, Any]:
        if self.run.objective.target is None:
            return {}
        last = [curve[-1].step, curve[-1].seconds, curve[-1].value]
        return {"targets": [[TARGET.value, TARGET.seconds(curve)]], "last_validation": last}

    def searching(self) -> Asked:
        self.run.phase("search")
        return self

    def questions(self) -> list[dict[str, Any]]:
        """As the report has them; verify's own code must have the same."""
        summary = summarise(self.run.events)
        run, problems = fold([Record(n, 0, event) for n, event in enumerate(self.run.events)])
        assert problems == []
        assert list(compare("report.json", expected_questions(run), summary["questions"], "", 1e-9)) == []
        assert list(compare("report.json", expected_timed(run), summary["timed"], "", 1e-9)) == []
        found: list[dict[str, Any]] = summary["questions"]
        return found


def test_seconds_losses_at_equal_time_and_at_equal_steps_have_their_known_differences(story: Any) -> None:
    asked = Asked(story, A=TWO_BY_THREE)
    asked.trial("calibrate", line(0.10, 6.0), line(0.12, 6.0)).searching()
    for step_s, rate in ((0.1, 6.0), (0.2, 6.0), (0.3, 6.0), (0.2, 7.5), (0.4, 7.5), (0.6, 7.5)):
        asked.trial("search", line(step_s, rate))
    (question,) = asked.questions()
    (contrast,) = question["contrasts"]
    assert (contrast["reference"], contrast["option"]) == ({"method": "polar"}, {"method": "cubic"})
    assert question["trials"] == [1, 2, 3, 4, 5, 6] and question["best"] == 1
    gain = contrast["objective"]
    assert gain["mean"] == pytest.approx(((8 - 5) + (16 - 10) + (24 - 15)) / 3)  # polar: 40 steps, cubic: 50
    sd = math.sqrt(2) * 1.0 / math.sqrt(2)  # of a difference, from 5 and 6 s on two seeds of the baseline
    margin = student.ppf(0.975, 1) * math.sqrt(2) * sd / math.sqrt(2) / math.sqrt(3)
    assert gain["rests_on"] == "repeats" and gain["df"] == 1 and gain["sd"] == pytest.approx(1.0)
    assert (gain["lower"], gain["upper"]) == pytest.approx((6 - margin, 6 + margin))
    assert contrast["answer"] == "open"
    steps = contrast["equal_step"]
    assert (steps["from"], steps["to"]) == (40.0, 40.0)
    assert steps["mean"] == pytest.approx(5.0 - 5.6) and steps["sd"] == 0.0
    seconds = contrast["equal_seconds"]
    assert (seconds["from"], seconds["to"]) == pytest.approx((5.0, 15.0))
    assert seconds["mean"] == pytest.approx((8 - 7.5 * 0.25) - 5.0)
    assert contrast["reached"] == [3, 3] and contrast["horizon"] is None


def test_with_several_seeds_the_interval_rests_on_the_pairs_within_their_contexts(story: Any) -> None:
    asked = Asked(story, seeds=2, A=TWO_BY_THREE)
    asked.trial("calibrate", line(0.10, 6.0), line(0.12, 6.0)).searching()
    for step_s in (0.1, 0.2, 0.3):
        asked.trial("search", line(step_s, 6.0), line(step_s + 0.01, 6.0))
    for step_s in (0.2, 0.4, 0.6):
        asked.trial("search", line(step_s, 6.0), line(step_s + 0.03, 6.0))
    (contrast,) = asked.questions()[0]["contrasts"]
    gain = contrast["objective"]
    assert (gain["n"], gain["df"], gain["rests_on"]) == (6, 3, "pairs")
    assert gain["mean"] == pytest.approx((5 + 6 + 10 + 11 + 15 + 16) / 6)
    assert gain["sd"] == pytest.approx(math.sqrt(0.5))
    margin = student.ppf(0.975, 3) * math.sqrt(0.5 / 6)
    assert (gain["lower"], gain["upper"]) == pytest.approx((10.5 - margin, 10.5 + margin))
    assert contrast["answer"] == "better"


def test_trainings_that_never_get_there_count_as_watched_and_are_said(story: Any) -> None:
    asked = Asked(story, A=TWO_BY_THREE)
    asked.trial("calibrate", line(0.1, 6.0), line(0.1001, 6.0)).searching()
    for rate in (1.0, 1.0, 6.0, 6.0, 6.0, 6.0):  # two of three cubic ones end at 7 after 10 s
        asked.trial("search", line(0.1, rate))
    (question,) = asked.questions()
    (contrast,) = question["contrasts"]
    assert contrast["horizon"] == 10.0 and contrast["reached"] == [3, 1] and contrast["pairs"] == 3
    assert contrast["objective"]["mean"] == pytest.approx((-5.0 - 5.0 + 0.0) / 3)
    assert contrast["answer"] == "worse"
    text = render_markdown(summarise(asked.run.events))
    assert "method cubic: 1 of 3 reached the target, of the reference 3; times count up to the 10.0 s" in text


def test_where_nobody_gets_there_nothing_is_claimed(story: Any) -> None:
    asked = Asked(story, A=TWO_BY_THREE)
    asked.trial("calibrate", line(0.1, 6.0), line(0.11, 6.0)).searching()
    for rate in (1.0, 1.1, 1.2, 1.3, 1.4, 1.5):
        asked.trial("search", line(0.1, rate))
    (contrast,) = asked.questions()[0]["contrasts"]
    assert contrast["reached"] == [0, 0] and contrast["objective"]["mean"] is None and contrast["answer"] == "open"
    assert contrast["equal_seconds"]["mean"] == pytest.approx(-0.3)
    assert question_of(asked)["best"] == 6


def question_of(asked: Asked) -> dict[str, Any]:
    return asked.questions()[0]


def test_cut_times_that_rest_on_pairs_must_be_hard_to_get_by_chance(story: Any) -> None:
    """Four seeds of one context, all the same way: turned round, 1 in 8 cases is as far apart."""
    asked = Asked(story, seeds=4, A={**TWO_BY_THREE, "configs": []})
    asked.trial("calibrate", *[line(0.1, 6.0)] * 4).searching()
    asked.trial("search", *[line(0.1, 1.0)] * 4).trial("search", *(line(0.1, rate) for rate in (6.0, 6.1, 6.2, 6.3)))
    (contrast,) = asked.questions()[0]["contrasts"]
    assert contrast["objective"]["rests_on"] == "pairs" and contrast["objective"]["upper"] < 0
    assert contrast["chance"] == 1 / 8 and contrast["answer"] == "open"


def test_pairs_that_are_lost_are_counted(story: Any) -> None:
    asked = Asked(story, A=TWO_BY_THREE)
    asked.trial("calibrate", line(0.1, 6.0), line(0.12, 6.0)).searching()
    asked.trial("search", line(0.1, 6.0)).trial("search", line(0.1, 6.0), contention=0.4).trial("search", None)
    asked.trial("search", line(0.1, 7.5)).trial("search", line(0.1, 7.5)).trial("search", "waiting")
    (contrast,) = asked.questions()[0]["contrasts"]
    counts = {key: contrast[key] for key in ("pairs", "failed", "missing", "disturbed")}
    assert counts == {"pairs": 2, "failed": 0, "missing": 1, "disturbed": 1}
    assert contrast["objective"]["n"] == contrast["equal_seconds"]["n"] == 1
    assert contrast["equal_step"]["n"] == 2
    text = render_markdown(summarise(asked.run.events))
    assert "Left out: 1 pair (one of the two was not run)." in text
    assert "Left out: 1 pair (a slot was used by others" in text


def test_several_keys_give_their_main_effects_and_whole_combinations(story: Any) -> None:
    grid = {"method": ["polar", "cubic"], "lr": [0.01, 0.1]}
    asked = Asked(story, A={"ask": "", "base": {}, "grid": grid, "configs": []})
    asked.trial("calibrate", line(0.1, 6.0), line(0.12, 6.0)).searching()
    for step_s in (0.1, 0.2, 0.4, 0.7):
        asked.trial("search", line(step_s, 6.0))
    contrasts = asked.questions()[0]["contrasts"]
    means = {str(each["option"]): (each["pairs"], each["objective"]["mean"]) for each in contrasts}
    assert means == {
        "{'method': 'cubic'}": (2, pytest.approx((5 - 20 + 10 - 35) / 2)),
        "{'lr': 0.1}": (2, pytest.approx((5 - 10 + 20 - 35) / 2)),
        "{'method': 'cubic', 'lr': 0.1}": (1, pytest.approx(5 - 35)),
    }


def test_a_list_is_held_against_what_the_baseline_has(story: Any) -> None:
    configs = [{"lr": 0.001}, {"lr": 0.01}, {"method": "cubic", "lr": 0.1}]
    asked = Asked(story, PLAIN, A={"ask": "", "base": {}, "grid": {}, "configs": configs})
    asked.trial("calibrate", line(0.1, 2.0), line(0.1, 2.5)).searching()
    for rate in (1.0, 2.0, 2.8):
        asked.trial("search", line(0.1, rate))
    first, second = asked.questions()[0]["contrasts"]
    assert first["reference"] == {"lr": 0.01, "method": "polar"} and first["option"]["lr"] == 0.001
    assert (first["objective"]["mean"], second["objective"]["mean"]) == pytest.approx((-1.0, 0.8))
    assert first["reached"] is None and first["horizon"] is None
    assert "val_loss, better by" in render_markdown(summarise(asked.run.events))


def test_other_searches_have_no_questions(story: Any) -> None:
    summary = summarise(story().finished().events)
    assert summary["questions"] == [] and summary["timed"] is None
    assert "Questions" not in render_markdown(summary)


def confirmed(story: Any, late: list[Point]) -> Asked:
    """A run whose winner beats a baseline that rarely arrives."""
    asked = Asked(story, A=TWO_BY_THREE)
    asked.trial("calibrate", line(0.1, 6.0), line(0.12, 6.0)).searching()
    for rate in (6.0, 6.1, 6.2, 6.3, 6.4, 8.0):
        asked.trial("search", line(0.1, rate))
    asked.run.phase("decide", chosen=6, seeds=3)
    asked.trial("decide", line(0.1, 6.0), late, late, of=0)
    asked.trial("decide", line(0.1, 7.0), line(0.1, 7.5), line(0.1, 8.0), of=6)
    asked.run.verdict().closed("finished", "GO")
    return asked


def test_winner_and_baseline_are_compared_as_censored_where_some_never_arrive(story: Any, tmp_path: Any) -> None:
    asked = confirmed(story, line(0.1, 1.0))
    asked.questions()
    summary = summarise(asked.run.events)
    compared = summary["timed"]["compared"]
    assert compared["horizon"] == 10.0
    baseline, winner = compared["baseline"], compared["winner"]
    assert (baseline["seeds"], baseline["reached"], baseline["median"]) == (3, 1, None)
    assert baseline["curve"] == [[0.0, 1.0], [5.0, pytest.approx(2 / 3)]]
    assert baseline["restricted_mean"] == pytest.approx((5 + 10 + 10) / 3)
    assert (winner["reached"], winner["restricted_mean"]) == (3, pytest.approx((30 / 7 + 4 + 3.75) / 3))
    assert 0 < compared["logrank"] < 0.1
    text = render_markdown(summary)
    assert "## Time to the target" in text and "not reached" in text and "log-rank test" in text
    assert "does it pay?" in text
    assert "method cubic" in closing_text(summary, "finished", "GO", tmp_path)


def test_where_all_arrive_there_is_nothing_to_censor(story: Any) -> None:
    assert summarise(confirmed(story, line(0.1, 6.5)).run.events)["timed"]["compared"] is None


def test_speed_and_quality_are_drawn(story: Any) -> None:
    evidence = gather(confirmed(story, line(0.1, 1.0)).run.events)
    assert [course.trial for course in evidence.courses] == list(range(7))
    reached = evidence.courses[6].reached
    assert reached == pytest.approx((37.5, 3.75)) and evidence.courses[6].seconds_per_step == pytest.approx(0.1)
    pictures = draw(evidence)
    assert {"frontier", "clocks", "survival"} <= set(pictures)
    page = render_page(evidence, pictures)
    assert "Speed and quality" in page and "Kaplan and Meier" in page
    for name in ("frontier", "clocks", "survival"):
        image = Image.open(io.BytesIO(pictures[name])).convert("RGB")
        drawn = {colour for _, colour in image.getcolors(1 << 24) or ()}
        for colour in (BASELINE, WINNER):
            assert tuple(bytes.fromhex(colour[1:])) in drawn, (name, colour)


def test_where_there_is_nothing_to_draw_nothing_is_drawn(story: Any) -> None:
    assert "survival" not in draw(gather(confirmed(story, line(0.1, 6.5)).run.events))
    assert not {"frontier", "clocks", "survival"} & set(draw(gather(story().finished().events)))


def test_tokens_are_a_third_clock_where_they_are_counted(story: Any) -> None:
    asked = confirmed(story, line(0.1, 6.5))
    for event in asked.run.events:
        if isinstance(event, AttemptEnded):
            event.info.update(tokens=51200, steps=100)
    figure = clocks(gather(asked.run.events))
    assert figure is not None
    assert [axes.get_xlabel() for axes in figure.axes] == ["seconds of training", "steps", "tokens"]
