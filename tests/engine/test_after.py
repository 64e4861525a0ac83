"""``after: RUN``: only from a GO, around its winner, and never looked up again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import flopwise
from flopwise.engine.verify import verify
from flopwise.errors import InputError, RunError, StudyError
from flopwise.journal.log import read_events
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder
from flopwise.report.summary import summarise
from flopwise.study import parse_study

SPACE = {"x": flopwise.Float(0, 10), "n": flopwise.Int(1, 8), "kind": flopwise.Categorical(("a", "b"))}


def valley(config: dict[str, Any], context: Any) -> float:
    """Best at x = 7, n = 6, kind b."""
    off = (config["x"] - 7) ** 2 + (config["n"] - 6) ** 2 + 5 * (config.get("kind", "b") == "a")
    return float(10 + off + context.seed % 7 / 1000 + config.get("extra", 0.0))


def flat(config: dict[str, Any], context: Any) -> float:
    return float(10 + context.seed % 7 / 1000)


def study(root: Path, name: str, objective: Any = valley, **sections: Any) -> flopwise.Study:
    standard: dict[str, Any] = {
        "base": {"x": 1.0, "n": 1, "kind": "a"},
        "space": SPACE,
        "evaluations": 12,
        "execution": {"executor": "inline", "slots": 1},
        "confirm": {"top": 1, "seeds": 3},
        "calibration": {"seeds": 2},
    }
    return flopwise.Study(name=name, objective=objective, runs=root, **{**standard, **sections})


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    assert study(root, "one").run(quiet=True).verdict == "GO"
    return root


def state(root: Path, name: str) -> RunState:
    return RunState(read_events(root / name / "journal.log")[0])


def winner(root: Path) -> dict[str, Any]:
    known = state(root, "one")
    assert known.verdict is not None and known.verdict.winner is not None
    return dict(known.trials[known.verdict.winner].trial.config)


def test_the_winner_is_the_baseline_and_the_centre(first: Path, tmp_path: Path) -> None:
    root = shutil.copytree(first, tmp_path / "runs")
    done = study(root, "two", after="one", search={"method": "cmaes"}, evaluations=16, space={"x": SPACE["x"]}).run(
        quiet=True
    )
    known, won = state(root, "two"), winner(root)
    assert known.trials[0].trial.config == {"x": won["x"]}
    assert known.study["base"] == won
    assert known.study["after"]["config"] == won
    assert known.study["after"]["run_id"] == state(root, "one").created.run_id  # type: ignore[union-attr]
    assert known.study["after"]["study_hash"] == state(root, "one").study_hash
    assert verify(RunFolder(done.folder)) == []
    assert summarise(read_events(root / "two" / "journal.log")[0])["after"]["run"] == "one"
    assert "the winner of one" in (root / "two" / "report.md").read_text()


def test_a_new_key_keeps_its_base_value_and_the_rest_is_the_winners(first: Path, tmp_path: Path) -> None:
    root = shutil.copytree(first, tmp_path / "runs")
    study(
        root,
        "two",
        after="one",
        base={"x": 1.0, "n": 1, "kind": "a", "extra": 0.5},
        space={"extra": flopwise.Float(0, 1), "n": SPACE["n"]},
    ).plan()
    known, won = state(root, "two"), winner(root)
    assert known.study["base"] == {**won, "extra": 0.5}
    assert known.trials[0].trial.config == {"extra": 0.5, "n": won["n"]}


def test_a_winner_outside_the_new_space_is_clipped_and_said_so(first: Path, tmp_path: Path) -> None:
    root = shutil.copytree(first, tmp_path / "runs")
    study(root, "two", after="one", space={"x": flopwise.Float(0, 2), "n": SPACE["n"]}).plan()
    known, won = state(root, "two"), winner(root)
    assert won["x"] > 2
    assert known.study["after"]["clipped"] == {"x": [won["x"], 2.0]}
    assert known.trials[0].trial.config["x"] == 2.0


def test_a_choice_that_is_not_there_is_refused(first: Path) -> None:
    two = study(first, "two", after="one", space={"kind": flopwise.Categorical(("c", "d"))}, base={"kind": "c"})
    with pytest.raises(InputError, match=r"kind = '[ab]', which is not in this study's space"):
        two.plan()
    assert not (first / "two").exists()


def test_the_other_run_is_not_needed_once_this_one_is_planned(first: Path, tmp_path: Path) -> None:
    root = shutil.copytree(first, tmp_path / "runs")
    study(root, "two", after="one").plan()
    shutil.rmtree(root / "one")
    assert study(root, "two", after="one").run(quiet=True).verdict is not None
    assert not (root / "two-2").exists()
    kept = parse_study((root / "two" / "study.yaml").read_text())
    assert kept.hash == state(root, "two").study_hash


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda root: None, RunError, "no run called 'one'"),
        (lambda root: study(root, "one").plan(), InputError, "one has no verdict"),
        (lambda root: study(root, "one", flat).run(quiet=True), InputError, "one ended in (NO-GO|INCONCLUSIVE)"),
    ],
)
def test_without_a_go_nothing_starts(make: Any, error: Any, said: str, tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(error, match=said):
        study(tmp_path, "two", after="one").run(quiet=True)
    assert not (tmp_path / "two").exists()


def test_another_workload_is_refused(first: Path) -> None:
    text = {"argv": ["echo", "{x}"], "params": {"x": 1.0}}
    two = flopwise.Study(
        name="two",
        workload="command",
        base=text,
        space={"params.x": flopwise.Float(0, 2)},
        after="one",
        runs=first,
    )
    with pytest.raises(InputError, match="one trains function"):
        two.plan()


def test_the_new_study_has_to_be_valid_around_the_winner(first: Path) -> None:
    with pytest.raises(StudyError, match="after one"):
        study(first, "two", after="one", constraints=["x < 3"]).plan()
