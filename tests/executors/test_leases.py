"""Leases: one holder a core, gone with its last process, seen by everybody, and hindered by nobody."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flopwise.errors import ExecutorError
from flopwise.executors.leases import Held, Leases, Taken, held, take
from flopwise.executors.local import LocalExecutor
from flopwise.executors.slots import Share
from flopwise.executors.topology import Core, Topology
from flopwise.wire import Slot

FOUR = Topology(tuple(Core(number, (number,)) for number in range(4)), 1 << 34)
HOLD = """
import sys, time
from flopwise.executors.leases import Leases
leases = Leases([int(word) for word in sys.argv[1].split(",")], [], "elsewhere")
print("held", flush=True)
time.sleep(300)
"""


@contextmanager
def another_process(cores: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds some cores."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, cores], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_core_has_one_holder_until_it_is_released() -> None:
    first = Leases([2, 3], ["GPU-1"], "first")
    with pytest.raises(Taken) as taken:
        Leases([1, 2], [], "second")
    assert taken.value.core == 2
    with pytest.raises(Taken) as taken:
        Leases([0], ["GPU-1"], "second")
    assert taken.value.device == "GPU-1"
    assert (held().cores, held().devices) == ({2, 3}, {"GPU-1"}), "what was refused is not half held"
    first.release()
    first.release()
    assert held() == Held()
    Leases([1, 2], ["GPU-1"], "second").release()


def test_holders_say_who_they_are() -> None:
    mine = [Leases([0, 1, 2, 7], ["GPU-1", "GPU-2"], "pilot/../\n run"), Leases([5], [], "other")]
    by_run = {holder.run: holder for holder in held().holders}
    assert set(by_run) == {"pilot_..___run", "other"}
    pilot = by_run["pilot_..___run"]
    assert (pilot.pid, pilot.cores, pilot.accelerators, pilot.is_gone) == (os.getpid(), (0, 1, 2, 7), 2, False)
    text = str(pilot)
    assert f"cores 0-2,7 and 2 accelerators: process {os.getpid()}, run pilot_..___run, since 20" in text
    for leases in mine:
        leases.release()


def test_many_scattered_cores_and_a_long_name_still_fit() -> None:
    leases = Leases(range(0, 512, 2), [], "n" * 64)
    (holder,) = held().holders
    assert (holder.run, holder.cores) == ("n" * 30, ())
    assert held().cores == set(range(0, 512, 2))
    leases.release()


def test_different_machines_do_not_see_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Leases([0], [], "here")
    monkeypatch.setenv("FLOPWISE_MACHINE", "elsewhere-of-this-test")
    assert held() == Held()
    there = Leases([0], [], "there")
    for leases in (here, there):
        leases.release()


def test_a_killed_holder_holds_nothing_and_a_stopped_one_hinders_nobody() -> None:
    with another_process("0,1") as process:
        os.kill(process.pid, signal.SIGSTOP)
        now = held()
        assert now.cores == {0, 1} and now.holders[0].pid == process.pid
        slots, leases = took(take(FOUR, Share(), "mine"))
        assert [slot.cores for slot in slots] == [(2,), (3,)]
        leases.release()
        process.kill()
        process.wait()
        assert held() == Held()


def took(found: Any) -> Any:
    assert not isinstance(found, Held)
    return found


def test_what_is_asked_for_is_taken_whole_or_not_at_all() -> None:
    with another_process("1"):
        found = take(FOUR, Share(2, 2), "mine")
        assert isinstance(found, Held) and found.cores == {1}
        assert held().cores == {1}
        slots, leases = took(take(FOUR, Share(2), "mine"))
        assert [slot.cores for slot in slots] == [(0, 2)]
        leases.release()


def test_a_core_taken_between_the_look_and_the_grasp_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with another_process("0"):
        monkeypatch.setattr("flopwise.executors.leases.held", Held)
        slots, leases = took(take(FOUR, Share(), "mine"))
        assert [slot.cores for slot in slots] == [(1,), (2,), (3,)]
        leases.release()


def test_strange_names_of_others_are_not_believed(tmp_path: Path) -> None:
    book = "flopwise/e3b0c44298fc"
    names = [f"{book}/core/3", f"{book}/core/x", f"{book}/holder/1/2/a/0-999999999/", f"{book}/holder/7/9/a/3/", "@"]
    lines = [f"0000: 00000002 00000000 00000000 0001 01 12345 @{name}" for name in names]
    listed = tmp_path / "unix"
    listed.write_text("\n".join(["Num RefCount Protocol Flags Type St Inode Path", *lines, "\x1b[2J@flopwise"]))
    found = held({}, listed)
    assert found.cores == {3} and [holder.pid for holder in found.holders] == [7]
    assert held({}, tmp_path / "nothing") == Held()


def test_without_abstract_sockets_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(socket, "socket", lambda *_: type("S", (), {"bind": refuse, "close": lambda _: None})())
    with pytest.raises(ExecutorError, match="executor: inline"):
        Leases([0], [], "mine")


def holders_of(descriptor: int) -> set[int]:
    """Processes that have the same socket open."""
    wanted = Path(f"/proc/self/fd/{descriptor}").readlink()
    found = set()
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if entry.readlink() == wanted:
                found.add(int(entry.parts[2]))
        except OSError:
            continue
    return found


def test_the_guard_holds_leases_and_neither_keeper_nor_attempts_do(make_bench: Any, processes: Any) -> None:
    leases = Leases([0], ["GPU-1"], "mine")
    bench = make_bench(LocalExecutor((Slot(0, (0,), 1),), leases.descriptors))
    keeper = bench.open().pid
    name = bench.start_and_hear("leave_daemon", then="stay")
    guard = processes.parent(keeper)
    assert bench.heard[name].pids()
    for descriptor in leases.descriptors:
        assert holders_of(descriptor) == {os.getpid(), guard}
    leases.release()
    assert held().cores == {0}, "the guard still holds it"
    bench.executor.close()
    assert held() == Held()


def test_an_attempt_is_given_its_devices_and_leases_from_its_slot(make_bench: Any) -> None:
    slot = Slot(0, (0,), 1, accelerators=("GPU-aa", "GPU-bb"))
    bench = make_bench(LocalExecutor((slot,)))
    bench.open()
    seen = bench.run("look_around").reported.info["environment"]
    assert seen["CUDA_VISIBLE_DEVICES"] == "GPU-aa,GPU-bb"
    assert seen["FLOPWISE_MACHINE"] == f"/{bench.hello.run_id}/0"
