"""Every mistake of a study file at once: with file, line, key, what was expected, and the nearest valid name."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from flopwise.errors import StudyError
from flopwise.space import Categorical, Float, Int
from flopwise.study import Study, parse_study, study_from_mapping

Edit = Callable[..., str]


def problems(text: str) -> list[str]:
    """Every problem of a study file, as printed."""
    with pytest.raises(StudyError) as caught:
        parse_study(text, "s.yaml")
    return [str(problem) for problem in caught.value.problems]


def only_problem(text: str) -> str:
    """The one problem of a study file."""
    (found,) = problems(text)
    return found


def with_space(edited: Edit, line: str) -> str:
    return edited("space:\n", f"space:\n  {line}\n")


def test_the_shortest_study_gets_every_default(minimal: str) -> None:
    study = parse_study(minimal)
    assert study.canonical == {
        "name": "pilot",
        "workload": "toy",
        "base": {
            "net": {"width": 8, "heads": 2, "kind": "plain", "dropout": 0.0, "bias": True, "window": None},
            "train": {"lr": 1e-3, "steps_per_unit": 1.0},
        },
        "space": {"train.lr": {"type": "float", "low": 1e-4, "high": 0.1, "scale": "log"}},
        "objective": {"metric": "val_loss", "direction": "minimize"},
        "evaluation": {"stop": {"flops": 1000.0}, "seeds": 1, "timeout": None},
        "search": {"method": "draws", "seed": 0, "options": {}},
        "tiers": {"default": {"trials": 32}},
        "limits": {"evaluations": None, "device_hours": None, "wall_clock": None, "price": None},
        "execution": {
            "executor": "local",
            "slots": None,
            "threads": 1,
            "price_per_hour": 0.0,
            "grace": 60.0,
            "retries": 2,
            "pass_env": [],
        },
        "policies": {"watch": {"pause_above": 0.1}, "other_watch": {"pause_above": 0.1}},
        "calibration": {"seeds": 3, "signal": None, "knobs": None, "ladder": None},
        "confirm": {"top": 3, "seeds": None, "looks": 4, "min_improvement": 0.01},
    }
    assert (study.name, study.source, study.text, study.warnings) == ("pilot", "study.yaml", minimal, ())


def test_every_key_is_read(edited: Edit) -> None:
    canonical = parse_study(
        edited(
            "{method: draws}",
            "{method: waves, seed: 7, sigma: 0.5}",
            add="""\
