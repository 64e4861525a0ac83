"""``flopwise resume --exclude-slot``: the slot's cores are not used again, in any later session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flopwise.engine.verify import verify
from flopwise.events import AttemptStarted, SlotExcluded
from flopwise.journal.log import read_events
from flopwise.paths import RunFolder

STUDY = """\
name: excluded
workload: command
base:
  argv: [python3, -c, 'import os, sys; x = float(os.environ["X"]); sys.exit(1) if x > 0.5 else print("loss", 1 + x)']
  env: {X: "{x}"}
  params: {x: 0.5}
  metrics_from: stdout
  stdout_regex: {loss: 'loss (\\S+)'}
space: {params.x: {type: float, low: 0.0, high: 1.0}}
objective: {metric: loss}
search: {method: random, seed: 2}
tiers: {all: {trials: 20}}
calibration: {seeds: 2}
confirm: {top: 1, seeds: 2}
execution: {slots: 2}
"""


def test_an_excluded_slot_runs_nothing_any_more(tmp_path: Path, flopwise: Any) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    assert flopwise("run", "study.yaml", "--quiet").returncode == 3
    folder = RunFolder(tmp_path / "runs" / "excluded")
    wrong = flopwise("resume", "excluded", "--exclude-slot", "7")
    assert (wrong.returncode, "one of 0, 1" in wrong.stderr) == (2, True)
    last = flopwise("resume", "excluded", "--exclude-slot", "0", "--exclude-slot", "1")
    assert (last.returncode, "the last slot" in last.stderr) == (2, True)
    done = flopwise("resume", "excluded", "--exclude-slot", "1")
    assert done.returncode in (0, 3, 5), done.stderr
    events = read_events(folder.journal)[0]
    (excluded,) = [event for event in events if isinstance(event, SlotExcluded)]
    assert excluded.cores
    later = [event for event in events[events.index(excluded) :] if isinstance(event, AttemptStarted)]
    assert later
    assert {event.slot for event in later} == {0}
    assert verify(folder) == []
    assert "excluded by the user" in (tmp_path / "runs" / "excluded" / "report.md").read_text()
