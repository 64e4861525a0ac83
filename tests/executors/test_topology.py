"""How much of the machine may be used: affinity, cgroup quotas of both versions, siblings, nodes, accelerators."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from flopwise.errors import ExecutorError
from flopwise.executors import topology
from flopwise.executors.accelerators import Accelerator, ask_nvidia_smi, installed, visible
from flopwise.executors.topology import (
    Topology,
    cpu_quota,
    format_ranges,
    machine,
    memory_limit,
    parse_ranges,
    quota_place,
    read_cores,
    usable_cores,
)


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


def test_different_quotas_do_not_all_lie_on_the_first_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(topology, "cpu_quota", lambda: 3.0)
    found = set()
    for place in range(4):
        monkeypatch.setattr(topology, "quota_place", lambda place=place: place)
        found.add(usable_cores())
    assert found == {(0, 1, 2), (3, 4, 5)}


def test_a_quota_lies_where_its_cgroup_is(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {"proc/self/cgroup": "0::/box/inner", "sys/box/cpu.max": "200000 100000", "sys/box/inner/cpu.max": "max 1"},
    )
    assert quota_place(tmp_path / "proc", tmp_path / "sys") == (tmp_path / "sys/box").stat().st_ino
    assert quota_place(tmp_path / "nowhere", tmp_path / "sys") == 0


def test_machine_is_json_and_counts_the_usable_cores() -> None:
    facts = json.loads(json.dumps(machine()))
    assert facts["cores"] == len(usable_cores())
    assert facts["memory_bytes"] > 0
    assert {"host", "cpu", "boot_id", "platform", "python"} <= set(facts)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """sysfs of 128 cores: 64 physical ones on two nodes, numbered as Linux does it, siblings 64 apart."""
    nodes = {0: "0-31,64-95", 1: "32-63,96-127"}
    files = {f"devices/system/node/node{node}/cpulist": cores for node, cores in nodes.items()}
    for core in range(128):
        siblings = f"{core % 64},{core % 64 + 64}"
        files[f"devices/system/cpu/cpu{core}/topology/thread_siblings_list"] = siblings
    for gpu in range(8):
        files[f"bus/pci/devices/0000:{gpu:02x}:00.0/numa_node"] = str(gpu // 4)
    return lay(tmp_path / "sys", files)


def test_siblings_and_nodes_of_a_large_machine(large: Path) -> None:
    found = Topology(read_cores(tuple(range(128)), large), 1 << 40)
    assert (len(found.cores), found.physical, found.nodes) == (128, 64, (0, 1))
    assert (found.cores[40].siblings, found.cores[40].node) == ((40, 104), 1)
    assert (found.cores[70].siblings, found.cores[70].node) == ((6, 70), 0)


def test_a_core_of_which_nothing_is_said_stands_alone(tmp_path: Path) -> None:
    (core,) = read_cores((5,), tmp_path)
    assert (core.siblings, core.node) == ((5,), 0)


@pytest.mark.parametrize("text", ["0", "0-3", "0-3,8,10-11", "7,9"])
def test_ranges_are_read_and_written(text: str) -> None:
    assert format_ranges(parse_ranges(text)) == text


@pytest.mark.parametrize("text", ["", "a", "3-", "-3", "1,,2"])
def test_what_is_no_range_is_nothing(text: str) -> None:
    assert parse_ranges(text) == ()


SMI = """#!/bin/sh
for gpu in 0 1 2 3 4 5 6 7; do
  echo "$gpu, GPU-${gpu}aaa-bbb, NVIDIA H200, 143771, 00000000:0$gpu:00.0"
done
"""


def program(tmp_path: Path, text: str) -> str:
    path = tmp_path / "nvidia-smi"
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_eight_gpus_with_memory_and_node(tmp_path: Path, large: Path) -> None:
    found = ask_nvidia_smi(program(tmp_path, SMI), large / "bus/pci/devices")
    assert [gpu.name for gpu in found] == [f"GPU-{n}aaa-bbb" for n in range(8)]
    assert {gpu.memory_bytes for gpu in found} == {143771 << 20}
    assert [gpu.node for gpu in found] == [0, 0, 0, 0, 1, 1, 1, 1]


def test_a_failing_program_is_an_error_only_where_there_is_a_driver(tmp_path: Path) -> None:
    failing = program(tmp_path, "#!/bin/sh\necho NVML: Driver/library version mismatch; exit 18\n")
    assert installed(failing, tmp_path / "no-driver") == ()
    (tmp_path / "driver").mkdir()
    with pytest.raises(ExecutorError, match="version mismatch"):
        installed(failing, tmp_path / "driver")


def test_without_the_program_the_driver_says_what_there_is(tmp_path: Path) -> None:
    text = "Model: \t NVIDIA L4\nGPU UUID: \t GPU-77\nBus Location: \t 0000:00:03.0"
    lay(tmp_path, {"gpus/0000:00:03.0/information": text})
    assert installed(None, tmp_path) == (Accelerator(0, "GPU-77", "NVIDIA L4"),)
    assert installed(None, tmp_path / "nowhere") == ()


GPUS = tuple(Accelerator(n, f"GPU-{n}a", "H200") for n in range(3))


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        (None, ["GPU-0a", "GPU-1a", "GPU-2a"]),
        ("2,0", ["GPU-2a", "GPU-0a"]),
        ("GPU-1", ["GPU-1a"]),
        ("", []),
        ("-1", []),
        ("1,7,0", ["GPU-1a"]),
        ("1,1", ["GPU-1a"]),
        ("GPU-", []),
        ("MIG-ab", ["MIG-ab"]),
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(setting: str | None, names: list[str]) -> None:
    assert [gpu.name for gpu in visible(GPUS, setting)] == names
