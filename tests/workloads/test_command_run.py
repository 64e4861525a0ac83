"""One run of a program: what it is told, what it says, and how it ends."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from flopwise.errors import ProgramFailed, ProgramKilled, ProgramOutOfMemory
from flopwise.trial import Fidelity
from flopwise.worker.outcome import failure
from flopwise.workloads.command.program import prepare
from flopwise.workloads.command.run import run


class FakeContext:
    """A context that remembers what it was told."""

    def __init__(self, root: Path) -> None:
        self.started_in = root / "start"
        self.folder = root / "attempt"
        self.cache = root / "cache"
        for folder in (self.started_in, self.folder):
            folder.mkdir(exist_ok=True)
        self.seed, self.threads, self.metric = 42, 2, "loss"
        self.fidelity = Fidelity("steps", 100)
        self.data: Mapping[str, Any] = {}
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.facts: dict[str, Any] = {}
        self.reached_target = False
        self.stop_when: Callable[[], bool] = lambda: False

    def report(self, step: int, **values: float) -> None:
        self.rows.append((step, values))

    def progress(self, text: str, done: float = 0.0, total: float = 0.0) -> None:
        pass

    def note(self, **facts: Any) -> None:
        self.facts.update(facts)

    def should_stop(self) -> bool:
        return self.stop_when()


@pytest.fixture
def context(tmp_path: Path) -> FakeContext:
    return FakeContext(tmp_path)


def call(context: FakeContext, *argv: Any, **settings: Any) -> dict[str, Any]:
    config = {"argv": list(argv), **settings}
    context.data = prepare(config, context)
    return run(config, context)


def shell(context: FakeContext, script: str, **settings: Any) -> dict[str, Any]:
    """A script that bash runs, as a list of arguments."""
    return call(context, "bash", "-c", script.replace("{", "{{").replace("}", "}}"), **settings)


def gone(pid: int) -> bool:
    """Whether a process has ended; a zombie has."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.strip() in ("", "Z", "Z+", "Zs")


def soon(condition: Callable[[], bool]) -> bool:
    """Whether something becomes true in a while that is long for a busy machine."""
    until = time.monotonic() + 20
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


def assert_says(error: Exception, pattern: str) -> None:
    text = " ".join(str(error).split())
    assert re.search(pattern, text), text


# What it is told.


def test_a_program_is_told_everything_in_arguments_environment_and_file(context: FakeContext) -> None:
    script = context.started_in / "dump.py"
    script.write_text("import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)])); print('loss 1')")
    params = {"lr": 1e-05, "net": {"width": 64}, "name": "a b", "on": True}
    argv = [
        "{lr}",
        "{net.width}",
        "--name={name}",
        "{seed}",
        "{threads}",
        "{stop}",
        "{config_file}",
        "{folder}",
        "a{{}}",
    ]
    switch = [{"when": "on", "add": ["--on"]}, {"when": "on", "otherwise": ["--off"]}]
    printed = {"metrics_from": "stdout", "stdout_regex": {"loss": r"loss (\d+)"}}
    call(context, "{python}", "dump.py", *argv, *switch, params=params, env={"WIDTH": "w{net.width}"}, **printed)
    arguments, environment = json.loads((context.folder / "stdout").read_text().splitlines()[0])
    config = context.folder / "config.json"
    said = ["1e-05", "64", "--name=a b", "42", "2", "100", str(config), str(context.folder), "a{}", "--on"]
    assert arguments == said
    assert environment["WIDTH"] == "w64"
    told = {name: environment[f"FLOPWISE_{name}"] for name in ("SEED", "THREADS", "STOP", "STOP_UNIT", "CONFIG")}
    assert told == {"SEED": "42", "THREADS": "2", "STOP": "100", "STOP_UNIT": "steps", "CONFIG": str(config)}
    content = json.loads(config.read_text())
    assert content["params"] == params
    assert (content["seed"], content["threads"], content["stop"]) == (42, 2, {"steps": 100})
    assert content["result_file"] == environment["FLOPWISE_RESULT"] == str(context.folder / "result.json")
    assert content["metrics_file"] == environment["FLOPWISE_METRICS"]
    assert "'--name=a b'" in context.facts["command"]


def test_it_runs_where_the_study_was_started_or_where_it_is_told(context: FakeContext) -> None:
    (context.started_in / "sub").mkdir()
    say = 'pwd > "$FLOPWISE_FOLDER/where"; echo "{\\"loss\\": 1}" > "$FLOPWISE_RESULT"'
    for setting, folder in ((None, "start"), ("sub", "start/sub"), ("{folder}", "attempt")):
        shell(context, say, working_directory=setting)
        assert (context.folder / "where").read_text().strip() == str(context.folder.parent / folder)


