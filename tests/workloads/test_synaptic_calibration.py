"""The pilot at the budget it was first planned with: the plan warns before anything else, and the run asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flopwise.paths import shipped_studies


def pilot(folder: Path) -> Path:
    """At 1e10 FLOPs, with few held-out tokens so that it takes seconds; its ladder would take minutes."""
    text = (shipped_studies() / "synaptic" / "phase1.yaml").read_text()
    assert "{flops: 1.63e12}" in text and "valid_tokens: 32768" in text
    text = text.replace("{flops: 1.63e12}", "{flops: 1e10}").replace("valid_tokens: 32768", "valid_tokens: 4096")
    path = folder / "pilot.yaml"
    path.write_text(text + "calibration: {seeds: 2, signal: 4, knobs: true, ladder: false}\n")
    return path


@pytest.mark.slow
def test_the_plan_warns_of_one_step_and_the_run_needs_anyway(tmp_path: Path, flopwise: Any) -> None:
    study = pilot(tmp_path)
    planned = flopwise("plan", str(study))
    assert planned.returncode == 0, planned.stderr
    lines = planned.stdout.splitlines()
    title = next(number for number, line in enumerate(lines) if line.startswith("plan of synaptic-phase1"))
    assert lines[title + 1].startswith("!") and "cannot tell candidates apart" in lines[title + 1]
    assert "fewer than 20 optimizer steps" in " ".join(" ".join(lines[title + 1 : title + 6]).split())
    refused = flopwise("run", str(study))
    assert refused.returncode == 2 and "--anyway" in refused.stderr