tiers: {min: {population: 4, generations: 1}, max: {population: 8, generations: 1e1}}
limits: {evaluations: 100, device_hours: 2, wall_clock: 1h30m, price: $5}
execution: {executor: inline, slots: 2, threads: 3, price_per_hour: $0.20, grace: 5s, retries: 0, pass_env: [HF_TOKEN]}
policies: {watch: {pause_above: 0.5}, other_watch: false}
calibration: {seeds: 5}
confirm: {top: 1, seeds: 9, min_improvement: 0}
""",
        )
    ).canonical
    assert canonical["search"] == {"method": "waves", "seed": 7, "options": {"sigma": 0.5}}
    assert canonical["tiers"] == {
        "min": {"population": 4, "generations": 1},
        "max": {"population": 8, "generations": 10},
    }
    assert canonical["limits"] == {"evaluations": 100, "device_hours": 2.0, "wall_clock": 5400.0, "price": 5.0}
    assert canonical["execution"] == {
        "executor": "inline",
        "slots": 2,
        "threads": 3,
        "price_per_hour": 0.2,
        "grace": 5.0,
        "retries": 0,
        "pass_env": ["HF_TOKEN"],
    }
    assert canonical["policies"] == {"watch": {"pause_above": 0.5}, "other_watch": None}
    assert canonical["calibration"] == {"seeds": 5, "signal": None, "knobs": None, "ladder": None}
    assert canonical["confirm"] == {"top": 1, "seeds": 9, "looks": 4, "min_improvement": 0.0}


@pytest.mark.parametrize(
    ("stop", "canonical"),
    [
        ("{flops: 150 GFLOP}", {"flops": 1.5e11}),
        ("{tokens: 2.1M}", {"tokens": 2.1e6}),
        ("{steps: 300}", {"steps": 300.0}),
        ("{seconds: 10m}", {"seconds": 600.0}),
    ],
)
def test_stops_take_units(edited: Edit, stop: str, canonical: dict[str, float]) -> None:
    assert parse_study(edited("{flops: 1e3}", stop)).canonical["evaluation"]["stop"] == canonical


def test_an_empty_section_has_its_defaults(minimal: str) -> None:
    assert parse_study(minimal + "limits:\nbase:\npolicies:\ntiers:\n").canonical == parse_study(minimal).canonical


def test_auto_means_decided_later(minimal: str) -> None:
    canonical = parse_study(minimal + "execution: {slots: auto}\nconfirm: {seeds: auto}\n").canonical
    assert canonical["execution"]["slots"] is None
    assert canonical["confirm"]["seeds"] is None


def test_what_a_slot_gets_is_kept_where_it_is_said(minimal: str) -> None:
    said = "execution: {memory: 4 GiB, accelerators: 2, exclusive: false, wait: 10m}\n"
    execution = parse_study(minimal + said).canonical["execution"]
    assert (execution["memory"], execution["accelerators"], execution["wait"]) == (2.0**32, 2, 600.0)
    assert execution["exclusive"] is False
    for auto in ("accelerators: auto", "exclusive: auto", "memory: null", "wait: null"):
        key = auto.split(":")[0]
        assert key not in parse_study(minimal + f"execution: {{{auto}}}\n").canonical["execution"]


def test_generational_searchers_get_generations_by_default(edited: Edit) -> None:
    canonical = parse_study(edited("method: draws", "method: waves")).canonical
    assert canonical["tiers"] == {"default": {"population": 8, "generations": 4}}


def test_calibration_has_at_least_the_seeds_of_a_trial(edited: Edit) -> None:
    five = edited("{stop: {flops: 1e3}}", "{stop: {flops: 1e3}, seeds: 5}")
    assert parse_study(five).canonical["calibration"] == {"seeds": 5, "signal": None, "knobs": None, "ladder": None}
    assert "calibration.seeds: expected at least evaluation.seeds (5), got 4" in only_problem(
        five + "calibration: {seeds: 4}\n"
    )


def test_a_misspelt_section_is_one_problem_that_names_the_right_one(edited: Edit) -> None:
    found = only_problem(edited("space:", "sapce:"))
    assert found.startswith("s.yaml:3: sapce: unknown key; expected one of name, workload, after, base, space,")
    assert found.endswith("did you mean 'space'?")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "workload: toy",
            "workload: toyy",
            "s.yaml:2: workload: expected one of toy, anything, got 'toyy'; did you mean 'toy'?",
        ),
        (
            "method: draws",
            "method: drows",
            "s.yaml:7: search.method: expected one of draws, waves, got 'drows'; did you mean 'draws'?",
        ),
        (
            "method: draws",
            "method: waves, sgima: 1",
            "s.yaml:7: search.sgima: unknown key; expected one of sigma; did you mean 'sigma'?",
        ),
        ("method: draws", "method: draws, sigma: 1", "s.yaml:7: search.sigma: unknown key; expected none here"),
        ("method: draws", "method: waves, sigma: true", "s.yaml:7: search.sigma: expected a number, got True"),
        (
            "val_loss",
            "val_los",
            "s.yaml:5: objective.metric: expected one of val_loss, accuracy, seconds_to_target, got 'val_los'; did you",
        ),
        (
            "val_loss}",
            "val_loss, direction: down}",
            "s.yaml:5: objective.direction: expected one of minimize, maximize, got 'down'",
        ),
        ("name: pilot", "name: a/b", "s.yaml:1: name: expected 1 to 64 letters"),
        ("name: pilot", "name: 3", "s.yaml:1: name: expected a text, got 3"),
        ("name: pilot\n", "", "s.yaml:1: name: missing"),
        ("objective: {metric: val_loss}\n", "", "s.yaml:1: objective: missing"),
        ("low: 1e-4, ", "", "s.yaml:4: space.train.lr.low: missing"),
        (
            "low: 1e-4",
            "lwo: 1e-4, low: 1e-4",
            "s.yaml:4: space.train.lr.lwo: unknown key; expected one of type, low, high, scale, when; did you",
        ),
        ("low: 1e-4", "low: tiny", "s.yaml:4: space.train.lr.low: expected a number, got 'tiny'"),
        ("low: 1e-4", "low: '1e-4'", "s.yaml:4: space.train.lr.low: expected a number, got '1e-4'"),
        ("low: 1e-4", "low: 1.0", "s.yaml:4: space.train.lr: low 1 is not below high 0.1"),
        ("low: 1e-4", "low: 0", "s.yaml:4: space.train.lr: a log scale needs low > 0, got low: 0"),
        (
            "type: float",
            "type: flaot",
            "s.yaml:4: space.train.lr.type: expected one of float, int, categorical, bool, got 'flaot'; did you mean",
        ),
        (
            "type: float, ",
            "",
            "s.yaml:4: space.train.lr: the key 'type' is missing; expected one of float, int, categorical, bool",
        ),
        (
            "scale: log",
            "scale: lg",
            "s.yaml:4: space.train.lr.scale: expected one of linear, log, got 'lg'; did you mean 'log'?",
        ),
        (
            "train.lr:",
            "train.lrr:",
            "has no such key; expected one of train.lr, train.steps_per_unit; did you mean 'train.lr'?",
        ),
        ("train.lr:", "lr:", "did you mean 'train.lr'?"),
        (
            "train.lr:",
            "train:",
            "s.yaml:4: space.train: this is a section; name one of its keys: train.lr, train.steps_per_unit",
        ),
        (
            "train.lr:",
            "'train lr':",
            "s.yaml:4: space.train lr: expected a dotted key such as train.lr, got 'train lr'",
        ),
        (
            "{flops: 1e3}",
            "{flops: 1e3, steps: 5}",
            "s.yaml:6: evaluation.stop: expected exactly one of flops, steps; drop the others",
        ),
        (
            "{flops: 1e3}",
            "{flop: 1e3}",
            "s.yaml:6: evaluation.stop.flop: unknown key; expected one of flops, tokens, steps, seconds; did you mean",
        ),
        (
            "{flops: 1e3}",
            "{flops: many}",
            "s.yaml:6: evaluation.stop.flops: not a number of FLOPs; expected a number such as 1.5e11",
        ),
        ("{flops: 1e3}", "{steps: 1.5}", "s.yaml:6: evaluation.stop.steps: expected a whole number, got 1.5"),
        ("{flops: 1e3}", "{flops: 0}", "s.yaml:6: evaluation.stop.flops: expected more than 0, got"),
        ("{flops: 1e3}", "{flops: 3}", "s.yaml:6: evaluation.stop: buys no step; one costs 8 FLOPs"),
        ("{flops: 1e3}", "{}", "s.yaml:6: evaluation.stop: missing"),
        (
            "{flops: 1e3}}",
            "{flops: 1e3}, timeout: soon}",
            "s.yaml:6: evaluation.timeout: not a duration; expected a number of seconds, or a text such as 90s",
        ),
        (
            "{flops: 1e3}}",
            "{flops: 1e3}, seeds: true}",
            "s.yaml:6: evaluation.seeds: expected a whole number, got True",
        ),
        ("{flops: 1e3}}", "{flops: 1e3}, seeds: 0}", "s.yaml:6: evaluation.seeds: expected at least 1, got 0"),
    ],
)
def test_one_mistake_is_one_problem(edited: Edit, old: str, new: str, expected: str) -> None:
    assert expected in only_problem(edited(old, new))


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (
            "tiers: {min: {population: 4, generations: 2}}",
            "s.yaml:8: tiers.min: draws has no generations: give trials instead of population and generations",
        ),
        ("tiers: {min: {}}", "s.yaml:8: tiers.min: draws has no generations: trials missing"),
        ("tiers: {min: {trials: 0}}", "s.yaml:8: tiers.min.trials: expected at least 1, got 0"),
        ("tiers: {a/b: {trials: 1}}", "s.yaml:8: tiers.a/b: expected 1 to 64 letters"),
        ("tiers: {}", "s.yaml:8: tiers: expected at least 1 entry, got {}"),
        ("limits: {evaluations: 1.5}", "s.yaml:8: limits.evaluations: expected a whole number, got 1.5"),
        ("limits: {price: free}", "s.yaml:8: limits.price: not an amount of money"),
        ("limits: {wall_clock: -1}", "s.yaml:8: limits.wall_clock: not a duration"),
        ("limits: 3", "s.yaml:8: limits: expected a mapping, got 3"),
        (
            "execution: {executor: lokal}",
            "s.yaml:8: execution.executor: expected one of local, inline, got 'lokal'; did you mean 'local'?",
        ),
        ("execution: {slots: many}", "s.yaml:8: execution.slots: expected a whole number, got 'many'"),
        ("execution: {slots: 0}", "s.yaml:8: execution.slots: expected at least 1, got 0"),
        (
            "execution: {pass_env: [LD_PRELOAD]}",
            "s.yaml:8: execution.pass_env.0: LD_PRELOAD decides what code an attempt runs",
        ),
        (
            "execution: {pass_env: [A=B]}",
            "s.yaml:8: execution.pass_env.0: expected the name of an environment variable",
        ),
        ("execution: {pass_env: HF_TOKEN}", "s.yaml:8: execution.pass_env: expected a list, got 'HF_TOKEN'"),
        (
            "policies: {wach: {}}",
            "s.yaml:8: policies.wach: unknown key; expected one of watch, other_watch; did you mean 'watch'?",
        ),
        (
            "policies: {watch: {pause: 1}}",
            "s.yaml:8: policies.watch.pause: unknown key; expected one of pause_above; did you mean 'pause_above'?",
        ),
        ("policies: {watch: {pause_above: 2}}", "s.yaml:8: policies.watch.pause_above: expected at most 1, got 2"),
        ("policies: {watch: 2}", "s.yaml:8: policies.watch: expected a mapping of options, or false, got 2"),
        ("calibration: {seeds: 1}", "s.yaml:8: calibration.seeds: expected at least 2, got 1"),
        ("confirm: {min_improvement: -1}", "s.yaml:8: confirm.min_improvement: expected at least 0, got -1"),
        ("confirm: {seeds: 1}", "s.yaml:8: confirm.seeds: expected at least 2, got 1"),
        ("confirm: {looks: 0}", "s.yaml:8: confirm.looks: expected at least 1, got 0"),
        (
            "confirm: {also: {acuracy: {}}}",
            "s.yaml:8: confirm.also.acuracy: expected one of val_loss, accuracy, got 'acuracy'; did you mean",
        ),
        (
            "confirm: {also: {val_loss: {}}}",
            "s.yaml:8: confirm.also.val_loss: it is the objective's metric, and judged already; drop it here",
        ),
        (
            "confirm: {also: {accuracy: {wors: 1}}}",
            "s.yaml:8: confirm.also.accuracy.wors: unknown key; expected one of",
        ),
        (
            "confirm: {also: {accuracy: {worse: -1}}}",
            "s.yaml:8: confirm.also.accuracy.worse: expected at least 0, got -1",
        ),
        (
            "base: {net: {widht: 4}}",
            "s.yaml:8: base.net.widht: unknown key; expected one of width, heads, kind, dropout, bias, window; did you",
        ),
        ("base: {net: {width: '4'}}", "s.yaml:8: base.net.width: expected a whole number, got '4'"),
        ("base: {net: {width: 100}}", "s.yaml:8: base.net.width: expected at most 64, got 100"),
        ("base: {net: {width: 7}}", "s.yaml:8: base.net.width: width 7 is not a multiple of heads 2"),
        ("base: [1]", "s.yaml:8: base: expected a mapping, got [1]"),
        ("wat: 1", "s.yaml:8: wat: unknown key"),
    ],
)
def test_one_mistake_in_an_added_section_is_one_problem(edited: Edit, section: str, expected: str) -> None:
    assert only_problem(edited(add=section + "\n")).startswith(expected)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("net.width: {type: int, low: 2, high: 128, step: 2}", "at 128: expected at most 64, got 128"),
        ("net.width: {type: int, low: 2, high: 8}", "at 3: width 3 is not a multiple of heads 2"),
        ("net.heads: {type: int, low: 1, high: 5}", "at 5: net.width: width 8 is not a multiple of heads 5"),
        ("net.heads: {type: float, low: 1, high: 4}", "at 1.0: expected a whole number, got 1.0"),
        ("net.kind: {type: categorical, choices: [plain, 3]}", "at 3: expected a text, got 3"),
        ("net.bias: {type: categorical, choices: [0, 1]}", "at 0: expected true or false, got 0"),
        ("net.kind: {type: bool}", "at False: expected a text, got False"),
        ("net.window: {type: int, low: 1, high: 4}", "the baseline is null here; give it a value in `base`"),
        ("net.dropout: {type: categorical, choices: [0, 0.0]}", "the workload reads two choices as one"),
        ("net.dropout: {type: categorical, choices: [0.5]}", "a categorical needs at least two choices"),
        ("net.width: {type: int, low: 2, high: 9, step: 2}", "high 9 is not low + k * step (2); use high: 8"),
    ],
)
def test_what_the_space_allows_must_fit_the_workload(edited: Edit, line: str, expected: str) -> None:
    key = line.split(":")[0]
    found = only_problem(with_space(edited, line))
    assert found.startswith(f"s.yaml:4: space.{key}: {expected}")


def test_a_value_that_leaves_no_step_is_a_problem_of_its_key(edited: Edit) -> None:
    text = edited("{flops: 1e3}", "{flops: 10}").replace(
        "space:\n", "space:\n  net.width: {type: int, low: 2, high: 16, step: 2}\n"
    )
    assert "space.net.width: at 16: evaluation.stop: buys no step; one costs 16 FLOPs" in only_problem(text)


def test_searchers_refuse_spaces_they_cannot_search(edited: Edit) -> None:
    text = with_space(edited, "net.bias: {type: bool}").replace("draws", "waves")
    assert only_problem(text) == "s.yaml:4: space.net.bias: waves takes numbers only"


def test_generational_searchers_refuse_trials(edited: Edit) -> None:
    text = edited("draws", "waves", add="tiers: {min: {trials: 3}, max: {population: 4}}\n")
    assert problems(text) == [
        "s.yaml:8: tiers.min: waves searches by generations: give population and generations instead of trials",
        "s.yaml:8: tiers.max: waves searches by generations: generations missing",
    ]


def test_all_mistakes_come_at_once_in_file_order() -> None:
    found = problems(
        """\