def test_a_program_in_the_starting_folder_is_found_from_every_folder(context: FakeContext) -> None:
    program = context.started_in / "measure.sh"
    program.write_text('#!/bin/sh\necho "{\\"loss\\": 1}" > result.json\n')
    program.chmod(0o700)
    assert call(context, "{started_in}/measure.sh", working_directory="{folder}") == {"loss": 1}
    with pytest.raises(ProgramFailed, match="executable file in"):
        call(context, "./measure.sh", working_directory="{folder}")


def test_the_pin_knows_folder_program_and_files_and_outlives_a_change_of_folder(context: FakeContext) -> None:
    (context.started_in / "train.py").write_text("1")
    config = {"argv": ["sh", "train.py"], "depends_on": ["train.py"]}
    pin = prepare(config, context)
    assert pin["started_in"] == str(context.started_in)
    assert pin["program"].endswith("/sh")
    context.data, context.started_in = pin, Path("/")
    assert prepare(config, context) == pin
    Path(pin["started_in"], "train.py").write_text("2")
    changed = prepare(config, context)
    assert [key for key in pin if pin[key] != changed[key]] == ["sha256 train.py"]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"argv": ["no-such-program-here"]}, "no program 'no-such-program-here'"),
        ({"argv": ["./not-there"]}, "executable file"),
        ({"argv": ["sh"], "working_directory": "not-there"}, "working directory is not there"),
        ({"argv": ["sh"], "depends_on": ["not-there"]}, "depends on a file"),
    ],
)
def test_what_is_not_there_is_missed_before_the_first_attempt(
    config: dict[str, Any], says: str, context: FakeContext
) -> None:
    with pytest.raises(ProgramFailed, match=says):
        prepare(config, context)


def test_a_value_that_slipped_past_the_check_is_refused_before_the_program_starts(context: FakeContext) -> None:
    with pytest.raises(ProgramFailed, match=r"params\.name"):
        call(context, "touch", "{name}", params={"name": "-started"})
    assert list(context.started_in.iterdir()) == []


# What it says.


def test_rows_and_results_come_over_descriptor_and_file(context: FakeContext) -> None:
    script = """
echo '{"step": 1, "loss": 3, "text": "x", "ok": true}' >&"$FLOPWISE_FD"
echo '{"step": 2.0, "loss": "NaN"}' >> "$FLOPWISE_METRICS"
echo '' >> "$FLOPWISE_METRICS"
echo '{"loss": 2, "note": "fine"}' >&"$FLOPWISE_FD"
printf '{"accuracy": 0.5}' >> "$FLOPWISE_METRICS"
"""
    assert shell(context, script) == {"loss": 2, "note": "fine", "accuracy": 0.5}
    (one, first), (two, second) = sorted(context.rows)
    assert (one, first, two) == (1, {"loss": 3}, 2)
    assert math.isnan(second["loss"])


def test_rows_arrive_while_the_program_runs(context: FakeContext) -> None:
    """The program waits for a file that is made when its first row has been heard."""
    heard = context.folder / "heard"
    context.report = lambda step, **values: heard.touch()  # type: ignore[method-assign]
    script = """
echo '{"step": 1, "loss": 3}' >> "$FLOPWISE_METRICS"
until [ -e "$FLOPWISE_FOLDER/heard" ]; do sleep 0.01; done
echo '{"loss": 1}' > "$FLOPWISE_RESULT"
"""
    assert shell(context, script) == {"loss": 1}


def test_ten_thousand_rows_all_arrive_in_order(context: FakeContext) -> None:
    (context.started_in / "flood.py").write_text("""
import json, os
with os.fdopen(int(os.environ["FLOPWISE_FD"]), "w") as channel:
    for step in range(10_000):
        print(json.dumps({"step": step, "loss": step / 2}), file=channel)
    print('{"loss": 7}', file=channel)
""")
    assert call(context, sys.executable, "flood.py") == {"loss": 7}
    assert [step for step, _ in context.rows] == list(range(10_000))


def test_a_shell_that_knows_single_digits_only_opens_the_descriptor_by_its_path(context: FakeContext) -> None:
    say = """echo '{{"loss": 1}}' > /dev/fd/$FLOPWISE_FD"""
    assert call(context, "sh", "-c", say) == {"loss": 1}


def test_the_result_file_counts_more_than_lines(context: FakeContext) -> None:
    script = """echo '{"loss": 1, "a": 1}' >&"$FLOPWISE_FD"; echo '{"loss": 2}' > "$FLOPWISE_RESULT" """
    assert shell(context, script) == {"loss": 2, "a": 1}


def test_a_result_may_be_where_the_program_puts_it(context: FakeContext) -> None:
    argv = ["sh", "-c", 'echo "{{\\"loss\\": 1}}" > "$1/metrics.json"', "sh", "{folder}/out"]
    assert call(context, *argv, result_file="out/metrics.json") == {"loss": 1}


