"""docs/executors.md: its messages are those that come, its lines those of the doctor."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from flopwise.engine.lease import waiting_text
from flopwise.errors import InputError
from flopwise.executors.leases import Held, Holder
from flopwise.executors.slots import Share
from flopwise.executors.topology import Core, Topology
from flopwise.study import parse_study

DOC = (Path(__file__).parents[2] / "docs" / "executors.md").read_text()
BLOCKS = re.findall(r"```text\n(.*?)```", DOC, re.DOTALL)


def block(beginning: str) -> str:
    (found,) = [text for text in BLOCKS if text.startswith(beginning)]
    return found.rstrip("\n")


def test_the_example_is_a_valid_section() -> None:
    study = "name: a\nworkload: language_model\nspace: {train.lr: {type: float, low: 1e-4, high: 1e-1}}\n"
    study += "objective: {metric: val_loss}\nevaluation: {stop: {steps: 9}}\n"
    assert parse_study(study + block("execution:")).canonical["execution"]["memory"] == 8 * 2**30


def test_the_refusal_is_what_comes() -> None:
    machine = Topology(tuple(Core(number, (number,)) for number in range(4)), 1 << 34)
    with pytest.raises(InputError) as raised:
        Share(2, 3).on(machine)
    assert block("error:") == f"error: {raised.value}"


def test_the_wait_is_said_in_these_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Holder, "is_gone", False)
    since = int(time.mktime((2026, 11, 21, 9, 30, 0, 0, 0, -1)))
    found = Held(frozenset({0, 1}), frozenset(), (Holder(4242, since, "pilot", (0, 1), 0),))
    assert block("waiting") == waiting_text(found, Share(1, 2), 0.0)


def test_every_line_of_the_doctor_is_explained(tmp_path: Path, flopwise: Any) -> None:
    done = flopwise("doctor")
    topics = {line.split()[1] for line in done.stdout.splitlines() if line and not line.startswith(" ")}
    explained = DOC[DOC.index("| line |") :]
    packages = {"tokenizers", "pyarrow", "matplotlib", "ray"}
    assert topics - packages and [topic for topic in topics - packages if f"`{topic}`" not in explained] == []
