"""The quickstart is honest: a sensible baseline, something to find, and a verdict that fresh seeds confirm."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import qmc

from flopwise.engine.assemble import plan
from flopwise.engine.request import Request
from flopwise.paths import shipped_studies
from flopwise.report.view import SilentView
from flopwise.study import Study, load_study, study_from_mapping
from flopwise.study.freeze import file_form

POINTS = 32


def with_base(study: Study, name: str, config: dict[str, Any]) -> Study:
    """The same study with other values as its baseline, on one seed."""
    content = file_form(study.canonical)
    for key, value in config.items():
        section, leaf = key.split(".")
        content["base"][section][leaf] = value
    return study_from_mapping({**content, "name": name, "calibration": {"seeds": 2, "signal": False, "knobs": False}})


@pytest.mark.slow
def test_the_baseline_is_no_worse_than_the_median_of_sobol_points(tmp_path: Path) -> None:
    study = load_study(shipped_studies() / "quickstart.yaml")
    points = qmc.Sobol(len(study.space), seed=0).random(POINTS)
    losses = []
    for number, point in enumerate(points):
        other = with_base(study, f"sobol-{number}", study.space.decode([float(u) for u in point]))
        losses.append(plan(other, Request(tmp_path, SilentView(), "test")).summary["plan"]["baseline_mean"])
    baseline = plan(study, Request(tmp_path, SilentView(), "test")).summary["plan"]["baseline_mean"]
    print(json.dumps({"baseline": baseline, "median": statistics.median(losses), "best": min(losses)}))
    assert baseline <= statistics.median(losses)
    assert min(losses) < baseline


@pytest.mark.slow
def test_the_winner_beats_the_baseline_on_fresh_seeds(tmp_path: Path, call_flopwise: Any) -> None:
    done = call_flopwise(tmp_path, "run", "quickstart", timeout=900)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "runs" / "quickstart" / "report.json").read_text())
    assert report["verdict"]["verdict"] == "GO", report["verdict"]
    assert report["verdict"]["numbers"]["lower"] > 0
    checked = call_flopwise(tmp_path, "verify", "quickstart")
    assert checked.returncode == 0, checked.stdout
