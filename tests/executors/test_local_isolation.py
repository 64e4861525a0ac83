"""What an attempt can see: its cores, its share of threads, its environment, and nothing of the keeper's."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from flopwise.executors.topology import usable_cores
from flopwise.wire import Slot


def test_an_attempt_is_pinned_and_its_pools_are_sized(local: Any) -> None:
    core = usable_cores()[-1]
    facts = local.run("look_around", job={"slot": Slot(1, (core,), 1)}).reported.info
    assert facts["cores"] == [core]
    assert facts["threads"] == 1
    assert facts["environment"]["OMP_NUM_THREADS"] == facts["environment"]["OPENBLAS_NUM_THREADS"] == "1"
    assert facts["pools"] and set(facts["pools"]) == {1}


def test_pools_that_the_keeper_has_loaded_grow_to_the_slot(make_bench: Any) -> None:
    bench = make_bench(preload=("numpy", "flopwise.workloads.function.run"))
    assert bench.open().problems == ()
    facts = bench.run("look_around", job={"slot": Slot(0, usable_cores()[:2], 2)}).reported.info
    assert facts["cores"] == list(usable_cores()[:2])
    assert facts["environment"]["MKL_NUM_THREADS"] == "2"
    assert facts["pools"] and set(facts["pools"]) == {2}


def test_threads_and_processes_of_its_own_stay_on_its_cores(local: Any) -> None:
    core = usable_cores()[-1]
    facts = local.run("crowd", job={"slot": Slot(1, (core,), 1)}).reported.info
    assert facts["threads"] >= 64 + 4
    assert facts["allowed"] == facts["ran_on"] == [core]


def test_an_attempt_leads_its_own_session_and_holds_only_its_own_pipe(local: Any) -> None:
    stayer = local.start_and_hear("stop_when_asked")
    heard = local.finish(local.start("look_around", slot=1))
    local.executor.stop(stayer, "enough", 20.0)
    local.finish(stayer)
    facts = heard.reported.info
    assert facts["session"] is True
    assert facts["descriptors"] == ["pipe"]
    assert facts["blocked"] == []
    assert facts["umask"] == 0o077


def test_the_kernel_prefers_attempts_when_memory_runs_out(local: Any) -> None:
    assert local.run("look_around").reported.info["oom_score"] >= 500


def test_secrets_stay_outside_unless_the_study_passes_them(make_bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET_TOKEN", "canary-1")
    monkeypatch.setenv("MY_PASSED_TOKEN", "canary-2")
    bench = make_bench(pass_env=("MY_PASSED_TOKEN", "MY_FORGOTTEN_TOKEN"))
    ready = bench.open()
    heard = bench.run("look_around")
    environment = heard.reported.info["environment"]
    assert "MY_SECRET_TOKEN" not in environment and "canary-1" not in str(environment)
    assert environment["MY_PASSED_TOKEN"] == "canary-2"
    assert environment["FLOPWISE_RUN"] == bench.hello.run_id
    assert [p for p in ready.problems if "MY_FORGOTTEN_TOKEN" in p] == list(ready.problems)


def test_a_signal_to_the_keeper_is_none_of_its_business(make_bench: Any) -> None:
    bench = make_bench()
    ready = bench.open()
    name = bench.start_and_hear("stop_when_asked")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(ready.pid, number)
    bench.executor.stop(name, "enough", 20.0)
    assert bench.finish(name).outcome == "killed"
    assert bench.lost == []
