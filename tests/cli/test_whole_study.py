"""One study through the command line: planned, run, reported, verified, run again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flopwise.events import AttemptStarted, TierChosen, VerdictReached
from flopwise.journal.log import read_events


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, toy_text: str, call_flopwise: Any) -> tuple[Path, Any, Any]:
    """A folder with the toy study planned and then run, and what both printed."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "toy.yaml").write_text(toy_text)
    planned = call_flopwise(folder, "plan", "toy.yaml")
    done = call_flopwise(folder, "run", "toy.yaml")
    return folder, planned, done


def test_plan_prices_every_tier_and_run_reuses_its_calibration(finished: tuple[Path, Any, Any]) -> None:
    folder, planned, done = finished
    assert planned.returncode == 0, planned.stderr
    assert "small" in planned.stdout and "$" in planned.stdout
    assert done.returncode == 0, done.stderr
    events, _ = read_events(folder / "runs" / "toy" / "journal.log")
    baseline = [e for e in events if isinstance(e, AttemptStarted) and e.attempt.startswith("t0000.")]
    assert [e.attempt for e in baseline] == ["t0000.s0.a1", "t0000.s1.a1"]
    chosen = next(e for e in events if isinstance(e, TierChosen))
    assert chosen.tier == "small"
    assert chosen.plan["tiers"][0]["search_evaluations"] == 12


def test_run_ends_in_a_verdict_with_its_price_and_its_report(finished: tuple[Path, Any, Any]) -> None:
    folder, _, done = finished
    report = json.loads((folder / "runs" / "toy" / "report.json").read_text())
    assert report["verdict"]["verdict"] in done.stdout
    assert "runs/toy/report.md" in done.stdout
    assert report["winner"]["mean"] < report["baseline"]["mean"]
    assert len(report["trials"]) == 1 + 12 + 2 + 2
    assert (folder / "runs" / "toy" / "report.md").read_text().startswith("# toy: ")


def test_the_verdict_rests_on_seeds_the_search_has_not_seen(finished: tuple[Path, Any, Any]) -> None:
    events, _ = read_events(finished[0] / "runs" / "toy" / "journal.log")
    started = [e for e in events if isinstance(e, AttemptStarted)]
    phases = {e.number: e.phase for e in events if type(e).__name__ == "TrialProposed"}  # type: ignore[attr-defined]
    by_phase: dict[str, set[int]] = {}
    for event in started:
        by_phase.setdefault(phases[int(event.attempt[1:5])], set()).add(event.seed)
    assert not by_phase["decide"] & (by_phase["search"] | by_phase["choose"] | by_phase["calibrate"])
    assert any(isinstance(e, VerdictReached) for e in events)


def test_verify_finds_nothing(finished: tuple[Path, Any, Any], call_flopwise: Any) -> None:
    checked = call_flopwise(finished[0], "verify", "toy")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_verify_names_a_changed_number_in_the_report(finished: tuple[Path, Any, Any], call_flopwise: Any) -> None:
    path = finished[0] / "runs" / "toy" / "report.json"
    original = path.read_text()
    report = json.loads(original)
    report["spend"]["device_s"] += 0.001
    path.write_text(json.dumps(report))
    checked = call_flopwise(finished[0], "verify", "toy")
    path.write_text(original)
    assert checked.returncode == 4
    assert "device_s" in checked.stdout


def test_status_logs_and_report_read_the_run(finished: tuple[Path, Any, Any], call_flopwise: Any) -> None:
    folder = finished[0]
    status = call_flopwise(folder, "status", "toy", "--json")
    assert json.loads(status.stdout)["state"] == "finished"
    assert "t0001.s0.a1" in call_flopwise(folder, "logs", "toy").stdout
    assert "val_loss" in call_flopwise(folder, "logs", "toy", "1").stdout
    assert "## Winner and baseline" in call_flopwise(folder, "report", "toy").stdout


def test_a_finished_study_is_run_again_in_a_new_folder(finished: tuple[Path, Any, Any], call_flopwise: Any) -> None:
    folder = finished[0]
    refused = call_flopwise(folder, "resume", "toy")
    assert refused.returncode == 2 and "finished" in refused.stderr
    again = call_flopwise(folder, "run", "toy.yaml", "--quiet", "--slots", "1")
    assert again.returncode == 0, again.stderr
    first, second = (json.loads((folder / "runs" / name / "report.json").read_text()) for name in ("toy", "toy-2"))
    assert [t["config"] for t in first["trials"]] == [t["config"] for t in second["trials"]]
    assert [t["values"] for t in first["trials"]] == [t["values"] for t in second["trials"]]
