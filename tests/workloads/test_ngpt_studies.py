"""The nGPT sweep's studies: they check, and ask what the sweep asked."""

from __future__ import annotations

import re
from typing import Any

import pytest

from flopwise.errors import StudyError
from flopwise.paths import shipped_studies
from flopwise.questions import cells
from flopwise.searchers.staged import Staged
from flopwise.study import Study, load_study, parse_study

FOLDER = shipped_studies() / "ngpt"


def options(study: Study) -> Any:
    return Staged.Options(**study.canonical["search"]["options"])


def varied(question: Any) -> list[dict[str, Any]]:
    """What each of a question's configs sets."""
    return [dict(cell.sets) for cell in cells("", question.plain, range(max(1, len(question.configs))))]


@pytest.mark.parametrize("name", ["h200", "toy"])
def test_the_studies_are_valid_and_time_a_target(name: str) -> None:
    study = load_study(FOLDER / f"{name}.yaml")
    assert study.warnings == ()
    assert study.canonical["objective"]["metric"] == "seconds_to_target"
    assert study.canonical["objective"]["target"]["fallback"]


def test_the_sweep_has_48_configurations_in_seven_questions_and_36_more() -> None:
    study = load_study(FOLDER / "h200.yaml")
    questions = options(study).questions
    assert {name: question.size for name, question in questions.items()} == {
        "A": 8, "B": 4, "C": 6, "D": 6, "E": 4, "F": 4, "G": 16
    }  # fmt: skip
    assert len({repr(sorted(config.items())) for config in varied(questions["G"])}) == 16
    assert study.canonical["tiers"] == {"default": {"trials": 48 + 36}}
    assert study.canonical["base"]["model"]["n_embd"] == 768 and study.canonical["base"]["model"]["n_layer"] == 11


def test_the_rate_of_question_e_is_proportional_to_the_batch() -> None:
    configs = varied(options(load_study(FOLDER / "h200.yaml")).questions["E"])
    assert {round(config["train.lr"] / config["train.batch_size"], 9) for config in configs} == {round(3e-3 / 32, 9)}


def test_decay_is_cautious_or_not_at_all() -> None:
    derived = load_study(FOLDER / "h200.yaml").canonical["derived"]
    assert list(derived) == ["train.weight_decay"]


MISTAKES = {
    "a target of the wrong direction": (
        "{val_loss: ",
        "{direction: maximize, val_loss: ",
        "objective.target.direction: expected minimize: lower val_loss is better, got maximize",
    ),
    "a question on a later one": (
        "train.optimizer.orthogonalisation: {best_of: A}}\n      grid: {model",
        "train.optimizer.orthogonalisation: {best_of: D}}\n      grid: {model",
        "search.questions.C.base.train.optimizer.orthogonalisation: builds on 'D', which comes later",
    ),
    "a question that asks nothing": (
        "      grid: {train.lr: ",
        "      grid: {}\n#",
        "search.questions.D: asks nothing: expected a grid with values, or configs",
    ),
    "a stage without questions": ("  questions:\n", "  questions: {}\n  asked:\n", "search.questions: expected"),
    "a micro-batch larger than the batch": (
        "batch_size: 8,",
        "batch_size: 8, micro_batch_size: 16,",
        "base.train.micro_batch_size: micro_batch_size 16 is more than batch_size 8",
    ),
    "more processes than sequences": (
        "batch_size: 8,",
        "batch_size: 8, processes: 16,",
        "base.train.processes: processes 16 is more than batch_size 8",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_cannot_be_meant_is_one_error_with_its_line(mistake: str) -> None:
    before, after, message = MISTAKES[mistake]
    text = (FOLDER / "toy.yaml").read_text()
    assert before in text
    changed = text.replace(before, after, 1)
    with pytest.raises(StudyError) as caught:
        parse_study(changed, "toy.yaml")
    (said,) = [line for line in str(caught.value).splitlines() if message in line]
    assert re.match(r"\s*toy\.yaml:\d+: ", said)
