"""docs/executors.md: its messages are those that come, its lines those of the doctor."""

from __future__ import annotations

import re
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flopwise.engine.doctor.machine import default_slots, examine_machine
from flopwise.engine.lease import waiting_text
from flopwise.errors import InputError
from flopwise.executors.leases import Held, Holder
from flopwise.executors.slots import Share, make_slots
from flopwise.executors.topology import Core, Topology, read_cores
from flopwise.study import parse_study

DOC = (Path(__file__).parents[2] / "docs" / "executors.md").read_text()
BLOCKS = re.findall(r"```text\n(.*?)```", DOC, re.DOTALL)


def block(beginning: str) -> str:
    (found,) = [text for text in BLOCKS if text.startswith(beginning)]
    return found.rstrip("\n")


def test_the_example_is_a_valid_section() -> None:
    study = "name: a\nworkload: language_model\nspace: {train.lr: {type: float, low: 1e-4, high: 1e-1}}\n"
    study += "objective: {metric: val_loss}\nevaluation: {stop: {steps: 20}}\n"
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


def big_machine(sysfs: Path) -> Topology:
    """128 cores on two nodes, two threads a physical core, as the kernel shows them in files."""
    for number in range(128):
        core = sysfs / f"devices/system/cpu/cpu{number}/topology"
        core.mkdir(parents=True)
        (core / "thread_siblings_list").write_text(f"{number % 64},{number % 64 + 64}\n")
    for node, own in enumerate(("0-31,64-95", "32-63,96-127")):
        folder = sysfs / f"devices/system/node/node{node}"
        folder.mkdir(parents=True)
        (folder / "cpulist").write_text(f"{own}\n")
    return Topology(read_cores(tuple(range(128)), sysfs), 256 << 30)


def test_a_big_machine_is_cut_as_the_page_says(tmp_path: Path) -> None:
    machine = big_machine(tmp_path)
    found = {each.topic: each.text for each in examine_machine(machine, default_slots(machine))}
    shown = " ".join(block("ok    cores   64").split())
    assert f"ok cores {found['cores'].split(':')[0]} ok memory {found['memory']} ok slots {found['slots']}" == shown
    rows = re.findall(r"^\| `(\{.*?\})` \| (\d+) × (\d+) \| (.+?) \|$", DOC, re.MULTILINE)
    assert len(rows) == 4
    for text, count, threads, cores in rows:
        asked = dict(part.split(": ") for part in re.findall(r"\w+: \w+", text))
        share = Share(int(asked.get("threads", 1)), int(asked["slots"]) if "slots" in asked else None)
        share = replace(share, exclusive="exclusive" in asked)
        slots = make_slots(machine, share.on(machine))
        assert (len(slots), slots[0].threads) == (int(count), int(threads)), text
        assert " · ".join(", ".join(map(str, slots[at].cores)) for at in (0, 1, -1)) == cores, text


def test_the_search_on_a_big_machine_is_priced_as_the_page_says(tmp_path: Path, flopwise: Any) -> None:
    (study,) = re.findall(r"<!-- file: wide.yaml -->\n```yaml\n(.*?)```", DOC, re.DOTALL)
    (tmp_path / "wide.yaml").write_text(study)
    commands = re.findall(r"^\$ flopwise (\w+ wide.yaml.*)$", DOC, re.MULTILINE)
    done = [flopwise(*shlex.split(command)) for command in commands]
    assert [each.returncode for each in done] == [0, 0], done[-1].stderr
    assert [line for line in block("one evaluation").splitlines() if line not in done[0].stdout] == []
    assert "verdict" in done[1].stdout
