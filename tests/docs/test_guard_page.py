"""docs/guard.md: its commands run, in order, on a run that a policy has paused; what it prints is what comes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from flopwise import registry
from flopwise.cli.finish import EXIT_CODES
from flopwise.engine.verify import verify
from flopwise.paths import RunFolder

DOC = (Path(__file__).parents[2] / "docs" / "guard.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", DOC, re.DOTALL)

CRASHES = """\
name: crashes
workload: command
base:
  argv: [python3, -c, 'import os, sys; x = float(os.environ["X"]); sys.exit(1) if x > 0.6 else print("loss", x)']
  env: {X: "{x}"}
  params: {x: 0.5}
  metrics_from: stdout
  stdout_regex: {loss: 'loss (\\S+)'}
space: {params.x: {type: float, low: 0.0, high: 1.0}}
objective: {metric: loss}
search: {method: random, seed: 1}
tiers: {all: {trials: 30}}
calibration: {seeds: 2}
confirm: {top: 1, seeds: 2}
execution: {slots: 2}
"""


def blocks(kind: str, word: str) -> list[str]:
    return [text for found, text in BLOCKS if found == kind and word in text]


def test_every_policy_and_every_exit_code_has_its_line() -> None:
    for name in registry.names("policies"):
        assert re.search(rf"^\| `{name}` \|", DOC, re.MULTILINE), name
    for code in {2, *EXIT_CODES.values()}:
        assert re.search(rf"^\| {code} \|", DOC, re.MULTILINE), code


def test_the_ways_on_are_as_printed(tmp_path: Path, flopwise: Any) -> None:
    (tmp_path / "crashes.yaml").write_text(CRASHES)
    done = flopwise("run", "crashes.yaml", "--quiet")
    assert done.returncode == 3, done.stderr
    assert "flopwise resume runs/crashes --accept" in done.stdout
    policy = re.findall(r"--accept (\w+)", done.stdout)[0]
    waiting = flopwise("resume", "crashes")
    assert waiting.returncode == 3
    assert f"paused by {policy}" in waiting.stderr
    (changed,) = blocks("sh", "limits.price=2.00")
    said = flopwise(*shlex.split(changed.replace("RUN", "crashes"))[1:])
    assert (said.returncode, said.stdout) == (0, blocks("text", "limits.price")[0]), said.stderr
    assert flopwise("resume", "crashes").returncode == 3, "limits do not answer a pause"
    (refused,) = blocks("sh", "search.seed")
    said = flopwise(*shlex.split(refused.replace("RUN", "crashes"))[1:])
    assert said.returncode == 2
    assert said.stderr == blocks("text", "search.seed")[0]
    answers(flopwise, policy)
    assert verify(RunFolder(tmp_path / "runs" / "crashes")) == []
    report = (tmp_path / "runs" / "crashes" / "report.md").read_text()
    assert "limits.price" in report


def answers(flopwise: Any, policy: str) -> None:
    """Every way on that the page names, one after the other."""
    (ways,) = blocks("sh", "--exclude-slot")
    commands = [shlex.split(line.replace("RUN", "crashes"))[1:] for line in ways.splitlines()]
    assert [command[0] for command in commands] == ["resume", "resume", "amend", "resume"]
    excluded = flopwise(*commands[1])
    assert excluded.returncode in (0, 3), excluded.stderr
    if excluded.returncode == 3:
        for name in ("crash_rate", "crash_loop"):
            assert flopwise("amend", "crashes", f"policies.{name}=false").returncode == 0
        done = flopwise(*commands[3])
        assert done.returncode in (0, 5), done.stderr
