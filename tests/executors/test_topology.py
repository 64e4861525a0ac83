"""How much of the machine may be used: affinity and cgroup quotas of both versions."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from flopwise.executors import topology
from flopwise.executors.topology import cpu_quota, machine, memory_limit, usable_cores


def lay(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def test_version_2_takes_the_tightest_quota_on_the_way_up(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {
            "proc/self/cgroup": "0::/jobs/one",
            "sys/cgroup.controllers": "cpu memory",
            "sys/cpu.max": "max 100000",
            "sys/jobs/cpu.max": "150000 100000",
            "sys/jobs/one/cpu.max": "400000 100000",
            "sys/jobs/one/memory.max": "max",
            "sys/jobs/memory.max": "1048576",
        },
    )
    assert cpu_quota(tmp_path / "proc", tmp_path / "sys") == 1.5
    assert memory_limit(tmp_path / "proc", tmp_path / "sys") == 1048576


def test_version_1_reads_the_controllers_own_hierarchy(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {
            "proc/self/cgroup": "5:memory:/box\n2:cpu,cpuacct:/box\n1:name=systemd:/box",
            "sys/cpu,cpuacct/box/cpu.cfs_quota_us": "200000",
            "sys/cpu,cpuacct/box/cpu.cfs_period_us": "100000",
            "sys/cpu,cpuacct/cpu.cfs_quota_us": "-1",
            "sys/cpu,cpuacct/cpu.cfs_period_us": "100000",
            "sys/memory/box/memory.limit_in_bytes": "4096",
        },
    )
    assert cpu_quota(tmp_path / "proc", tmp_path / "sys") == 2.0
    assert memory_limit(tmp_path / "proc", tmp_path / "sys") == 4096


def test_no_quota_is_none(tmp_path: Path) -> None:
    lay(tmp_path, {"proc/self/cgroup": "0::/", "sys/cpu.max": "max 100000"})
    assert cpu_quota(tmp_path / "proc", tmp_path / "sys") is None
    assert cpu_quota(tmp_path / "nowhere", tmp_path / "sys") is None


@pytest.mark.parametrize(("quota", "count"), [(0.4, 1), (1.9, 1), (2.0, 2), (8.0, 4), (None, 4)])
def test_a_quota_buys_whole_cores_and_at_least_one(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, count: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7, 9})
    monkeypatch.setattr(topology, "cpu_quota", lambda: quota)
    assert usable_cores() == (3, 5, 7, 9)[:count]


def test_machine_is_json_and_counts_the_usable_cores() -> None:
    facts = json.loads(json.dumps(machine()))
    assert facts["cores"] == len(usable_cores())
    assert facts["memory_bytes"] > 0
    assert {"host", "cpu", "boot_id", "platform", "python"} <= set(facts)
