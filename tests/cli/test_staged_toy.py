"""The two-stage toy, smaller still: questions answered, a verdict, verified, other targets read, its winner trained."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from flopwise.paths import shipped_studies
from flopwise.study import file_form, load_study, study_from_mapping


def smaller() -> str:
    """The shipped toy with fewer steps and configs; the same flow."""
    form = file_form(load_study(shipped_studies() / "ngpt" / "toy.yaml").canonical)
    questions = form["search"]["questions"]
    form["search"] |= {
        "questions": {name: questions[name] for name in ("A", "C")},
        "refine": {"trials": 2, "top": 4, "levels": 3},
    }
    form["objective"]["target"] = {"val_loss": 4.0, "fallback": [4.5, 5.0, 5.4]}
    form["evaluation"] |= {"stop": {"steps": 24}, "validate_every": 6}
    form["confirm"] |= {"top": 1, "seeds": 2, "looks": 1}
    form["name"] = "toy"
    del form["tiers"]
    return study_from_mapping(form).text


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, call_flopwise: Any) -> Path:
    """A folder with its run."""
    folder: Path = tmp_path_factory.mktemp("staged")
    (folder / "toy.yaml").write_text(smaller())
    done = call_flopwise(folder, "run", "toy.yaml")
    assert done.returncode == 0, done.stderr
    return folder


def report_of(folder: Path, run: str = "toy") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "runs" / run / "report.json").read_text())
    return found


def test_it_answers_its_questions_and_names_a_winner(finished: Path) -> None:
    report = report_of(finished)
    assert report["verdict"]["verdict"] in ("GO", "NO-GO", "INCONCLUSIVE")
    assert [question["name"] for question in report["questions"]] == ["A", "C"]
    (polar,) = report["questions"][0]["contrasts"]
    assert polar["pairs"] == 2 and polar["equal_step"]["mean"] is not None
    assert polar["equal_step"]["rests_on"] == "repeats"
    text = (finished / "runs" / "toy" / "report.md").read_text()
    assert "Does Polar Express" in text and "loss at equal time" in text
    stages = [trial["config"] for trial in report["trials"] if trial["phase"] == "search"]
    assert 7 < len(stages) <= 9


def test_verify_derives_it_again(finished: Path, call_flopwise: Any) -> None:
    checked = call_flopwise(finished, "verify", "toy")
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout


def test_other_targets_are_read_from_the_same_journal(finished: Path, call_flopwise: Any) -> None:
    found = json.loads(call_flopwise(finished, "targets", "toy", "--json").stdout)
    assert len(found["rungs"]) >= 3 and found["recommended"] is not None


def test_the_winner_is_trained_to_the_full_stop_by_the_command_of_the_report(
    finished: Path, call_flopwise: Any
) -> None:
    report = report_of(finished)
    pasted = re.search(r"^flopwise train .*$", (finished / "runs" / "toy" / "report.md").read_text(), re.MULTILINE)
    trial = report["winner"]["of"] if pasted else 1
    words = pasted.group().split()[1:] if pasted else ["train", "toy", "--trial", "1"]
    done = call_flopwise(finished, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-3].startswith("val_loss "), done.stdout
    trained = report_of(finished, f"toy-trial-{trial}")
    (only,) = trained["trials"]
    assert only["config"] == report["trials"][trial]["config"] and only["attempts"] == 1
    summary = json.loads((finished / "runs" / f"toy-trial-{trial}/attempts/t0000.s0.a1/summary.json").read_text())
    assert summary["info"]["steps"] == 24 and "val_loss" in summary["metrics"]
    assert call_flopwise(finished, "verify", f"toy-trial-{trial}").returncode == 0


def test_another_trial_and_another_length_can_be_trained(finished: Path, call_flopwise: Any) -> None:
    done = call_flopwise(finished, "train", "toy", "--trial", "2", "--stop", "steps=7", "--seed", "5", "--quiet")
    assert done.returncode == 0, done.stderr
    summary = json.loads((finished / "runs/toy-trial-2/attempts/t0000.s0.a1/summary.json").read_text())
    assert summary["info"]["steps"] == 7


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trial", "99"], "has no trial 99"),
        (["--stop", "20000"], "--stop has no amount"),
        (["--stop", "epochs=3"], "evaluation.stop.epochs"),
        (["--stop", "steps=none"], "evaluation.stop.steps"),
    ],
)
def test_what_cannot_be_trained_is_refused(finished: Path, call_flopwise: Any, words: list[str], message: str) -> None:
    before = sorted(path.name for path in (finished / "runs").iterdir())
    refused = call_flopwise(finished, "train", "toy", *words)
    assert refused.returncode == 2 and message in refused.stderr
    assert sorted(path.name for path in (finished / "runs").iterdir()) == before


def test_a_training_is_saved_and_goes_on_from_what_was_saved(finished: Path, call_flopwise: Any) -> None:
    done = call_flopwise(finished, "train", "toy", "--trial", "0", "--stop", "steps=6", "--checkpoint-every", "4")
    assert done.returncode == 0, done.stderr
    saved = done.stdout.splitlines()[-1].split()[0]
    assert Path(saved) == finished / "runs" / "toy-trial-0" / "attempts" / "t0000.s0.a1" / "checkpoint.pt"
    further = call_flopwise(finished, "train", "toy", "--trial", "0", "--stop", "steps=8", "--from", saved)
    assert further.returncode == 0, further.stderr
    summary = json.loads((finished / "runs/toy-trial-0-2/attempts/t0000.s0.a1/summary.json").read_text())
    assert (summary["info"]["steps"], summary["info"]["continued_from_step"]) == (8, 6)
    assert call_flopwise(finished, "verify", "toy-trial-0-2").returncode == 0
    before = sorted(path.name for path in (finished / "runs").iterdir())
    for words, message in (
        (["--trial", "1", "--from", saved], "the checkpoint is from another config"),
        (["--trial", "0", "--from", "toy.yaml"], "this file is no checkpoint"),
        (["--trial", "0", "--from", "absent.pt"], "there is no such checkpoint"),
    ):
        refused = call_flopwise(finished, "train", "toy", *words)
        assert refused.returncode == 2 and message in refused.stderr, refused.stderr
    assert sorted(path.name for path in (finished / "runs").iterdir()) == before