def test_last_rows_are_the_result_only_when_the_study_says_so(context: FakeContext) -> None:
    script = """echo '{"step": 1, "loss": 3, "a": 1}
{"step": 2, "loss": 2}' >&"$FLOPWISE_FD" """
    with pytest.raises(ProgramFailed, match="metrics_from: rows"):
        shell(context, script)
    assert shell(context, script, metrics_from="rows") == {"loss": 2, "a": 1}


def test_the_last_match_in_what_it_printed_counts(context: FakeContext) -> None:
    script = r"printf 'step 1: loss 3.5\rstep 2: loss 2.5\rstep 3: loss -1e-3\nno loss here\n'"
    settings = {"metrics_from": "stdout", "stdout_regex": {"loss": r"^step \d+: loss (\S+)$", "other": "x(.)"}}
    assert shell(context, script, **settings) == {"loss": -1e-3}


@pytest.mark.parametrize(
    ("printed", "says"),
    [("loss: many", "not a number.*'many'"), ("nothing", r"nothing.*matches.*nothing"), ("", "no output")],
)
def test_printing_that_holds_no_number_is_an_error(printed: str, says: str, context: FakeContext) -> None:
    settings = {"metrics_from": "stdout", "stdout_regex": {"loss": r"loss: (\S+)"}}
    with pytest.raises(ProgramFailed) as caught:
        shell(context, f"echo '{printed}'", **settings)
    assert_says(caught.value, says)


def test_texts_that_stand_for_numbers_are_numbers_in_a_result(context: FakeContext) -> None:
    for text in ("NaN", '"nan"', '"NaN"', "Infinity", '"-inf"', "1e400"):
        found = shell(context, f"""echo '{{"loss": {text}}}' > "$FLOPWISE_RESULT" """)
        assert isinstance(found["loss"], float) and not math.isfinite(found["loss"])


# How it ends.


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("exit 0", "exited with status 0 and gave no loss.*no lines at all"),
        ("""echo '{"acc": 1}' > "$FLOPWISE_RESULT" """, "gave no loss.*a result with acc"),
        ("""echo '{"loss": ' > "$FLOPWISE_RESULT" """, r"result\.json is not JSON"),
        ("""echo '[1]' > "$FLOPWISE_RESULT" """, r"result\.json is not a JSON object"),
        ("""head -c 1100000 /dev/zero > "$FLOPWISE_RESULT" """, "longer than"),
        ("""mkfifo "$FLOPWISE_RESULT" """, "not a plain file"),
        ("""ln -s /etc/passwd "$FLOPWISE_RESULT" """, "plain file"),
        ("""mkdir "$FLOPWISE_METRICS" """, "not a plain file"),
        ("exit 3", "exited with status 3, and printed nothing"),
        ("echo out; echo one >&2; echo two >&2; exit 3", r"status 3: one \| two"),
        ("echo out; exit 3", "status 3: out"),
        ("kill -SEGV $$", "signal 11 SIGSEGV"),
        (
            """echo '{"step": 1}' >&"$FLOPWISE_FD"; echo 'loss 3' >&"$FLOPWISE_FD" """,
            r"line 2 of \$FLOPWISE_FD is not JSON.*loss 3",
        ),
        ("""printf '{"step": 1}\n\n[1]\n' >> "$FLOPWISE_METRICS" """, r"line 3 of metrics\.jsonl is not a JSON object"),
        ("""printf '{"step": 1}\n{"st' >> "$FLOPWISE_METRICS" """, r"line 2 of metrics\.jsonl is not JSON"),
        ("""echo '{"step": "1"}' >&"$FLOPWISE_FD" """, "step that is not a whole number"),
        ("""echo '{"step": 1.5}' >&"$FLOPWISE_FD" """, "step that is not a whole number"),
        ("""echo '{"step": 1e400}' >&"$FLOPWISE_FD" """, "step that is not a whole number"),
        ("""echo '{"step": 1, "loss": "1.5"}' >&"$FLOPWISE_FD" """, "loss that is not a number"),
        ("""echo '{"step": 1, "self": 1}' >&"$FLOPWISE_FD" """, "'self'"),
        ("""head -c 100000 /dev/zero >&"$FLOPWISE_FD" """, "longer than 65536 bytes"),
        ("""head -c 100000 /dev/zero | tr '\\0' '[' >> "$FLOPWISE_METRICS" """, "longer than 65536 bytes"),
        ("""head -c 50000 /dev/zero | tr '\\0' '[' >> "$FLOPWISE_METRICS" """, "line 1.*is not JSON"),
    ],
)
def test_every_failure_has_its_cause(script: str, says: str, context: FakeContext) -> None:
    with pytest.raises(ProgramFailed) as caught:
        shell(context, script)
    assert type(caught.value) is ProgramFailed
    assert_says(caught.value, says)


