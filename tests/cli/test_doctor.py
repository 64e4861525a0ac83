"""`flopwise doctor` says what there is, what a study would get, and what to do about what hinders it."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flopwise.engine.doctor import installation
from flopwise.engine.doctor.folder import examine_folder, file_system
from flopwise.executors.accelerators import Accelerator
from flopwise.executors.leases import Leases
from flopwise.executors.topology import Core, Topology, usable_cores
from flopwise.wire import Slot

GPUS = """#!/bin/sh
for gpu in 0 1; do echo "$gpu, GPU-$gpu, NVIDIA H200, 143771, 00000000:0$gpu:00.0"; done
"""


def call(folder: Path, *arguments: str, files: int | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    def limit() -> None:
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    return subprocess.run(
        [sys.executable, "-m", "flopwise.cli", "doctor", *arguments],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "80", **environ},
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def findings(done: subprocess.CompletedProcess[str]) -> dict[str, list[dict[str, Any]]]:
    """By topic."""
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(done.stdout)["findings"]:
        found.setdefault(finding["topic"], []).append(finding)
    return found


def test_a_sound_machine_has_no_problem_and_fits_80_columns(tmp_path: Path) -> None:
    done = call(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert {line.split()[0] for line in lines if not line.startswith(" ")} <= {"ok", "note"}
    for topic in ("cores", "memory", "accelerators", "slots", "leases", "python", "torch", "ray", "disk", "space"):
        assert any(line.split()[1:2] == [topic] for line in lines), topic
    assert list(tmp_path.iterdir()) == [], "nothing is left"


def test_the_json_holds_the_machine_and_the_slots(tmp_path: Path) -> None:
    done = json.loads(call(tmp_path, "--json").stdout)
    assert [core["number"] for core in done["machine"]["cores"]] == list(usable_cores())
    assert [slot["cores"] for slot in done["slots"]] == [[core] for core in usable_cores()]


def test_who_holds_the_cores_is_said(tmp_path: Path) -> None:
    leases = Leases(usable_cores(), [], "pilot")
    (found,) = findings(call(tmp_path, "--json"))["leases"]
    leases.release()
    assert found["level"] == "note" and "waits" in found["fix"]
    assert f"process {os.getpid()}, run pilot, since 20" in found["text"]


def test_too_few_open_files_are_a_problem(tmp_path: Path) -> None:
    done = call(tmp_path, "--json", files=64)
    assert done.returncode == 4
    (found,) = findings(done)["files"]
    assert found["level"] == "problem" and "a process may open 64" in found["text"] and "ulimit -n" in found["fix"]


def test_a_folder_that_takes_no_files_is_a_problem(tmp_path: Path) -> None:
    done = call(tmp_path, "--runs", "/proc/self/runs")
    assert done.returncode == 4
    assert "problem" in done.stdout and "→ " in done.stdout


def test_accelerators_are_listed_and_hidden_ones_told(tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(GPUS)
    program.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    found = findings(call(tmp_path, "--json", PATH=path))
    assert found["accelerators"][0]["text"] == "2 × NVIDIA H200, 140.4 GiB each"
    assert "one an accelerator" in found["slots"][0]["text"]
    hidden = findings(call(tmp_path, "--json", PATH=path, CUDA_VISIBLE_DEVICES="1"))
    assert [each["text"] for each in hidden["accelerators"]] == [
        "1 accelerator hidden by CUDA_VISIBLE_DEVICES='1'",
        "1 × NVIDIA H200, 140.4 GiB each",
    ]


@pytest.mark.parametrize(("number", "problems"), [("2.13.0+cpu", ["torch"]), ("2.13.0+cu128", []), (None, [])])
def test_a_torch_that_leaves_the_gpu_idle_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, number: str | None, problems: list[str]
) -> None:
    monkeypatch.setattr(installation, "version", lambda name: number if name == "torch" else "1.0")
    whole = Topology((Core(0, (0,)),), 1 << 34, (Accelerator(0, "GPU-0", "H200"),))
    found = installation.examine_installation(whole, (Slot(0, (0,), 1),))
    assert [finding.topic for finding in found if finding.level == "problem"] == problems


@pytest.mark.parametrize(("kind", "level"), [("ext4", "ok"), ("nfs4", "note"), ("tmpfs", "note")])
def test_the_file_system_is_the_one_the_folder_lies_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, level: str
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 8:1 / / rw - xfs /dev/a rw\n2 1 8:2 / {tmp_path} rw - {kind} /dev/b rw\n")
    assert file_system(tmp_path / "x", mounts) == kind
    assert file_system(Path("/"), mounts) == "xfs"
    monkeypatch.setattr("flopwise.engine.doctor.folder.file_system", lambda folder: kind)
    (found,) = [finding for finding in examine_folder(tmp_path / "runs") if finding.topic == "folder"]
    assert found.level == level
