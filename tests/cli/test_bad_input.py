"""Bad input: one clear error, exit code 2, nothing written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

MISTAKES = {
    "misspelt space key": ("train.lr:", "train.lrr:", "train.lr"),
    "low above high": ("low: 1e-4, high: 1e-1", "low: 1e-1, high: 1e-4", "low"),
    "log scale from zero": ("low: 1e-4", "low: 0.0", "log"),
    "unknown searcher": ("method: cmaes", "method: cmaess", "cmaes"),
    "a stop that buys no step": ("stop: {steps: 20}", "stop: {flops: 1000}", "step"),
    "a misspelt section": ("objective:", "objectiv:", "objective"),
    "generations for random": ("method: cmaes", "method: random", "trials"),
    "an unknown metric": ("metric: val_loss", "metric: val_los", "val_loss"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_study_file(mistake: str, toy: Path, tmp_path: Path, flopwise: Any) -> None:
    before, after, named = MISTAKES[mistake]
    text = toy.read_text()
    assert before in text
    toy.write_text(text.replace(before, after))
    refused = flopwise("run", "toy.yaml")
    assert refused.returncode == 2
    assert "toy.yaml:" in refused.stderr and named in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "runs").exists()


def test_categorical_for_cmaes_says_what_to_use_instead(toy: Path, tmp_path: Path, flopwise: Any) -> None:
    toy.write_text(
        toy.read_text().replace("space:\n", "space:\n  model.mlp: {type: categorical, choices: [swiglu, relu2]}\n")
    )
    refused = flopwise("run", "toy.yaml")
    assert refused.returncode == 2
    assert "model.mlp" in refused.stderr and "random" in refused.stderr
    assert not (tmp_path / "runs").exists()


def test_all_mistakes_at_once(toy: Path, flopwise: Any) -> None:
    text = toy.read_text().replace("train.lr:", "train.lrr:").replace("metric: val_loss", "metric: val_los")
    toy.write_text(text.replace("slots: 2", "slotz: 2"))
    refused = flopwise("check", "toy.yaml")
    assert refused.returncode == 2
    assert all(word in refused.stderr for word in ("train.lrr", "val_los", "slotz"))


@pytest.mark.parametrize("verb", ["status", "resume", "report", "verify", "logs"])
def test_a_folder_that_is_not_a_run(verb: str, tmp_path: Path, flopwise: Any) -> None:
    (tmp_path / "mine").mkdir()
    refused = flopwise(verb, "mine")
    assert refused.returncode == 2
    assert "not a flopwise run" in refused.stderr
    assert list((tmp_path / "mine").iterdir()) == []


def test_unknown_run_study_and_tier(toy: Path, tmp_path: Path, flopwise: Any) -> None:
    assert "no run called" in flopwise("status", "nothing").stderr
    assert "quickstart" in flopwise("run", "nothing").stderr
    refused = flopwise("run", "toy.yaml", "--tier", "smal")
    assert refused.returncode == 2 and "small" in refused.stderr
    refused = flopwise("run", "toy.yaml", "--slots", "4096")
    assert refused.returncode == 2
    assert not (tmp_path / "runs").exists()


def test_init_writes_a_study_that_checks_and_never_overwrites(tmp_path: Path, flopwise: Any) -> None:
    assert flopwise("init").returncode == 0
    assert flopwise("check", "study.yaml").returncode == 0
    assert flopwise("init").returncode == 2
