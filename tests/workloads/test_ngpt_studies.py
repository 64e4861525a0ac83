"""The nGPT sweep's studies: they check, and ask what the sweep asked."""

from __future__ import annotations

from typing import Any

import pytest

from flopwise.paths import shipped_studies
from flopwise.questions import cells
from flopwise.searchers.staged import Staged
from flopwise.study import Study, load_study

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
