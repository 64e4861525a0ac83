"""What is wrong with a command before anything has started."""

from __future__ import annotations

from typing import Any

import pytest

from flopwise.errors import StudyError
from flopwise.study import Study, study_from_mapping
from flopwise.trial import Fidelity
from flopwise.workloads.command.spec import SPEC

ARGV = ["train", "--lr={lr}", "--seed={seed}"]


def study(space: Any = None, stop: Any = None, **base: Any) -> Study:
    content: dict[str, Any] = {
        "name": "pilot",
        "workload": "command",
        "base": {"argv": ARGV, "params": {"lr": 0.1}, **base},
        "space": space or {"params.lr": {"type": "float", "low": 0.01, "high": 1.0}},
        "objective": {"metric": "loss"},
        "evaluation": {"stop": stop},
    }
    return study_from_mapping(content)


def problems(**parts: Any) -> dict[str, str]:
    with pytest.raises(StudyError) as caught:
        study(**parts)
    return {problem.key: problem.message for problem in caught.value.problems}


def test_a_command_is_a_study_with_every_default_filled_in() -> None:
    base = study().canonical["base"]
    assert base["argv"] == ARGV
    assert (base["shell"], base["metrics_from"], base["result_file"]) == (False, "result", "result.json")
    assert SPEC.steps(base, Fidelity("steps", 10)) is None
    assert (SPEC.flops(base, Fidelity("flops", 1e9)), SPEC.flops(base, Fidelity("steps", 10))) == (1e9, None)


@pytest.mark.parametrize("stop", [{"steps": 10}, {"tokens": 1e6}, {"flops": 1e9}, {"seconds": 60}])
def test_every_stop_is_passed_on(stop: dict[str, float]) -> None:
    assert study(stop=stop, argv=[*ARGV, "{stop}"])
    assert study(stop=stop, reads_flopwise=True)
    found = problems(stop=stop)
    assert "{stop}" in found["evaluation.stop"] and "FLOPWISE_STOP" in found["evaluation.stop"]


def test_a_stop_that_the_study_does_not_have_is_missed() -> None:
    assert "no evaluation.stop" in problems(argv=[*ARGV, "{stop}"])["base.argv.3"]


def test_a_placeholder_that_names_nothing_is_told_the_nearest() -> None:
    params = {"train": {"lr": 0.1}}
    space = {"params.train.lr": {"type": "float", "low": 0.01, "high": 1.0}}
    argv = ["train", "{train.rl}", "{sede}", "{params.train.lr}", "{train}", "{x"]
    found = problems(argv=argv, params=params, space=space)
    assert "did you mean 'train.lr'" in found["base.argv.1"]
    assert "did you mean 'seed'" in found["base.argv.2"]
    assert "did you mean {train.lr}" in found["base.argv.3"]
    assert "a section of params; name one of its keys: train.lr" in found["base.argv.4"]
    assert "a lone '{'" in found["base.argv.5"]


def test_a_parameter_that_reaches_the_program_nowhere_is_an_error() -> None:
    params = {"lr": 0.1, "decay": 0.0}
    assert list(problems(params=params)) == ["base.params.decay"]
    for way in ({"argv": [*ARGV, "{decay}"]}, {"env": {"DECAY": "{decay}"}}, {"argv": [*ARGV, "{config_file}"]}):
        assert study(params=params, **way)
    assert study(params=params, reads_flopwise=True)


def test_every_choice_of_the_space_is_tried_before_anything_starts() -> None:
    space = {"params.mode": {"type": "categorical", "choices": ["fast", "-rf"]}}
    parts: dict[str, Any] = {"params": {"mode": "fast"}, "space": space}
    found = problems(argv=["train", "{mode}"], **parts)
    assert "at '-rf'" in found["space.params.mode"] and "write --name={mode}" in found["space.params.mode"]
    assert study(argv=["train", "--mode={mode}"], **parts)
    space["params.mode"]["choices"] = ["fast", "a\0b"]
    assert "NUL" in problems(argv=["train", "--mode={mode}"], **parts)["space.params.mode"]


