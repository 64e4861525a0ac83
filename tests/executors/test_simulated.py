"""The simulated executor: virtual time, made-up fates and values, whole studies on it."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flopwise
from flopwise.engine.verify import verify
from flopwise.errors import StudyError
from flopwise.events import AttemptEnded, AttemptStarted, LateResult, TrialProposed
from flopwise.executors.simulated import SimulatedExecutor
from flopwise.executors.simulation import Options, fate_of, measured_value, true_value
from flopwise.journal.read import read_events
from flopwise.paths import RunFolder
from flopwise.wire import Ended, Hello, Job, KeeperLost, Message, Reported, Slot, Started

HELLO = Hello("ab", "/nowhere/keeper.jsonl")


def job(number: int, slot: Slot | None = None, **fields: Any) -> Job:
    """An evaluation whose config is its number."""
    usual: dict[str, Any] = {
        "attempt": f"t{number:04d}.s0.a1",
        "kind": "evaluate",
        "workload": "function",
        "config": {"x": number},
        "stop": {},
        "seed": 7,
        "slot": slot or Slot(0, (), 1),
        "folder": "/nowhere",
        "cache": "/nowhere",
        "metric": "loss",
    }
    return Job(**{**usual, **fields})


def opened(slots: int = 1, **options: Any) -> SimulatedExecutor:
    made = SimulatedExecutor([Slot(index, (), 1) for index in range(slots)], Options(**options))
    made.open(HELLO)
    return made


def heard(executor: SimulatedExecutor, *jobs: Job) -> list[Message]:
    for each in jobs:
        executor.start(each)
    messages: list[Message] = []
    while sum(isinstance(m, Ended) for m in messages) < len(jobs) and not isinstance(messages[-1:], KeeperLost):
        messages += executor.poll(0.25)
    return messages


def of(kind: type, messages: list[Message]) -> list[Any]:
    return [message for message in messages if isinstance(message, kind)]


def test_time_jumps_to_what_happens_next() -> None:
    executor = opened(seconds=3600.0, spread=0.0)
    (ended,) = of(Ended, heard(executor, job(1)))
    assert (ended.started_at, ended.ended_at, executor.clock.monotonic()) == (0.0, 3600.0, 3600.0)
    assert executor.poll(0.25) == [] and executor.clock.monotonic() == 3600.25


def test_what_ends_close_together_is_heard_together() -> None:
    executor = opened(3, seconds=10.0, spread=0.1, round_s=100.0)
    for number in (1, 2, 3):
        executor.start(job(number, executor.slots[number - 1]))
    ends = of(Ended, executor.poll(0.25))
    assert len(ends) == 3 and len({ended.ended_at for ended in ends}) == 3
    assert executor.clock.monotonic() == max(ended.ended_at for ended in ends)


def test_thousands_of_slots_run_at_once() -> None:
    executor = opened(2_000, seconds=60.0, spread=0.2)
    ends = of(Ended, heard(executor, *[job(number, slot) for number, slot in enumerate(executor.slots, 1)]))
    assert len(ends) == 2_000
    assert executor.clock.monotonic() < 60.0 * math.exp(0.2 * 6)
    assert [ended.ended_at for ended in ends] == sorted(ended.ended_at for ended in ends)


def test_fates_and_values_are_functions_of_seed_and_name_alone() -> None:
    options = {"failures": {"error": 0.2, "killed": 0.1, "oom": 0.1}, "spread": 0.3, "rows": 3}
    jobs = [job(number, Slot(number, (), 1)) for number in range(1, 60)]
    first = heard(opened(60, **options), *jobs)
    again = heard(opened(60, **options), *jobs)
    other = heard(opened(60, **options, seed=1), *jobs)
    assert first == again != other
    backwards = heard(opened(60, **options), *reversed(jobs))
    assert sorted(of(Reported, first), key=str) == sorted(of(Reported, backwards), key=str)


def test_shares_of_failures_come_out_as_asked_for() -> None:
    options = Options(failures={"error": 0.2, "nan": 0.1, "timeout": 0.05})
    kinds = Counter(fate_of(options, f"t{number:04d}.s0.a1", 0).ends_as for number in range(4000))
    for kind, share in (("error", 0.2), ("nan", 0.1), ("timeout", 0.05), ("ok", 0.65)):
        assert abs(kinds[kind] / 4000 - share) < 5 * math.sqrt(share * (1 - share) / 4000), kind


def test_durations_have_the_median_and_the_spread_asked_for() -> None:
    options = Options(seconds=20.0, spread=0.5)
    logs = [math.log(fate_of(options, f"t{number:04d}.s0.a1", 0).seconds) for number in range(4000)]
    assert abs(statistics.fmean(logs) - math.log(20.0)) < 0.05
    assert abs(statistics.stdev(logs) - 0.5) < 0.05


def test_the_surface_has_the_mean_the_effect_and_the_noise_asked_for() -> None:
    options = Options(mean=2.0, effect=0.3, noise=0.1, shared_noise=0.2)
    truths = [true_value(options, {"x": x}) for x in range(2000)]
    assert abs(statistics.fmean(truths) - 2.0) < 0.05 and abs(statistics.stdev(truths) - 0.3) < 0.03
    noise = [measured_value(options, {"x": 1}, seed) - truths[1] for seed in range(2000)]
    assert abs(statistics.stdev(noise) - math.hypot(0.1, 0.2)) < 0.02
    beside = [measured_value(options, {"x": 2}, seed) - truths[2] for seed in range(2000)]
    assert abs(statistics.correlation(noise, beside) - 0.2**2 / (0.1**2 + 0.2**2)) < 0.05


@pytest.mark.parametrize(
    ("kind", "outcome", "signal", "reason"),
    [
        ("error", "error", None, "exit"),
        ("nan", "nan", None, "exit"),
        ("oom", "oom", None, "exit"),
        ("killed", None, 9, "exit"),
        ("timeout", None, 9, "timeout"),
    ],
)
def test_each_failure_is_said_as_a_keeper_says_it(kind: str, outcome: str | None, signal: int, reason: str) -> None:
    messages = heard(opened(failures={kind: 1.0}, seconds=5.0), job(1, timeout_s=30.0))
    (ended,) = of(Ended, messages)
    assert [reported.outcome for reported in of(Reported, messages)] == ([outcome] if outcome else [])
    assert (ended.signal, ended.reason) == (signal, reason)
    assert (ended.exit_code is None) == (outcome is None)
    if kind == "timeout":
        assert ended.ended_at == 30.0


def test_silence_ends_an_attempt_that_has_a_limit_on_it() -> None:
    (ended,) = of(Ended, heard(opened(seconds=60.0, spread=0.0), job(1, progress_s=20.0)))
    assert (ended.reason, ended.ended_at) == ("silent", 20.0)
    (ended,) = of(Ended, heard(opened(seconds=60.0, spread=0.0, rows=5), job(1, progress_s=20.0)))
    assert (ended.reason, ended.ended_at) == ("exit", 60.0)


def test_a_broken_slot_kills_whatever_runs_there() -> None:
    executor = opened(2, broken_slots=[1])
    ends = {e.attempt: e for e in of(Ended, heard(executor, *[job(n, executor.slots[n % 2]) for n in range(1, 9)]))}
    assert {name: end.signal for name, end in ends.items()} == {
        f"t{n:04d}.s0.a1": 7 if n % 2 else None for n in range(1, 9)
    }


def test_contention_stretches_the_time_and_not_the_work() -> None:
    (calm,) = of(Ended, heard(opened(spread=0.0), job(1)))
    (crowded,) = of(Ended, heard(opened(spread=0.0, contended=1.0, contention=0.75), job(1)))
    assert (calm.contention, crowded.contention) == (0.0, 0.75)
    assert (calm.cpu_s, crowded.cpu_s) == (60.0, 60.0)
    assert (calm.ended_at, crowded.ended_at) == (60.0, 240.0)


def test_a_keeper_takes_everything_with_it_and_late_results_come_after_the_next_opening() -> None:
    executor = opened(20, spread=0.5, late=1.0, failures={"keeper_lost": 0.2})
    for number, slot in enumerate(executor.slots, 1):
        executor.start(job(number, slot))
    messages: list[Message] = []
    while not of(KeeperLost, messages):
        messages += executor.poll(0.25)
    ended = {end.attempt for end in of(Ended, messages)}
    with pytest.raises(Exception, match="not open"):
        executor.start(job(99))
    assert executor.poll(0.0) == []
    executor.open(HELLO)
    late: list[Message] = []
    while more := executor.poll(1e9):
        late += more
    names = {end.attempt for end in of(Ended, late)}
    assert names and not names & ended
    assert names == {reported.attempt for reported in of(Reported, late)}
    assert not of(Started, late)


def test_a_stopped_attempt_is_not_heard_of_again() -> None:
    executor = opened()
    executor.start(job(1))
    executor.stop("t0001.s0.a1", "interrupted", 5.0)
    messages = executor.poll(0.0)
    assert [(end.attempt, end.reason) for end in of(Ended, messages)] == [("t0001.s0.a1", "stopped")]
    assert executor.poll(1.0) == []


def test_options_are_checked_with_the_study() -> None:
    with pytest.raises(StudyError) as caught:
        study(lambda x: 0.0, options={"secnds": 3, "failures": {"error": 0.7, "nan": 0.7}})
    assert "execution.options.secnds" in str(caught.value) and "seconds" in str(caught.value)
    assert "add up to more than 1" in str(caught.value)
    with pytest.raises(StudyError, match="executor local has none"):
        study(lambda x: 0.0, executor="local", options={"seconds": 3})


def study(objective: Callable[..., Any], *, executor: str = "simulated", slots: int = 4, **sections: Any) -> Any:
    options = {"seconds": 10.0, "durability": "none", **sections.pop("options", {})}
    return flopwise.Study(
        name="made-up",
        space={"x": flopwise.Float(0.0, 1.0)},
        objective=objective,
        evaluations=sections.pop("evaluations", 24),
        execution={"executor": executor, "slots": slots, "options": options, **sections.pop("execution", {})},
        **sections,
    )


def quadratic(config: Any) -> float:
    return float((config["x"] - 0.3) ** 2 + 1.0)


def test_a_whole_study_runs_a_function_on_virtual_time_and_verifies(tmp_path: Path) -> None:
    done = study(quadratic, runs=tmp_path).run(quiet=True)
    assert done.reason == "finished"
    assert done.best is not None and abs(done.best["mean"] - quadratic(done.best["config"])) < 1e-12
    assert done.summary["spend"]["session_s"] > 24 * 10.0 / 4 * 0.8
    assert done.summary["machine"]["simulated"]["seconds"] == 10.0
    assert verify(RunFolder(done.folder)) == []


def test_the_report_says_that_it_was_made_up(tmp_path: Path) -> None:
    done = study(quadratic, runs=tmp_path).run(quiet=True)
    assert "Simulated" in (done.folder / "report.md").read_text().split("##")[0]


def test_the_same_study_has_the_same_course(tmp_path: Path) -> None:
    failing = {"failures": {"error": 0.05, "killed": 0.1}, "rows": 2, "values": "surface"}
    courses = []
    for name in ("one", "two"):
        done = study(quadratic, runs=tmp_path / name, options=failing, policies={"crash_rate": False}).run(quiet=True)
        events, _ = read_events(RunFolder(done.folder).journal)
        courses.append([e for e in events if isinstance(e, TrialProposed | AttemptStarted | AttemptEnded)])
        assert verify(RunFolder(done.folder)) == []
    assert courses[0] == courses[1]


def test_lost_keepers_and_late_results_reach_the_journal(tmp_path: Path) -> None:
    options = {"failures": {"keeper_lost": 0.02}, "late": 1.0, "values": "surface", "spread": 0.5, "seed": 3}
    done = study(quadratic, runs=tmp_path, evaluations=60, options=options, slots=8).run(quiet=True)
    assert done.reason == "finished"
    events, _ = read_events(RunFolder(done.folder).journal)
    assert any(isinstance(event, AttemptEnded) and event.lost == "keeper" for event in events)
    assert any(isinstance(event, LateResult) for event in events)
    assert verify(RunFolder(done.folder)) == []


def test_a_broken_slot_is_quarantined_and_costs_no_trial(tmp_path: Path) -> None:
    options = {"values": "surface", "broken_slots": [2]}
    settings = {"evaluations": 60, "policies": {"throughput": False}}
    done = study(quadratic, runs=tmp_path, options=options, **settings).run(quiet=True)
    assert done.reason == "finished"
    assert all(trial["outcome"] == "ok" for trial in done.trials)
    events, _ = read_events(RunFolder(done.folder).journal)
    assert [event.slot for event in events if type(event).__name__ == "SlotQuarantined"] == [2]
