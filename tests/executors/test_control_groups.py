"""Where control groups are, on all the ways in which machines lay them out, and what may be done there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from flopwise.executors import cgroup
from flopwise.executors.cgroup import Group, Hierarchy, hierarchies


def lay_out(proc: Path, groups: str, mounts: list[str]) -> Path:
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text(groups)
    lines = [f"{number} 1 0:{number} {mount}" for number, mount in enumerate(mounts, start=30)]
    (proc / "self" / "mountinfo").write_text("\n".join(["22 1 8:1 / / rw - ext4 /dev/vda rw", *lines]) + "\n")
    return proc


def test_version_2_alone(tmp_path: Path) -> None:
    mounts = ["/ /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"]
    proc = lay_out(tmp_path, "0::/user.slice/user-1000.slice/run-u7.scope\n", mounts)
    own = Path("/sys/fs/cgroup/user.slice/user-1000.slice/run-u7.scope")
    assert hierarchies(proc) == [Hierarchy(2, Path("/sys/fs/cgroup"), own)]


def test_version_1_beside_2_comes_first_when_it_has_the_memory_controller(tmp_path: Path) -> None:
    mounts = [
        "/ /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
        "/ /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
        "/ /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
    ]
    proc = lay_out(tmp_path, "4:memory:/jobs/7\n3:cpu,cpuacct:/other\n0::/\n", mounts)
    assert hierarchies(proc) == [
        Hierarchy(1, Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup/memory/jobs/7")),
        Hierarchy(2, Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/unified")),
    ]


def test_in_a_container_that_sees_only_its_own_part(tmp_path: Path) -> None:
    mounts = ["/docker/ab12 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory"]
    proc = lay_out(tmp_path, "4:memory:/docker/ab12/inner\n", mounts)
    (found,) = hierarchies(proc)
    assert found.own == Path("/sys/fs/cgroup/memory/inner")


@pytest.mark.parametrize("groups", ["4:memory:/elsewhere\n", "1:name=systemd:/\n", ""])
def test_a_group_that_is_not_to_be_seen_from_here_is_not_used(tmp_path: Path, groups: str) -> None:
    proc = lay_out(tmp_path, groups, ["/docker/ab12 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory"])
    assert hierarchies(proc) == []


def test_without_procfs_there_are_none(tmp_path: Path) -> None:
    assert hierarchies(tmp_path / "nowhere") == []
    assert cgroup.join("f00d", tmp_path / "nowhere") is None
    assert cgroup.clear("f00d", proc=tmp_path / "nowhere") == 0


def test_where_no_group_may_be_made_nothing_is_left(tmp_path: Path) -> None:
    """An ordinary folder: groups can be made in it, but no process put into them."""
    top = tmp_path / "top"
    top.mkdir()
    proc = lay_out(tmp_path / "proc", "0::/\n", [f"/ {top} rw - cgroup2 cgroup2 rw"])
    assert cgroup.join("f00d", proc) is None
    assert list(top.iterdir()) == []


@pytest.mark.parametrize("version", [1, 2])
def test_a_kill_and_the_peak_are_read_from_either_version(tmp_path: Path, version: int) -> None:
    group = Group(tmp_path, version)
    if version == 1:
        stat, events = "cache 9\nrss 5\ntotal_cache 7\ntotal_rss 300\ntotal_shmem 20\n", "memory.oom_control"
        quiet, loud = "under_oom 0\noom_kill 0\n", "under_oom 0\noom_kill 2\n"
    else:
        stat, events = "anon 300\nfile 9\nshmem 20\nfile_mapped 4\n", "memory.events"
        quiet, loud = "low 0\nmax 3\noom 1\noom_kill 0\n", "low 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 1\n"
    (tmp_path / "memory.stat").write_text(stat)
    (tmp_path / events).write_text(quiet)
    assert not group.is_exceeded() and group.peak_bytes == 320
    (tmp_path / events).write_text(loud)
    assert group.is_exceeded()


def test_clearing_leaves_groups_of_other_runs_alone(tmp_path: Path) -> None:
    top = tmp_path / "top"
    proc = lay_out(tmp_path / "proc", "0::/a\n", [f"/ {top} rw - cgroup2 cgroup2 rw"])
    for run in ("a/flopwise-f00d/keeper", "b/c/flopwise-f00d/1", "a/flopwise-f00d0/keeper", "a/flopwise-f00"):
        (top / run).mkdir(parents=True)
    assert cgroup.clear("f00d", proc=proc) == 0
    left = sorted(folder for folder, inside, _ in os.walk(top) if not inside)
    assert left == [str(top / path) for path in ("a/flopwise-f00", "a/flopwise-f00d0/keeper", "b/c")]


def test_version_2_puts_limits_only_where_the_memory_controller_is_handed_down(tmp_path: Path) -> None:
    own, run = tmp_path / "own", tmp_path / "own" / "flopwise-f00d"
    run.mkdir(parents=True)
    (own / "cgroup.procs").write_text("1\n")
    (own / "cgroup.controllers").write_text("cpu pids\n")
    assert cgroup.Groups(Hierarchy(2, tmp_path, own), run).make(1 << 30) is None
    (own / "cgroup.subtree_control").write_text("cpu memory\n")
    (run / "cgroup.subtree_control").touch()
    groups: Any = cgroup.Groups(Hierarchy(2, tmp_path, own), run)
    assert (run / "cgroup.subtree_control").read_text() == "+memory"
    assert groups.make(1 << 30) is None, "an ordinary folder has no memory.max"
    assert sorted(path.name for path in run.iterdir()) == ["cgroup.subtree_control"]