name: '-'
workload: toy
base: {net: {width: 0}, trian: {}}
sapce: {}
space:
  train.lr: {type: float, low: 2, high: 1}
  net.kinds: {type: int, low: 1, high: 2}
  net.heads: {type: int}
  net.heads: 3
objective: {metric: loss}
evaluation: {seeds: .nan}
search: {method: waves, sigma: 9}
tiers: {min: {trials: 3}}
limits: {price: -1}
execution: {threads: 0, executor: mars}
policies: {watch: {pause_above: no}}
calibration: {seeds: 0}
confirm: {top: 0}
"""
    )
    keys = [re.sub(r"^s\.yaml:\d+: ([^:]+):.*$", r"\1", line) for line in found]
    assert keys == [
        "name",
        "base.net.width",
        "base.trian",
        "sapce",
        "space.train.lr",
        "space.net.kinds",
        "space.net.heads.low",
        "space.net.heads.high",
        "space.net.heads",
        "objective.metric",
        "evaluation.seeds",
        "evaluation.stop",
        "search.sigma",
        "tiers.min",
        "limits.price",
        "execution.threads",
        "execution.executor",
        "policies.watch.pause_above",
        "calibration.seeds",
        "confirm.top",
    ]
    lines = [int(line.split(":")[1]) for line in found]
    assert lines == sorted(lines)


def test_a_baseline_outside_the_space_is_a_warning(edited: Edit) -> None:
    text = edited("low: 1e-4", "low: 1e-2").replace(
        "space:\n", "space:\n  net.kind: {type: categorical, choices: [a, b]}\n"
    )
    study = parse_study(text, "s.yaml")
    assert study.warnings == (
        "s.yaml:4: space.net.kind: the baseline 'plain' is not among the choices",
        "s.yaml:5: space.train.lr: the baseline 0.001 is not in the range 0.01 to 0.1",
    )


def test_choices_take_the_type_of_the_workload(edited: Edit) -> None:
    study = parse_study(with_space(edited, "net.dropout: {type: categorical, choices: [0, 0.5, 1]}"))
    assert [type(choice) for choice in study.canonical["space"]["net.dropout"]["choices"]] == [float] * 3


def test_a_workload_without_a_config_model_takes_any_mapping(edited: Edit) -> None:
    text = edited("workload: toy", "workload: anything\nbase: {a: {b: 1}, c: text}").replace(
        "{stop: {flops: 1e3}}", "{}"
    )
    assert parse_study(text).canonical["base"] == {"a": {"b": 1}, "c": "text"}
    text = text.replace("train.lr:", "a.b.x:")
    assert "space.a.b.x: 'a.b' is 1 in `base`, which has no keys inside" in only_problem(text)
    assert "space.c: expected a number as the baseline in `base`, got 'text'" in only_problem(
        text.replace("a.b.x:", "c:")
    )


def test_a_key_inside_another_key_of_the_space_is_refused(edited: Edit) -> None:
    text = edited("workload: toy", "workload: anything").replace("space:\n", "space:\n  train: {type: bool}\n")
    assert "space.train.lr: lies inside 'train', which the space sets as a whole" in only_problem(text)


@pytest.mark.parametrize("text", ["", "# nothing\n", "3", "[a]", "text"])
def test_a_file_that_is_no_mapping_is_one_problem(text: str) -> None:
    assert only_problem(text).startswith("s.yaml:1: file: expected a mapping with the keys name, workload,")


def test_python_mappings_take_parameters_and_give_no_lines() -> None:
    mapping = {
        "name": "pilot",
        "workload": "toy",
        "space": {
            "train.lr": Float(1e-4, 1e-1, "log"),
            "net.heads": Int(1, 2),
            "net.kind": Categorical(("plain", "odd")),
            "net.bias": Categorical((False, True)),
        },
        "objective": {"metric": "accuracy", "direction": "maximize"},
        "evaluation": {"stop": {"flops": 100}},
    }
    with pytest.raises(StudyError) as caught:
        study_from_mapping({**mapping, "search": {"method": "drows"}})
    assert [str(problem) for problem in caught.value.problems] == [
        "search.method: expected one of draws, waves, got 'drows'; did you mean 'draws'?"
    ]
    study = study_from_mapping({**mapping, "search": {"method": "draws"}})
    assert isinstance(study, Study)
    assert study.source == "python"
    assert study.space.parameters == dict(sorted(mapping["space"].items()))  # type: ignore[attr-defined]
    assert parse_study(study.text).canonical == study.canonical


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (object(), "got object"),
        (float("nan"), "finite"),
        ({1: 2}, "keys are texts, got 1"),
        (b"x", "got bytes"),
        ({"a": {3}}, "base.x.a: expected a plain value"),
        (10**30, "2**63"),
    ],
)
def test_python_values_that_are_not_json_are_refused(value: object, expected: str) -> None:
    with pytest.raises(StudyError) as caught:
        study_from_mapping({"base": {"x": value}})
    assert any(expected in str(problem) and "base.x" in problem.key for problem in caught.value.problems)


def test_a_mapping_inside_itself_is_refused() -> None:
    endless: dict[str, object] = {}
    endless["a"] = endless
    with pytest.raises(StudyError, match="nested deeper than 64 levels"):
        study_from_mapping({"base": endless})