def test_a_switch_needs_a_parameter_that_is_true_or_false() -> None:
    argv = [*ARGV, {"when": "fast", "add": ["--fast", "{seed}"], "otherwise": ["--slow"]}]
    space = {"params.fast": {"type": "bool"}}
    assert study(argv=argv, params={"lr": 0.1, "fast": False}, space=space)
    assert "true or false (params has none), got 'fast'" in problems(argv=argv)["base.argv.3.when"]
    assert "(slow)" in problems(argv=argv, params={"lr": 0.1, "slow": True})["base.argv.3.when"]


@pytest.mark.parametrize(
    ("base", "key", "says"),
    [
        ({"argv": []}, "base.argv", "at least 1"),
        ({"argv": ["{lr}"]}, "base.argv.0", "name the program"),
        ({"argv": [{"when": "a"}]}, "base.argv.0", "program's name"),
        ({"argv": ["p", 0.1]}, "base.argv.1", "put it in quotes"),
        ({"argv": ["p", True]}, "base.argv.1", "put it in quotes"),
        ({"argv": ["p", {"wenn": "a"}]}, "base.argv.1.wenn", "did you mean 'when'"),
        ({"argv": ["p", "a\0"]}, "base.argv.1", "NUL"),
        ({"argv": ["p", "{lr}"], "shell": True}, "base.argv", "expected one text"),
        (
            {"argv": ['echo "{lr}" "{name}"'], "shell": True, "params": {"lr": 1, "name": "x"}},
            "base.params.name",
            "quotes",
        ),
        ({"argv": ["bash", "-c", "cat {config_file}"]}, "base.argv", "code"),
        ({"params": {"seed": 1, "lr": 1}}, "base.params.seed", "own placeholder"),
        ({"params": {"a b": 1, "lr": 1}}, "base.params.a b", "64 letters"),
        ({"params": {"a": {"b" * 63: 1}, "lr": 1}}, "base.params.a." + "b" * 63, "64 letters"),
        ({"params": {"a.b": 1, "lr": 1}}, "base.params.a.b", "write a section: a: {b"),
        ({"params": {"lr": 1, **{f"p{i}": 0 for i in range(1000)}}}, "base.params", "at most 1000"),
        ({"params": {"lr": 1, "x": ["y" * 2000] * 600}}, "base.params", "put it in a file"),
        ({"env": {"PATH": "/tmp"}}, "base.env.PATH", "decides what code runs"),
        ({"env": {"HF_TOKEN": "x"}}, "base.env.HF_TOKEN", "pass_env"),
        ({"env": {"X": "{what}"}}, "base.env.X", "names nothing"),
        ({"metrics_from": "stdout"}, "base.stdout_regex", "metrics_from: stdout"),
        ({"stdout_regex": {"loss": "(.*)"}}, "base.stdout_regex", "metrics_from: stdout"),
        ({"metrics_from": "stdout", "stdout_regex": {"loss": "["}}, "base.stdout_regex.loss", "regular expression"),
        ({"metrics_from": "stdout", "stdout_regex": {"loss": "loss"}}, "base.stdout_regex.loss", "exactly one group"),
        ({"result_file": "metrics.jsonl"}, "base.metrics_file", "read differently"),
        ({"result_file": "/etc/passwd"}, "base.result_file", "inside the attempt's folder"),
        ({"result_file": "a/../../b"}, "base.result_file", "inside the attempt's folder"),
        ({"metrics_file": "a\\b"}, "base.metrics_file", "inside the attempt's folder"),
        ({"metrics_file": "summary.json"}, "base.metrics_file", "flopwise writes there itself"),
        ({"result_file": "./stdout"}, "base.result_file", "flopwise writes there itself"),
        ({"working_directory": ""}, "base.working_directory", "expected a path"),
        ({"working_dir": "x"}, "base.working_dir", "did you mean 'working_directory'"),
    ],
)
def test_every_mistake_has_its_key_and_its_reason(base: dict[str, Any], key: str, says: str) -> None:
    found = problems(**base)
    assert key in found, found
    assert says in found[key]


def test_whole_numbers_are_arguments_too() -> None:
    assert study(argv=[*ARGV, 3, "--epochs", 10]).canonical["base"]["argv"][-3:] == ["3", "--epochs", "10"]
