"""What every executor promises, checked for each of them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from flopwise import registry
from flopwise.errors import ExecutorError
from flopwise.executors.executor import Traits
from flopwise.executors.inline import InlineExecutor
from flopwise.executors.local import LocalExecutor
from flopwise.executors.simulated import SimulatedExecutor
from flopwise.wire import Ended, Job, Reported, Slot, Started

SLOT = Slot(0, (), 1)


def test_a_good_attempt_is_started_heard_and_ended_in_this_order(either: Any) -> None:
    before = either.clock.monotonic()
    heard = either.run("behave", value=1.25)
    kinds = [type(m) for m in heard.messages]
    assert (kinds[0], kinds[-2], kinds[-1]) == (Started, Reported, Ended)
    assert heard.reported.outcome == "ok" and heard.reported.cause == ""
    assert heard.reported.metrics == {"loss": 1.25}
    assert heard.reported.info["tokens"] == 7
    assert [row.step for row in heard.rows] == [1, 2]
    assert heard.progress[-1].text == "half way"
    assert before <= heard.ended.started_at <= heard.ended.ended_at <= either.clock.monotonic()
    assert heard.started.at == heard.ended.started_at
    assert (heard.ended.exit_code, heard.ended.signal, heard.ended.reason) == (0, None, "exit")
    assert heard.ended.cpu_s is not None and heard.ended.peak_rss_bytes > 0
    assert heard.ended.tail == ""


def test_the_summary_on_disk_says_the_same(either: Any) -> None:
    heard = either.run("behave")
    if not either.writes_summaries:
        assert list(heard.folder.iterdir()) == []
        return
    summary = json.loads((heard.folder / "summary.json").read_text())
    assert summary["attempt"] == heard.ended.attempt
    assert (summary["outcome"], summary["metrics"]) == ("ok", heard.reported.metrics)
    assert summary["info"]["tokens"] == 7
    assert [row["step"] for row in summary["curve"]] == [1, 2]
    assert summary["config"] == {"do": "behave"} and summary["seed"] == 7
    assert "loss" in (heard.folder / "run.md").read_text()


@pytest.mark.parametrize(
    ("what", "outcome", "cause"),
    [
        ("text", "error", "not a number; expected: a float or an int; got: 'low' (str)"),
        ("none", "error", "got: None (NoneType)"),
        ("bool", "error", "got: True (bool)"),
        ("mapping_none", "error", "got: None (NoneType)"),
        ("mapping_text", "error", "got: 'low' (str)"),
        ("mapping_bool", "error", "got: False (bool)"),
        ("complex", "error", "got: 1j (complex)"),
        ("list", "error", "got: [1.0] (list)"),
        ("array", "error", "(ndarray)"),
        ("missing", "error", "expected: a value for 'loss'; got: accuracy"),
        ("nan", "nan", "loss is nan"),
        ("inf", "nan", "loss is inf"),
        ("huge", "nan", "loss is inf"),
        ("literal_1e400", "nan", "loss is inf"),
    ],
)
def test_what_is_not_a_finite_metric_has_a_typed_outcome(either: Any, what: str, outcome: str, cause: str) -> None:
    heard = either.run("give", what=what)
    assert heard.outcome == outcome
    assert cause in heard.reported.cause
    assert "loss" not in heard.reported.metrics
    assert heard.ended.exit_code == 1


@pytest.mark.parametrize("what", ["number", "numpy", "zero_dimensional"])
def test_a_number_in_any_of_its_forms_is_the_metric(either: Any, what: str) -> None:
    heard = either.run("give", what=what)
    assert (heard.outcome, heard.reported.metrics) == ("ok", {"loss": 0.25})


def test_what_stands_beside_the_metric_is_kept(either: Any) -> None:
    heard = either.run("give", what="extras")
    assert (heard.outcome, heard.reported.metrics) == ("ok", {"loss": 0.25})
    assert (heard.reported.info["note"], heard.reported.info["grad"]) == ("fine", "inf")


@pytest.mark.parametrize(
    ("do", "outcome", "cause"),
    [
        ("fail", "error", "ValueError: bad rate (rude.py:"),
        ("fail_long", "error", "ValueError: xxx"),
        ("not_finite", "nan", "loss is nan at step 3"),
        ("exhaust", "oom", "MemoryError"),
        ("exhaust_device", "oom", "rude.OutOfMemoryError: CUDA out of memory"),
    ],
)
def test_what_is_raised_has_a_typed_outcome(either: Any, do: str, outcome: str, cause: str) -> None:
    heard = either.run(do)
    assert heard.outcome == outcome
    assert heard.reported.cause.startswith(cause) and len(heard.reported.cause) < 400
    assert "\n" not in heard.reported.cause


def test_sys_exit_is_not_a_result(either: Any) -> None:
    heard = either.run("leave", status=0)
    assert heard.outcome == "error"
    assert "sys.exit(0)" in heard.reported.cause


def test_global_random_streams_depend_on_the_seed_alone(either: Any) -> None:
    first, again = either.run("draw"), either.run("draw")
    other = either.run("draw", job={"seed": 8})
    assert first.reported.metrics == again.reported.metrics
    assert first.reported.info["order"] == again.reported.info["order"]
    assert first.reported.metrics["loss"] != other.reported.metrics["loss"]
    assert first.reported.metrics["other"] != other.reported.metrics["other"]


def test_an_attempt_stands_in_its_own_folder_and_the_coordinator_does_not_move(either: Any) -> None:
    before = (Path.cwd(), dict(os.environ))
    heard = either.run("look_around", job={"data": {"sha256": "ab"}, "stop": {"steps": 5}})
    assert Path(heard.reported.info["folder"]).name == heard.folder.name
    assert heard.reported.info["data"] == {"sha256": "ab"}
    assert heard.reported.info["stop"] == {"steps": 5.0}
    assert (Path.cwd(), dict(os.environ)) == before


def test_many_rows_are_thinned_on_the_wire_but_not_on_disk(either: Any) -> None:
    heard = either.run("report_much", rows=3000)
    steps = [row.step for row in heard.rows]
    assert steps[0] == 0 and steps[-1] == 2999 and len(steps) < 1000
    assert steps == sorted(steps)
    if either.writes_summaries:
        assert len(json.loads((heard.folder / "summary.json").read_text())["curve"]) == 3000


def test_a_workload_that_does_not_exist_is_an_error_of_the_attempt(either: Any) -> None:
    heard = either.run("behave", job={"workload": "functoin"})
    assert heard.outcome == "error"
    assert "did you mean 'function'?" in heard.reported.cause


def test_preparing_what_needs_no_preparing_is_an_error(either: Any) -> None:
    heard = either.run("behave", job={"kind": "prepare"})
    assert heard.outcome == "error" and "nothing to prepare" in heard.reported.cause


def test_poll_returns_when_woken(either: Any) -> None:
    read, write = os.pipe()
    os.write(write, b"!")
    began = time.monotonic()
    assert either.executor.poll(20.0, read) == []
    assert time.monotonic() - began < 10
    os.close(read)
    os.close(write)


def test_poll_returns_when_its_time_is_over(either: Any) -> None:
    assert either.executor.poll(0.01) == []


@pytest.mark.parametrize("kind", [LocalExecutor, InlineExecutor, SimulatedExecutor])
def test_nothing_starts_before_open_and_close_may_come_twice(kind: Any) -> None:
    executor = kind((SLOT,))
    executor.close()
    executor.close()
    with pytest.raises(ExecutorError, match="not open"):
        executor.start(Job("t0001.s0.a1", "evaluate", "function", {}, {}, 0, SLOT, "/tmp", "/tmp"))


@pytest.mark.parametrize("name", [name for name in registry.names("executors") if name != "ray"])
def test_a_member_declares_what_sets_it_apart_and_is_made_from_a_study(name: str) -> None:
    kind = registry.load("executors", name)
    execution = {"executor": name, "slots": 2, "threads": 1, "options": kind.Options().model_dump()}
    cuts: list[int] = []

    def cut() -> tuple[Slot, ...]:
        cuts.append(1)
        return SLOT, Slot(1, (), 1)

    made = kind.from_study(execution, cut)
    assert isinstance(made, kind) and 1 <= len(made.slots) <= 2
    assert isinstance(kind.traits, Traits) and isinstance(made.traits, Traits)
    assert made.traits.pins == kind.traits.pins and len(cuts) == (name != "simulated")
    json.dumps(dict(made.traits.facts))


def test_each_member_has_the_traits_that_its_users_were_promised() -> None:
    traits = {name: registry.load("executors", name).traits for name in ("local", "inline", "simulated")}
    assert [name for name in traits if traits[name].pins] == ["local"]
    assert [name for name in traits if traits[name].shares_terminal] == ["inline"]
    assert all(known.folders and known.durable and known.clock is None for known in traits.values())
