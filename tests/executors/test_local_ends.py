"""How attempts may end in a process of their own: every way has its own mark, and none touches the next."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from flopwise.wire import Measurement, Started


def test_exit_without_a_result_shows_its_status(local: Any) -> None:
    for status in (0, 1, 7):
        heard = local.run("leave_hard", status=status)
        assert heard.reported is None
        assert (heard.ended.exit_code, heard.ended.signal, heard.ended.reason) == (status, None, "exit")
        assert "leaving" in heard.ended.tail


def test_a_segmentation_fault_shows_where(local: Any) -> None:
    heard = local.run("crash")
    assert heard.reported is None
    assert (heard.ended.exit_code, heard.ended.signal) == (None, signal.SIGSEGV)
    assert "in crash" in heard.ended.tail


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGBUS, signal.SIGINT])
def test_a_signal_shows_its_number(local: Any, number: int) -> None:
    heard = local.run("kill_self", signal=number)
    assert (heard.ended.exit_code, heard.ended.signal, heard.ended.reason) == (None, number, "exit")


def test_ten_megabytes_of_output_go_to_the_file_and_their_end_to_the_message(local: Any) -> None:
    heard = local.run("chatter")
    assert (heard.folder / "stdout").stat().st_size == 10_000_000
    assert len(heard.ended.tail.encode()) <= 4096
    assert "the last line" in heard.ended.tail and "after all that" in heard.ended.tail


def test_a_message_of_ten_megabytes_stays_short_on_the_wire(local: Any) -> None:
    heard = local.run("fail_long")
    assert len(heard.ended.tail.encode()) <= 4096
    assert (heard.folder / "stderr").stat().st_size > 10_000_000


def test_files_of_an_attempt_are_for_this_user_only(local: Any) -> None:
    heard = local.run("behave")
    modes = {path.name: path.stat().st_mode & 0o777 for path in heard.folder.iterdir()}
    assert modes == dict.fromkeys(["stdout", "stderr", "summary.json", "run.md"], 0o600)


def test_a_time_out_ends_a_sleeper(local: Any) -> None:
    heard = local.run("sleep", job={"timeout_s": 0.2})
    assert heard.ended.reason == "timeout"
    assert 0.2 <= heard.ended.ended_at - heard.ended.started_at < 5
    assert heard.rows[-1].values == {"loss": 9.0}, "the last value reported is kept"


def test_a_time_out_ends_a_worker_that_ignores_sigterm(local: Any) -> None:
    heard = local.run("ignore_sigterm", job={"timeout_s": 0.2, "grace_s": 0.2})
    assert (heard.ended.reason, heard.ended.signal) == ("timeout", signal.SIGKILL)
    assert 0.4 <= heard.ended.ended_at - heard.ended.started_at < 5


def test_a_stop_is_a_question_first(local: Any) -> None:
    name = local.start_and_hear("stop_when_asked")
    local.executor.stop(name, "interrupted", 20.0)
    heard = local.finish(name)
    assert (heard.outcome, heard.ended.reason, heard.ended.exit_code) == ("killed", "stopped", 1)
    assert heard.reported.info["partial"] == {"loss": 8.0}
    assert heard.reported.metrics == {}


def test_a_stop_without_grace_asks_nothing(local: Any) -> None:
    name = local.start_and_hear("stop_when_asked")
    local.executor.stop(name, "interrupted", 0.0)
    heard = local.finish(name)
    assert heard.reported is None
    assert (heard.ended.reason, heard.ended.signal) == ("stopped", signal.SIGKILL)


def test_a_second_stop_may_shorten_the_grace(local: Any) -> None:
    name = local.start_and_hear("ignore_sigterm")
    local.executor.stop(name, "interrupted", 300.0)
    local.executor.stop(name, "interrupted", 0.1)
    assert local.finish(name).ended.signal == signal.SIGKILL


def test_a_whole_result_counts_although_a_stop_came(local: Any) -> None:
    name = local.start_and_hear("finish_anyway")
    local.executor.stop(name, "interrupted", 20.0)
    heard = local.finish(name)
    assert (heard.outcome, heard.reported.metrics) == ("ok", {"loss": 8.0})


def test_an_error_that_a_stop_caused_is_not_held_against_the_workload(local: Any) -> None:
    name = local.start_and_hear("hurt_by_stop")
    local.executor.stop(name, "interrupted", 20.0)
    heard = local.finish(name)
    assert heard.outcome == "killed"
    assert "CalledProcessError" in heard.reported.cause


def test_stopping_what_has_ended_or_never_was_does_nothing(local: Any) -> None:
    heard = local.run("behave")
    local.executor.stop(heard.ended.attempt, "late", 0.0)
    local.executor.stop("t9999.s0.a9", "never", 0.0)
    assert local.run("behave").outcome == "ok"


@pytest.mark.parametrize("bytes_sent", ["ffffffff", "00000003616263", "00000002" + b"{}".hex()])
def test_broken_frames_end_the_attempt_that_sent_them(local: Any, bytes_sent: str) -> None:
    heard = local.run("write_garbage", hex=bytes_sent)
    assert (heard.ended.reason, heard.ended.signal) == ("protocol", signal.SIGKILL)


def test_half_a_frame_is_no_frame(local: Any) -> None:
    heard = local.run("write_garbage", hex="0000ffff7b7b", job={"timeout_s": 0.2})
    assert heard.ended.reason == "timeout"


def test_a_message_that_is_not_a_workers_ends_the_attempt(local: Any) -> None:
    assert local.run("write_shutdown").ended.reason == "protocol"


def test_a_forged_attempt_is_put_right(local: Any) -> None:
    heard = local.run("forge")
    assert [row.attempt for row in heard.rows] == [heard.ended.attempt]


def test_a_result_too_long_for_the_wire_is_an_error_that_says_so(local: Any) -> None:
    heard = local.run("note_too_much")
    assert heard.outcome == "error" and "context.note" in heard.reported.cause


def test_a_fork_that_comes_back_from_the_function_is_not_the_attempt(local: Any) -> None:
    heard = local.run("fork_and_return_twice")
    assert (heard.outcome, heard.reported.metrics) == ("ok", {"loss": 1.0})


def test_a_thread_that_never_ends_does_not_hold_the_attempt(local: Any) -> None:
    heard = local.run("leave_thread")
    assert heard.outcome == "ok" and heard.ended.ended_at - heard.ended.started_at < 20


def test_a_folder_that_is_not_there_is_an_error_of_the_attempt(local: Any) -> None:
    heard = local.run("behave", job={"folder": "/nowhere/at/all"})
    assert heard.outcome == "error"
    assert "could not be started" in heard.reported.cause and "/nowhere/at/all" in heard.reported.cause


def test_files_planted_in_the_folder_are_not_written_through(local: Any, tmp_path: Any) -> None:
    (tmp_path / "attempt").mkdir()
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "attempt" / "stdout").symlink_to(tmp_path / "precious")
    heard = local.run("behave", job={"folder": str(tmp_path / "attempt")})
    assert heard.outcome == "error"
    assert (tmp_path / "precious").read_text() == "precious"


def test_two_attempts_run_at_once_and_one_crash_leaves_the_other_alone(local: Any) -> None:
    stayer = local.start("stop_when_asked", slot=0)
    crasher = local.start("crash", slot=1)
    local.finish(crasher)
    local.listen(lambda: local.has(stayer, Measurement))
    assert local.has(stayer, Started)
    local.executor.stop(stayer, "enough", 20.0)
    assert local.finish(stayer).outcome == "killed"


def test_an_attempt_asked_for_twice_runs_once(local: Any) -> None:
    name = local.start_and_hear("stop_when_asked")
    job = {"attempt": name, "folder": str(local.root / "again")}
    local.start("behave", job=job)
    local.executor.stop(name, "enough", 20.0)
    assert [m for m in local.finish(name).messages if isinstance(m, Started)] == [local.heard[name].started]
