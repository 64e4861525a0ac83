"""docs/calibration.md: its study and its commands run, and the page names what there is."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

from flopwise.budget import probing
from flopwise.budget.knobs import WEAK
from flopwise.events import AttemptStarted
from flopwise.journal.log import read_events
from flopwise.study.schema import CalibrationSection
from flopwise.trial import PROBING

DOC = (Path(__file__).parents[2] / "docs" / "calibration.md").read_text()
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", DOC, re.DOTALL))


def test_the_commands_run_and_planning_again_pays_nothing(tmp_path: Path, call_flopwise: Any) -> None:
    (tmp_path / "calibrated.yaml").write_text(FILES["calibrated.yaml"])
    commands = re.findall(r"^\$ flopwise (.+)$", DOC, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["plan", "plan", "run", "verify", "check"]
    (tmp_path / "proxied.yaml").write_text(FILES["proxied.yaml"])
    paid = []
    for command in commands:
        done = call_flopwise(tmp_path, *shlex.split(command))
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        events = read_events(tmp_path / "runs/calibrated/journal.log")[0]
        paid.append(sum(isinstance(event, AttemptStarted) for event in events))
        if command.startswith("plan"):
            assert "of the variance is real" in done.stdout and "2 act" in done.stdout
    assert paid[0] == paid[1] == 3 + 8 * 2 + 4
    report = json.loads((tmp_path / "runs/calibrated/report.json").read_text())
    assert report["spend"]["by_phase"].keys() >= {"calibrate", "signal", "knobs"}


def test_the_page_names_every_phase_key_and_limit() -> None:
    assert all(f"`{phase}`" in DOC for phase in PROBING)
    assert all(key in DOC for key in CalibrationSection.model_fields)
    assert f"Fewer than {probing.FEW_STEPS} optimizer steps" in DOC
    assert (WEAK, probing.SHARE, probing.STEP, probing.LEAST_LADDER_S) == (0.1, 0.25, 4.0, 1800.0)
