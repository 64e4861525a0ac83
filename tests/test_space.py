"""The search space: exact round trips, bounds, order, and refusals that teach."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flopwise.errors import SpaceError
from flopwise.space import Categorical, Float, Int, Parameter, Space, centre

relaxed = settings(deadline=None, max_examples=200)
units = st.floats(0.0, 1.0)
numbers = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(min_value=1e-300, max_value=1e300)


@st.composite
def floats(draw: st.DrawFn) -> Float:
    """Any float parameter that can be made."""
    scale = draw(st.sampled_from(["linear", "log"]))
    low, high = sorted([draw(positive if scale == "log" else numbers), draw(positive if scale == "log" else numbers)])
    try:
        return Float(low, high, scale)
    except SpaceError:
        assume(False)
        raise


@st.composite
def ints(draw: st.DrawFn) -> Int:
    """Any int parameter that can be made."""
    step = draw(st.integers(1, 1000))
    low = draw(st.integers(-(10**9), 10**9))
    linear = Int(low, low + step * draw(st.integers(1, 10**6)), step=step)
    small = draw(st.integers(1, 10**6))
    return draw(st.sampled_from([linear, Int(small, small + draw(st.integers(1, 10**9)), "log")]))


scalars = st.one_of(st.booleans(), st.integers(-5, 5), st.floats(-2, 2), st.text(max_size=3))
categoricals = st.lists(scalars, min_size=2, max_size=9, unique_by=lambda c: (type(c), c)).map(
    lambda choices: Categorical(tuple(choices))
)
parameters: st.SearchStrategy[Parameter] = st.one_of(floats(), ints(), categoricals)


@relaxed
@given(parameters, units)
def test_a_decoded_value_comes_back_to_the_last_bit(parameter: Parameter, unit: float) -> None:
    value = parameter.decode(unit)
    assert parameter.decode(parameter.encode(value)) == value
    assert type(parameter.decode(parameter.encode(value))) is type(value)


@relaxed
@given(parameters, units)
def test_a_decoded_value_survives_json(parameter: Parameter, unit: float) -> None:
    value = parameter.decode(unit)
    assert json.loads(json.dumps(value)) == value


@relaxed
@given(parameters, st.floats(allow_nan=False))
def test_any_coordinate_gives_a_value_of_the_parameter(parameter: Parameter, unit: float) -> None:
    assert parameter.contains(parameter.decode(unit))


@relaxed
@given(parameters, units)
def test_encoding_stays_in_the_unit_interval(parameter: Parameter, unit: float) -> None:
    assert 0.0 <= parameter.encode(parameter.decode(unit)) <= 1.0


@relaxed
@given(st.one_of(floats(), ints()))
def test_zero_and_one_are_the_bounds(parameter: Float | Int) -> None:
    assert parameter.decode(0.0) == parameter.low
    assert parameter.decode(1.0) == parameter.high


@relaxed
@given(st.one_of(floats(), ints()), units, units)
def test_decoding_keeps_order(parameter: Float | Int, one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert parameter.decode(low) <= parameter.decode(high)


@relaxed
@given(st.one_of(floats(), ints()), numbers)
def test_values_outside_are_clipped(parameter: Float | Int, value: float) -> None:
    assume(not parameter.low <= value <= parameter.high)
    bound = parameter.low if value < parameter.low else parameter.high
    assert parameter.encode(value) == parameter.encode(bound)
    assert not parameter.contains(value)


@pytest.mark.parametrize("parameter", [Int(1, 64), Int(1, 64, "log"), Int(-8, 8, step=4), Int(1, 5000, "log")])
def test_every_int_is_reached_and_comes_back(parameter: Int) -> None:
    every = list(range(parameter.low, parameter.high + 1, parameter.step))
    assert [parameter.decode(parameter.encode(value)) for value in every] == every


def test_cells_of_ints_and_choices_are_equally_wide() -> None:
    grid = [(index + 0.5) / 1000 for index in range(1000)]
    assert [[Int(1, 4).decode(unit) for unit in grid].count(value) for value in (1, 2, 3, 4)] == [250] * 4
    choices = Categorical(("a", "b"))
    assert [choices.decode(unit) for unit in grid].count("a") == 500


def test_log_scale_spreads_orders_of_magnitude() -> None:
    assert Float(1e-4, 1e-2, "log").decode(0.5) == 1e-3
    assert Float(1e-4, 1e-2).decode(0.5) == 0.00505


def test_true_and_one_are_different_choices() -> None:
    parameter = Categorical((True, 1, 1.0, "1"))
    assert [parameter.encode(choice) for choice in (True, 1, 1.0, "1")] == [0.125, 0.375, 0.625, 0.875]
    assert not Categorical((0, 2)).contains(False)


@relaxed
@given(st.dictionaries(st.text(min_size=1, max_size=5), parameters, min_size=1, max_size=6), st.data())
def test_coordinates_are_in_the_order_of_the_parameters(entries: dict[str, Parameter], data: st.DataObject) -> None:
    space = Space(entries)
    point = [data.draw(units) for _ in entries]
    config = space.decode(point)
    assert list(config) == list(space.keys) == list(entries)
    assert [config[key] for key in entries] == [p.decode(unit) for p, unit in zip(entries.values(), point, strict=True)]
    backwards = dict(reversed(config.items()))
    assert space.encode(backwards) == space.encode(config)
    assert space.decode(space.encode(config)) == config


def test_the_centre_is_the_middle_or_the_first_choice() -> None:
    assert [centre(p) for p in (Float(0, 1), Int(1, 3), Categorical(("a", "b")))] == [0.5, 2, "a"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Float(2, 1), "not below"),
        (lambda: Float(1, 1), "not below"),
        (lambda: Float(0, 1, "log"), "low > 0"),
        (lambda: Float(-1, 1, "log"), "low > 0"),
        (lambda: Float(math.nan, 1), "finite"),
        (lambda: Float(0, math.inf), "finite"),
        (lambda: Float(1.0, 1.0 + 1e-12), "narrow"),
        (lambda: Float(-1.7e308, 1.7e308), "wide"),
        (lambda: Float(5e-324, 1.0, "log"), "wide"),
        (lambda: Int(3, 1), "not below"),
        (lambda: Int(0, 8, "log"), "low > 0"),
        (lambda: Int(0, 7, step=2), "use high: 6"),
        (lambda: Int(0, 7, step=0), "positive"),
        (lambda: Int(1, 9, "log", 2), "do not go together"),
        (lambda: Int(0, 10**16), "too many"),
        (lambda: Int(1, 10**16, "log"), "too many"),
        (lambda: Categorical(("a",)), "two choices"),
        (lambda: Categorical(("a", "b", "a")), "twice"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(make: Any, words: str) -> None:
    with pytest.raises(SpaceError, match=words):
        make()


def test_configs_that_do_not_fit_are_refused() -> None:
    space = Space({"lr": Float(0, 1), "kind": Categorical(("a", "b"))})
    with pytest.raises(SpaceError, match="lacks kind"):
        space.encode({"lr": 0.5})
    with pytest.raises(SpaceError, match="not one of the choices"):
        space.encode({"lr": 0.5, "kind": "c"})
    with pytest.raises(SpaceError, match="number of coordinates"):
        space.decode([0.5])


# Conditions

KINDS = Categorical(("plain", "gated", "memory"))
BASELINE = {"kind": "plain", "gates": 2, "rank": 3, "fixed": 7, "slots": "none"}


def conditional() -> Space:
    """``gates`` needs a kind, ``rank`` needs ``gates``; ``slots`` has a baseline that is none of its choices."""
    parameters: dict[str, Parameter] = {
        "rank": Int(1, 8),
        "gates": Int(1, 4),
        "kind": KINDS,
        "slots": Categorical(("few", "many")),
        "lr": Float(1e-4, 1e-1, "log"),
    }
    when = {
        "rank": {"gates": [2, 4]},
        "gates": {"kind": ["gated", "memory"], "fixed": [7]},
        "slots": {"kind": ["memory"]},
    }
    return Space(parameters, when, BASELINE)


def point(space: Space, **units: float) -> list[float]:
    return [units.get(key, 0.99) for key in space.keys]


def test_inactive_parameters_keep_the_value_of_the_baseline() -> None:
    space = conditional()
    plain = space.decode(point(space, kind=0.1))
    assert {key: plain[key] for key in BASELINE if key in plain} == {
        "kind": "plain",
        "gates": 2,
        "rank": 3,
        "slots": "none",
    }
    gated = space.decode(point(space, kind=0.5))
    assert (gated["gates"], gated["rank"], gated["slots"]) == (4, 8, "none")
    memory = space.decode(point(space, kind=0.9, gates=0.6))
    assert (memory["gates"], memory["rank"], memory["slots"]) == (3, 3, "many")


def test_what_needs_an_inactive_parameter_is_inactive_whatever_value_that_keeps() -> None:
    space = conditional()
    assert BASELINE["gates"] in space.conditions.when["rank"]["gates"]
    assert space.active(space.decode(point(space, kind=0.1))) == {"kind", "lr"}
    assert space.active(space.decode(point(space, kind=0.9))) == set(space.keys)


def test_a_condition_on_a_fixed_key_switches_for_good() -> None:
    space = Space({"x": Int(1, 4)}, {"x": {"fixed": [8]}}, {"x": 2, "fixed": 7})
    assert space.decode([0.99]) == {"x": 2}
    assert space.active({"x": 2}) == set()


@given(st.lists(st.floats(0, 1), min_size=5, max_size=5))
def test_encoding_a_decoded_config_gives_it_back_with_conditions(units: list[float]) -> None:
    space = conditional()
    config = space.decode(units)
    encoded = space.encode(config)
    assert space.decode(encoded) == config
    assert all(0.0 <= unit <= 1.0 for unit in encoded)
    active = space.active(config)
    others = [unit if key in active else 0.123 for key, unit in zip(space.keys, encoded, strict=True)]
    assert space.decode(others) == config


def test_an_inactive_coordinate_is_the_baselines_or_the_middle() -> None:
    space = conditional()
    encoded = dict(zip(space.keys, space.encode(space.decode(point(space, kind=0.1))), strict=True))
    assert encoded["gates"] == space.parameters["gates"].encode(2)
    assert encoded["slots"] == 0.5


def test_what_a_parameter_needs_in_all() -> None:
    needs = conditional().conditions.needs
    assert needs("rank") == {"gates": (2, 4), "kind": ("gated", "memory"), "fixed": (7,)}
    assert needs("kind") == {}
    parameters: dict[str, Parameter] = {"a": Int(1, 3), "b": Int(1, 3), "c": Int(1, 3)}
    space = Space(parameters, {"b": {"a": [1]}, "c": {"a": [2, 3], "b": [1]}}, dict.fromkeys(parameters, 1))
    assert space.conditions.needs("c")["a"] == ()


@pytest.mark.parametrize(
    ("when", "baseline", "words"),
    [
        ({"a": {"b": [1]}, "b": {"a": [1]}}, {"a": 1, "b": 1}, "go round: (a, b, a|b, a, b)"),
        ({"a": {"a": [1]}}, {"a": 1}, "go round: a, a"),
        ({"a": {"z": [1]}}, {"a": 1}, "a baseline value of z"),
        ({"a": {"b": [1]}}, {}, "a baseline value of a"),
        ({"z": {"a": [1]}}, {"z": 1}, "conditions of z"),
    ],
)
def test_conditions_that_make_no_sense_are_refused(when: Any, baseline: Any, words: str) -> None:
    with pytest.raises(SpaceError, match=words):
        Space({"a": Int(1, 3), "b": Int(1, 3)}, when, baseline)


def test_a_thousand_conditions_on_conditions_are_no_trouble() -> None:
    parameters: dict[str, Parameter] = {f"p{index:03}": Int(1, 2) for index in range(200)}
    keys = list(parameters)
    when = {key: {before: [1] for before in keys[max(0, index - 5) : index]} for index, key in enumerate(keys) if index}
    space = Space(parameters, when, dict.fromkeys(keys, 2))
    assert space.decode([0.1] * 200) == dict.fromkeys(keys, 1)
    assert space.decode([0.9] * 200) == dict.fromkeys(keys, 2)
