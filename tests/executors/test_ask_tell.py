"""The executor behind ask and tell: what it gives away, what it takes, and that nobody waits for ever."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy
import pytest

from flopwise.errors import ExecutorError, InputError, WorkloadError
from flopwise.executors.ask_tell import AskTellExecutor
from flopwise.executors.asked import Asked
from flopwise.wire import Ended, Hello, Job, Measurement, Message, Reported, Started

PATIENCE_S = 20.0


class Engine:
    """The other side: starts what it is given, polls until the end, and keeps what it heard."""

    def __init__(self, root: Path, slots: int) -> None:
        self.root = root
        self.executor = AskTellExecutor(slots)
        self.executor.open(Hello(run_id="r", stamps=str(root / "keeper.jsonl")))
        self.heard: list[Message] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._leaving = False

    def start(self, count: int = 1, first: int = 1, **job: Any) -> None:
        """Start some jobs, and then listen."""
        for number in range(first, first + count):
            folder = self.root / f"t{number:04d}.s0.a1"
            folder.mkdir()
            fields = {"config": {"x": number}, "stop": {"steps": 5}, "seed": 7, "slot": self.executor.slots[0], **job}
            self.executor.start(
                Job(
                    attempt=folder.name,
                    kind="evaluate",
                    workload="function",
                    folder=str(folder),
                    cache=str(self.root),
                    metric="loss",
                    phase="search",
                    **fields,
                )
            )
        if not self._thread.is_alive():
            self._thread.start()

    def ask(self, **how: Any) -> Asked:
        trial = self.executor.ask(**how)
        assert trial is not None
        return trial

    def of(self, kind: type) -> list[Any]:
        return [message for message in self.heard if isinstance(message, kind)]

    def close(self) -> None:
        self._leaving = True
        if self._thread.is_alive():
            self._thread.join()
        self.executor.close()

    def _listen(self) -> None:
        while not self._leaving:
            self.heard += self.executor.poll(0.05)


@pytest.fixture
def engine(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    made = Engine(tmp_path, slots=getattr(request, "param", 3))
    yield made
    made.close()


def test_a_trial_goes_out_and_its_result_comes_back(engine: Engine) -> None:
    before = time.monotonic()
    engine.start()
    trial = engine.ask()
    assert (trial.number, trial.phase, trial.config, trial.seed) == (1, "search", {"x": 1}, 7)
    assert trial.fidelity.to_json() == {"steps": 5.0} and trial.folder.is_dir()
    trial.report(1, loss=2.0)
    trial.note(tokens=12)
    engine.executor.tell(trial, {"loss": numpy.float32(0.5), "text": "kept"})
    kinds = [type(message) for message in engine.heard]
    assert kinds == [Started, Measurement, Reported, Ended]
    (reported,), (ended,) = engine.of(Reported), engine.of(Ended)
    assert (reported.outcome, reported.metrics) == ("ok", {"loss": 0.5})
    assert reported.info == {"text": "kept", "tokens": 12}
    assert before <= ended.started_at <= ended.ended_at <= time.monotonic()
    summary = json.loads((trial.folder / "summary.json").read_text())
    assert (summary["metrics"], summary["curve"][0]["step"]) == ({"loss": 0.5}, 1)


def test_stamps_say_when_a_trial_was_out(engine: Engine) -> None:
    engine.start()
    trial = engine.ask()
    engine.executor.tell(trial, 1.0)
    stamps = [json.loads(line) for line in (engine.root / "keeper.jsonl").read_text().splitlines()]
    (ended,) = engine.of(Ended)
    assert [stamp["event"] for stamp in stamps] == ["keeper", "start", "end"]
    assert [stamp["at"] for stamp in stamps[1:]] == [ended.started_at, ended.ended_at]


@pytest.mark.parametrize(
    ("value", "outcome", "cause"),
    [
        (0.25, "ok", ""),
        (numpy.array(0.25), "ok", ""),
        (float("nan"), "nan", "loss is nan"),
        ({"loss": -numpy.inf}, "nan", "loss is -inf"),
        (10**400, "nan", "loss is inf"),
    ],
)
def test_numbers_are_judged_as_those_of_a_worker(engine: Engine, value: Any, outcome: str, cause: str) -> None:
    engine.start()
    engine.executor.tell(engine.ask(), value)
    (reported,) = engine.of(Reported)
    assert (reported.outcome, reported.cause) == (outcome, cause)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"accuracy": 1.0}, "a value for 'loss'"),
        ("low", "'low' \\(str\\)"),
        ({"loss": None}, "None"),
        ([0.5], "\\[0.5\\] \\(list\\)"),
        (True, "True \\(bool\\)"),
        (numpy.zeros(2), "ndarray"),
        ({"loss": 1.0, "model": object()}, "model has no JSON form"),
    ],
)
def test_what_is_no_result_is_refused_and_can_be_told_again(engine: Engine, value: Any, words: str) -> None:
    engine.start()
    trial = engine.ask()
    with pytest.raises(InputError, match=words) as caught:
        engine.executor.tell(trial, value)
    assert "tell it again" in str(caught.value)
    engine.executor.tell(trial, 1.0)
    assert [message.outcome for message in engine.of(Reported)] == ["ok"]


def test_failures_have_the_outcomes_of_a_worker(engine: Engine) -> None:
    engine.start(3)
    engine.executor.fail(engine.ask(), "diverged\nat step 3")
    engine.executor.fail(engine.ask(), MemoryError("too big"))
    engine.executor.fail(engine.ask(), FloatingPointError("overflow"))
    assert [message.outcome for message in engine.of(Reported)] == ["error", "oom", "nan"]
    assert engine.of(Reported)[0].cause == "diverged; at step 3"


def test_wrong_trials_are_refused(engine: Engine, tmp_path: Path) -> None:
    engine.start()
    trial = engine.ask()
    (tmp_path / "other").mkdir()
    other = Engine(tmp_path / "other", slots=1)
    other.start()
    with pytest.raises(InputError, match="another study"):
        other.executor.tell(trial, 1.0)
    other.close()
    with pytest.raises(InputError, match="this is no trial"):
        engine.executor.tell({"x": 1}, 1.0)
    engine.executor.tell(trial, 1.0)
    for late in (lambda: engine.executor.tell(trial, 2.0), lambda: trial.report(2, loss=1.0), lambda: trial.note(a=1)):
        with pytest.raises(InputError, match="has been told already"):
            late()
    assert len(engine.of(Ended)) == 1


def test_a_row_must_be_numbers(engine: Engine) -> None:
    engine.start()
    with pytest.raises(WorkloadError, match="loss is not a number"):
        engine.ask().report(1, loss="low")


def test_asking_for_more_than_there_can_be_is_no_deadlock(engine: Engine) -> None:
    engine.start(2)
    trials = [engine.ask(), engine.ask()]
    assert engine.executor.ask(wait=False) is None
    with pytest.raises(InputError, match="out: trial 1, 2"):
        engine.executor.ask()
    engine.executor.tell(trials[0], 1.0)
    engine.start(1, first=3)
    assert engine.ask().number == 3


def test_a_thread_waits_for_what_another_one_tells(engine: Engine) -> None:
    engine.start(1)
    got: list[Any] = []
    trial = engine.ask()
    waiting = threading.Thread(target=lambda: got.append(engine.executor.ask()))
    waiting.start()
    engine.start(1, first=2)
    waiting.join(PATIENCE_S)
    engine.executor.tell(trial, 1.0)
    assert [trial.number for trial in got] == [2]


def test_of_threads_that_wait_for_each_other_the_last_one_is_told(engine: Engine) -> None:
    engine.start(2)
    errors: list[InputError] = []
    held = threading.Barrier(2)

    def ask_twice() -> None:
        trial = engine.ask()
        held.wait()
        try:
            engine.executor.ask()
        except InputError as error:
            errors.append(error)
            engine.executor.tell(trial, 1.0)

    threads = [threading.Thread(target=ask_twice, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + PATIENCE_S
    while len(errors) < 2:  # the second one when the first has told and ended, its trial being the only one out
        assert time.monotonic() < end, "they wait for ever"
        time.sleep(0.01)
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(engine.of(Ended)) == 2


def test_stop_asks_and_then_takes_the_trial_back(engine: Engine) -> None:
    engine.start(2)
    asked, hurried = engine.ask(), engine.ask()
    assert not asked.should_stop()
    engine.executor.stop(asked.attempt, "pruned", 60.0)
    assert asked.should_stop() and not hurried.should_stop()
    engine.executor.tell(asked, 3.0)
    assert [(r.outcome, r.info) for r in engine.of(Reported)] == [("killed", {"partial": {"loss": 3.0}})]
    engine.executor.stop(hurried.attempt, "interrupted", 0.0)
    end = time.monotonic() + PATIENCE_S
    while len(engine.of(Ended)) < 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    engine.executor.tell(hurried, 3.0)  # it cannot know: said and done
    assert [e.reason for e in engine.of(Ended)] == ["exit", "stopped"] and len(engine.of(Reported)) == 1


def test_a_job_that_nobody_asked_for_is_dropped_by_a_stop(engine: Engine) -> None:
    engine.start(1)
    engine.executor.stop("t0001.s0.a1", "interrupted", 60.0)
    end = time.monotonic() + PATIENCE_S
    while not engine.of(Ended):
        assert time.monotonic() < end
        time.sleep(0.01)
    (ended,) = engine.of(Ended)
    assert (ended.reason, ended.started_at) == ("stopped", ended.ended_at)


def test_a_time_out_is_said_and_noted_but_not_enforced(engine: Engine) -> None:
    engine.start(2, timeout_s=1e-6)
    obeys, ignores = engine.ask(), engine.ask()
    assert obeys.should_stop()
    engine.executor.tell(obeys, 1.0)
    engine.executor.tell(ignores, 1.0)
    assert [message.outcome for message in engine.of(Reported)] == ["killed", "ok"]
    assert [message.reason for message in engine.of(Ended)] == ["timeout", "exit"]
    assert "time-out of 1e-06 s" in engine.of(Reported)[1].info["warning"]


def test_leaving_ends_what_is_out_and_what_would_start(engine: Engine) -> None:
    engine.start(2)
    trial = engine.ask()
    stopped: list[str] = []
    engine.executor.leave(lambda: stopped.append("stop"))
    engine.start(1, first=3)
    end = time.monotonic() + PATIENCE_S
    while len(engine.of(Ended)) < 3:
        assert time.monotonic() < end
        time.sleep(0.01)
    spans = {ended.attempt[:5]: ended.ended_at > ended.started_at for ended in engine.of(Ended)}
    assert spans == {"t0001": True, "t0002": False, "t0003": False}
    assert stopped == ["stop"] and {ended.reason for ended in engine.of(Ended)} == {"stopped"}
    with pytest.raises(InputError, match="not open any more"):
        engine.executor.tell(trial, 1.0)


def test_closing_wakes_who_waits() -> None:
    executor = AskTellExecutor(1)
    got: list[Any] = [1]
    waiting = threading.Thread(target=lambda: got.append(executor.ask()))
    waiting.start()
    executor.close()
    executor.close()
    waiting.join(PATIENCE_S)
    assert got == [1, None]


def test_nothing_starts_before_open() -> None:
    executor = AskTellExecutor(1)
    with pytest.raises(ExecutorError, match="not open"):
        executor.start(Job("t0001.s0.a1", "evaluate", "function", {}, {}, 0, executor.slots[0], "/tmp", "/tmp"))