def test_a_metrics_file_that_is_written_anew_is_an_error(context: FakeContext) -> None:
    heard = context.folder / "heard"
    context.report = lambda step, **values: heard.touch()  # type: ignore[method-assign]
    script = """
echo '{"step": 1}' > "$FLOPWISE_METRICS"
until [ -e "$FLOPWISE_FOLDER/heard" ]; do sleep 0.01; done
: > "$FLOPWISE_METRICS"
sleep 1000
"""
    with pytest.raises(ProgramFailed, match="append to it"):
        shell(context, script)


@pytest.mark.parametrize("script", ["kill -KILL $$", "kill -TERM $$", "kill -HUP $$", "exit 137"])
def test_a_program_that_is_killed_from_outside_may_be_tried_again(script: str, context: FakeContext) -> None:
    with pytest.raises(ProgramKilled):
        shell(context, script)


@pytest.mark.parametrize(
    "words", ["torch.OutOfMemoryError: CUDA out of memory.", "MemoryError", "terminate: std::bad_alloc"]
)
def test_a_program_that_speaks_of_memory_ran_out_of_it(words: str, context: FakeContext) -> None:
    with pytest.raises(ProgramOutOfMemory):
        shell(context, f"echo '{words}' >&2; exit 1")


def test_every_kind_of_failure_is_an_outcome_of_its_own() -> None:
    kinds = (ProgramFailed, ProgramKilled, ProgramOutOfMemory)
    assert [failure(kind("x"), {}, stopped=False).outcome for kind in kinds] == ["error", "killed", "oom"]


def test_a_long_output_is_cut_to_its_last_lines(context: FakeContext) -> None:
    with pytest.raises(ProgramFailed, match="ValueError: at the end") as caught:
        shell(
            context,
            "yes 'a line of text' | head -n 3000 >&2; echo ValueError: at the end >&2; exit 1",
        )
    assert len(str(caught.value)) < 400


def test_a_wrong_line_ends_the_program_and_its_children(context: FakeContext) -> None:
    script = """sleep 1000 & echo $! > "$FLOPWISE_FOLDER/pid"; echo $$ >> "$FLOPWISE_FOLDER/pid"
echo nonsense >&"$FLOPWISE_FD"; wait"""
    with pytest.raises(ProgramFailed, match="not JSON"):
        shell(context, script)
    pids = [int(line) for line in (context.folder / "pid").read_text().split()]
    assert len(pids) == 2
    assert soon(lambda: all(gone(pid) for pid in pids))


def test_a_child_that_keeps_the_channel_open_holds_nobody_up(context: FakeContext) -> None:
    script = """(sleep 1000) & echo $! > "$FLOPWISE_FOLDER/pid"; echo '{"loss": 1}' >&"$FLOPWISE_FD" """
    assert shell(context, script) == {"loss": 1}
    pid = int((context.folder / "pid").read_text())
    assert not gone(pid)
    os.kill(pid, signal.SIGKILL)


def test_a_stop_is_passed_on_once_and_what_is_there_is_kept(context: FakeContext) -> None:
    script = """
trap 'echo term >> "$FLOPWISE_FOLDER/signals"' TERM
echo '{"step": 1, "loss": 3}' >&"$FLOPWISE_FD"
until [ -e "$FLOPWISE_FOLDER/signals" ]; do sleep 0.01; done
sleep 0.2
echo '{"step": 2, "loss": 2}' >&"$FLOPWISE_FD"
"""
    context.stop_when = lambda: bool(context.rows)
    assert shell(context, script) == {"loss": 2}
    assert (context.folder / "signals").read_text() == "term\n"


def test_a_program_that_does_not_know_sigterm_ends_by_it(context: FakeContext) -> None:
    context.stop_when = lambda: bool(context.rows)
    with pytest.raises(ProgramKilled, match="SIGTERM"):
        shell(context, """echo '{"step": 1, "loss": 3}' >&"$FLOPWISE_FD"; sleep 1000""")


def test_a_script_without_a_first_line_is_told_what_it_lacks(context: FakeContext) -> None:
    program = context.started_in / "bare"
    program.write_text("echo hello\n")
    program.chmod(0o700)
    with pytest.raises(ProgramFailed, match="#!/bin/sh"):
        call(context, "./bare")


def test_no_descriptor_of_ours_is_left_open(context: FakeContext) -> None:
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0  # noqa: PTH208
    for _ in range(3):
        shell(context, """echo '{"loss": 1}' > "$FLOPWISE_RESULT" """)
        with pytest.raises(ProgramFailed):
            shell(context, "echo nonsense >&$FLOPWISE_FD")
    after = len(os.listdir("/proc/self/fd")) if before else 0  # noqa: PTH208
    assert after == before
