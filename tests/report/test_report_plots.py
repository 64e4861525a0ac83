"""Pictures: drawn when there is something to draw, whatever the study is called or measures."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from flopwise.registry import load, names
from flopwise.report.evidence import Evidence, gather
from flopwise.report.importance import importance
from flopwise.report.plots.curves import smooth
from flopwise.report.plots.png import draw
from flopwise.report.plots.slices import slices
from flopwise.report.plots.style import BASELINE, WINNER, limits, styled, ticks
from flopwise.space import Float, Int

SPACE: dict[str, Any] = {
    "model.$kind": {"type": "categorical", "choices": ["$a$", "b_{", None, True, 1]},
    "model.n_layer": {"type": "int", "low": 1, "high": 4, "scale": "linear", "step": 1},
    "model.wide": {"type": "int", "low": 1, "high": 4096, "scale": "log", "step": 1},
    "train.decay": {"type": "float", "low": -1.0, "high": 1.0, "scale": "linear"},
    "train.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "scale": "log"},
    "x.on": {"type": "bool"},
}

OF_TARGETS = {"frontier", "clocks", "survival"}
"""Drawn for studies that validate."""


def weighed(events: list[Any]) -> Evidence:
    evidence = gather(events)
    return replace(evidence, importance=importance(evidence))


def colours(picture: bytes) -> set[Any]:
    counted = Image.open(io.BytesIO(picture)).convert("RGB").getcolors(1 << 24)
    return {colour for _, colour in counted or ()}


def finished(story: Any, **study: Any) -> list[Any]:
    """A long search that ends in a verdict for its best trial."""
    run = story(**study).long(30, lambda config: float(hash(str(config["train.lr"])) % 97))
    trials = [trial for number, trial in run.state.trials.items() if number]
    best = min(trials, key=lambda trial: (trial.loss(run.objective), trial.trial.number)).trial
    run.phase("choose", candidates=[best.number], seeds=2).proposed(31, "choose", 2, best.number, **best.config)
    run.ran(31, 1.0, 1.1).phase("decide", chosen=best.number, seeds=2)
    run.proposed(32, "decide", 2, 0).proposed(33, "decide", 2, best.number, **best.config)
    return list(run.ran(32, 50.0, 50.5).ran(33, 1.0, 1.2).verdict().closed("finished", "GO").events)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_every_picture_is_drawn_and_is_a_picture(story: Any, direction: str) -> None:
    events = finished(story, objective={"metric": "$loss_{val}$ \x1b[31m", "direction": direction})
    pictures = draw(weighed(events))
    assert list(pictures) == [name for name in names("plots") if name not in OF_TARGETS]
    for content in pictures.values():
        image = Image.open(io.BytesIO(content))
        assert image.format == "PNG" and image.width == 1280
        assert len(colours(content)) > 20


def test_baseline_and_winner_have_their_colours(story: Any) -> None:
    pictures = draw(weighed(finished(story)))
    for name in ("history", "spend", "slice", "parallel"):
        for colour in (BASELINE, WINNER):
            assert tuple(bytes.fromhex(colour[1:])) in colours(pictures[name]), (name, colour)


def test_any_knob_can_be_drawn(story: Any) -> None:
    run = story(space=SPACE, base={"model": {"$kind": "b_{", "wide": 64}, "train": {"decay": 5.0, "lr": 9.0}})
    pictures = draw(weighed(run.long(25, lambda config: config["train.lr"]).events))
    assert {"slice", "parallel", "importance"} <= set(pictures)


def test_a_knob_is_drawn_where_its_conditions_hold(story: Any) -> None:
    gates = {"type": "int", "low": 1, "high": 9, "scale": "linear", "step": 1, "when": {"model.kind": ["gated"]}}
    space = {"model.kind": {"type": "categorical", "choices": ["plain", "gated"]}, "model.gates": gates}
    run = story(space=space, base={"model": {"kind": "plain", "gates": 5}})
    run.opened().phase("calibrate").proposed(0, "calibrate", **{"model.kind": "plain", "model.gates": 5}).ran(0, 9.0)
    for number, kind in enumerate(("plain", "gated", "gated"), 1):
        run.proposed(number, "search", **{"model.kind": kind, "model.gates": 4 + number}).ran(number, float(number))
    figure = slices(gather(run.events))
    assert figure is not None
    counts = {axes.get_xlabel(): len(axes.collections[0].get_offsets()) for axes in figure.axes if axes.collections}
    assert counts == {"kind": 3, "gates": 2}


def test_the_same_run_gives_the_same_pictures(story: Any) -> None:
    events = story().long(8, lambda config: config["train.lr"]).events
    assert draw(weighed(events)) == draw(weighed(events))


def test_a_run_without_values_has_no_pictures(story: Any) -> None:
    for run in (story(), story().opened(), story().opened().calibrated(2.5)):
        assert draw(weighed(run.events)) == {}


def test_failures_and_far_values_stay_at_the_edge(story: Any) -> None:
    run = story().opened().calibrated(2.5).tier().phase("search")
    for number in range(1, 20):
        run.proposed(number, "search").ran(number, 2.0 + 0.01 * number)
    run.proposed(20, "search").ran(20, 1e30).proposed(21, "search").ran(21, None)
    evidence = gather(run.events)
    low, high = limits(evidence, [f.value for f in evidence.finished if f.value is not None])
    assert low < 2.01 and high < 4.0
    assert "history" in draw(weighed(run.events))


def test_ticks_are_values_decades_or_round_numbers() -> None:
    with styled():
        assert ticks(Int(48, 128, step=16)) == [48, 64, 80, 96, 112, 128]
        assert ticks(Float(1e-4, 3e-2, "log")) == pytest.approx([1e-4, 1e-3, 1e-2])
        assert ticks(Float(2.0, 3.0, "log")) == [2.0, 3.0]
        assert ticks(Float(0.0, 0.5)) == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])


def test_a_running_mean_keeps_a_line_and_its_length() -> None:
    assert smooth([1.0, 2.0, 3.0]) == [1.0, 2.0, 3.0]
    assert smooth([5.0] * 100) == [5.0] * 100


def test_plots_are_a_family_of_the_registry() -> None:
    assert [name for name in names("plots") if name not in OF_TARGETS] == [
        "history", "spend", "curves", "importance", "slice", "parallel"
    ]  # fmt: skip
    assert all(callable(load("plots", name)) for name in names("plots"))
