"""``Study.asking``: the whole study around a loop of one's own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import flopwise
from flopwise.engine.verify import verify
from flopwise.errors import InputError, RunError
from flopwise.journal.log import Journal, read_events
from flopwise.journal.replay import RunState
from flopwise.paths import RunFolder

FEW = {"confirm": {"top": 2, "seeds": 2}, "calibration": {"seeds": 2}}


def study(tmp_path: Path, **more: Any) -> flopwise.Study:
    space = {"x": flopwise.Float(-10.0, 10.0), "n": flopwise.Int(1, 5)}
    return flopwise.Study(**{"name": "own", "space": space, "evaluations": 8, "runs": tmp_path / "runs", **FEW, **more})


def loss(trial: Any) -> float:
    return float((trial.config["x"] - 3) ** 2 + trial.config["n"])


def finish(asking: Any) -> list[Any]:
    """Tell everything that is asked; what that was."""
    trials = []
    while trial := asking.ask():
        trials.append(trial)
        asking.tell(trial, loss(trial))
    return trials


def test_a_loop_of_ones_own_is_searched_confirmed_and_verified(tmp_path: Path, capfd: Any) -> None:
    own = study(tmp_path, search="cmaes", evaluations=24)
    with own.asking() as asking:
        trials = finish(asking)
    assert own.verdict == asking.verdict == "GO"
    assert own.best is not None and abs(own.best["config"]["x"] - 3) < 3
    assert list(dict.fromkeys(t.phase for t in trials)) == ["calibrate", "search", "choose", "decide"]
    seeds = {phase: {t.seed for t in trials if t.phase == phase} for phase in ("search", "choose", "decide")}
    assert len(seeds["search"]) == 1 and len(set.union(*seeds.values())) == 1 + 2 + 2
    assert verify(RunFolder(own.done.folder)) == []
    said = capfd.readouterr().out
    assert "GO  trial" in said and said.count("best ") >= 24


def test_it_is_the_same_study_as_with_a_function(tmp_path: Path) -> None:
    def function(config: dict[str, Any]) -> float:
        return float((config["x"] - 3) ** 2 + config["n"])

    settings = {"search": "tpe", "evaluations": 12, "slots": 1}
    by_function = study(tmp_path, name="function", objective=function, **settings).run(quiet=True)
    with study(tmp_path, **settings).asking(quiet=True) as asking:
        finish(asking)
    kept = ("number", "phase", "of", "config", "values", "outcome")
    theirs, ours = ([{key: t[key] for key in kept} for t in done.trials] for done in (by_function, asking.done))
    assert theirs == ours


def test_results_are_there_while_it_runs(tmp_path: Path) -> None:
    with study(tmp_path).asking(quiet=True) as asking:
        for _ in range(4):
            trial = asking.ask()
            assert trial is not None
            asking.tell(trial, loss=loss(trial), accuracy=0.5)
            assert asking.trials[trial.number]["values"][-1] == loss(trial) or trial.number == 0
        assert (asking.done.reason, asking.verdict, asking.best["number"]) == ("running", None, asking.best["number"])
        finish(asking)
    events, _ = read_events(RunFolder(asking.done.folder).journal)
    assert RunState(events).attempt("t0001.s0.a1").ended.metrics["accuracy"] == 0.5


def test_curves_and_facts_reach_the_journal(tmp_path: Path) -> None:
    with study(tmp_path).asking(quiet=True) as asking:
        while trial := asking.ask():
            for step in range(3):
                trial.report(step, loss=loss(trial) + 3 - step)
            trial.note(size=12)
            asking.tell(trial, {"loss": loss(trial)})
    events, _ = read_events(RunFolder(asking.done.folder).journal)
    attempt = RunState(events).attempt("t0001.s0.a1")
    assert [row["step"] for row in attempt.rows][-1] == 2 and attempt.ended.info == {"size": 12}
    assert verify(RunFolder(asking.done.folder)) == []


def test_outcomes_are_those_of_attempts_in_processes(tmp_path: Path) -> None:
    told = {1: {"loss": float("nan")}, 2: {"loss": 1.0}, 3: "diverged", 4: MemoryError("no room"), 5: {"loss": 2.0}}
    calm = {"crash_rate": False, "crash_loop": False}
    own = study(tmp_path, evaluations=16, policies=calm, execution={"retries": 1}, base={"x": 0.0, "n": 2})
    with own.asking(quiet=True) as asking:
        while trial := asking.ask():
            result = told[trial.config["n"]]
            if isinstance(result, dict):
                asking.tell(trial, result)
            else:
                asking.tell(trial, failed=result)
    found = {t["config"]["n"]: (t["outcome"], t["attempts"]) for t in own.trials if t["phase"] == "search"}
    expected = {1: ("nan", 1), 2: ("ok", 1), 3: ("error", 1), 4: ("oom", 2), 5: ("ok", 1)}
    assert found == {n: expected[n] for n in found} and len(found) >= 4
    assert verify(RunFolder(own.done.folder)) == []


def test_a_policy_pauses_and_the_next_loop_goes_on(tmp_path: Path) -> None:
    own = study(tmp_path, evaluations=40, policies={"flat": False})
    with own.asking(quiet=True) as asking:
        while trial := asking.ask():
            asking.tell(trial, 1.0) if trial.number == 0 else asking.tell(trial, failed="out of luck")
    assert asking.done.reason == "paused" and len(asking.trials) < 20
    policy = asking.done.summary["policies"][-1]["policy"]
    with own.asking(quiet=True, accept=policy) as again:
        finish(again)
    assert (again.done.reason, again.done.folder) == ("finished", asking.done.folder)
    assert verify(RunFolder(again.done.folder)) == []


def test_leaving_early_interrupts_and_the_next_loop_goes_on(tmp_path: Path) -> None:
    first = []
    with study(tmp_path).asking(quiet=True) as asking:
        while trial := asking.ask():
            first.append(trial.attempt)
            if trial.number == 3:
                break
            asking.tell(trial, loss(trial))
    assert (asking.done.reason, asking.verdict) == ("interrupted", None)
    with pytest.raises(InputError, match="not open any more"):
        asking.tell(trial, 1.0)
    with study(tmp_path).asking(quiet=True) as again:
        trials = finish(again)
    assert [first[-1], trials[0].attempt] == ["t0003.s0.a1", "t0003.s0.a2"]
    assert trials[0].config == trial.config and trials[0].seed == trial.seed
    assert again.done.reason == "finished"
    charged = again.trials[3]
    assert charged["attempts"] == 2 and charged["seconds"] > 0
    assert verify(RunFolder(again.done.folder)) == []


def test_an_error_in_the_loop_comes_through_and_the_run_can_go_on(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), study(tmp_path).asking(quiet=True) as asking:
        asking.tell(asking.ask(), 1 / 0)
    assert asking.done.reason == "interrupted"
    with study(tmp_path).asking(quiet=True) as again:
        assert finish(again)[0].attempt == "t0000.s0.a2"
    assert verify(RunFolder(again.done.folder)) == []


def test_several_threads_share_one_study(tmp_path: Path) -> None:
    seen: list[int] = []

    def work() -> None:
        while trial := asking.ask():
            seen.append(trial.number)
            asking.tell(trial, loss(trial))

    with study(tmp_path, slots=4, evaluations=16).asking(quiet=True) as asking, ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work) for _ in range(4)]:
            done.result()
    assert asking.done.reason == "finished" and len(asking.done.summary["slots"]) == 4
    assert set(range(17)) <= set(seen)
    assert verify(RunFolder(asking.done.folder)) == []


def test_one_thread_keeps_several_trials_out(tmp_path: Path) -> None:
    out: list[Any] = []
    most = 0
    with study(tmp_path, slots=3, search="cmaes", evaluations=16).asking(quiet=True) as asking:
        while True:
            while trial := asking.ask(wait=False):
                out.append(trial)
            most = max(most, len(out))
            if not out:
                break
            trial = out.pop()
            asking.tell(trial, loss(trial))
    assert asking.done.reason == "finished" and most == 3
    assert verify(RunFolder(asking.done.folder)) == []


def test_more_than_slots_are_refused_and_nothing_hangs(tmp_path: Path) -> None:
    with study(tmp_path, slots=2).asking(quiet=True) as asking:
        trials = [asking.ask(), asking.ask()]
        with pytest.raises(InputError, match="slots=2"):
            asking.ask()
        for trial in trials:
            asking.tell(trial, loss(trial))
        finish(asking)
    assert asking.verdict is not None


def test_wrong_use_is_said_before_anything_happens(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither objective nor workload"):
        study(tmp_path, objective=lambda c: 1.0).asking()
    with pytest.raises(InputError, match="neither objective nor workload"):
        study(
            tmp_path,
            workload="language_model",
            space={"train.lr": flopwise.Float(1e-4, 1e-2, "log")},
            metric="val_loss",
            evaluation={"stop": {"steps": 5}},
        ).asking()
    with pytest.raises(InputError, match=r"execution\.pass_env means nothing"):
        study(tmp_path, execution={"pass_env": ["HF_TOKEN"]}).asking()
    with pytest.raises(InputError, match="has not run yet"):
        _ = study(tmp_path).best
    with pytest.raises(InputError, match="has not begun"):
        _ = study(tmp_path).asking().best
    with pytest.raises(InputError, match="no tier"):
        study(tmp_path).asking(tier="huge", quiet=True).ask()
    assert not (tmp_path / "runs").exists()


def test_tell_takes_exactly_one_result(tmp_path: Path) -> None:
    with study(tmp_path).asking(quiet=True) as asking:
        trial = asking.ask()
        with pytest.raises(InputError, match="no result"):
            asking.tell(trial)
        with pytest.raises(InputError, match="one result"):
            asking.tell(trial, 1.0, loss=2.0)
        with pytest.raises(InputError, match="a text or an exception"):
            asking.tell(trial, failed=True)
        with pytest.raises(InputError, match="a value for 'loss'"):
            asking.tell(trial, los=1.0)
        asking.tell(trial, loss=loss(trial))


def test_a_study_held_by_another_coordinator_is_said_where_it_is_asked(tmp_path: Path) -> None:
    with study(tmp_path).asking(quiet=True) as asking:
        asking.ask()
    again = study(tmp_path).asking(quiet=True)
    with Journal.open(RunFolder(asking.done.folder)), pytest.raises(RunError, match=str(os.getpid())):
        again.ask()
    again.close()


def test_an_error_of_the_study_is_raised_once(tmp_path: Path) -> None:
    with study(tmp_path).asking(quiet=True) as asking:
        asking.ask()
    with Journal.open(RunFolder(asking.done.folder)), pytest.raises(RunError), study(tmp_path).asking(quiet=True):
        pass


def test_limits_end_it(tmp_path: Path) -> None:
    with study(tmp_path, evaluations=30, limits={"evaluations": 14}).asking(quiet=True) as asking:
        trials = finish(asking)
    assert len(trials) <= 14 and asking.done.reason == "finished"


def test_inside_an_event_loop(tmp_path: Path) -> None:
    async def work() -> str | None:
        with study(tmp_path).asking(quiet=True) as asking:
            while trial := asking.ask():
                await asyncio.sleep(0)
                asking.tell(trial, loss(trial))
        return asking.verdict

    assert asyncio.run(work()) is not None


def test_derived_values_and_the_base_are_in_the_config(tmp_path: Path) -> None:
    own = study(tmp_path, base={"depth": 3}, derived={"width": "4 * n"})
    with own.asking(quiet=True) as asking:
        trial = asking.ask()
        assert trial is not None
        assert (trial.config["depth"], trial.config["width"]) == (3, 4 * trial.config["n"])


SCRIPT = """\
import os, signal, sys
import flopwise

study = flopwise.Study(
    name="own", space={"x": flopwise.Float(-10.0, 10.0)}, search="tpe", evaluations=8,
    calibration={"seeds": 2}, confirm={"top": 2, "seeds": 2}, execution={"price_per_hour": 1.0},
)
with study.asking(quiet=True) as asking:
    while trial := asking.ask():
        if sys.argv[1:] and trial.number == 3:
            print(trial.attempt, flush=True)
            os.kill(os.getpid(), getattr(signal, sys.argv[1]))
        asking.tell(trial, loss=(trial.config["x"] - 3) ** 2)
print(study.verdict, study.trials[3]["attempts"])
"""


def script(tmp_path: Path, *arguments: str, text: str = SCRIPT) -> subprocess.CompletedProcess[str]:
    (tmp_path / "script.py").write_text(text)
    command = [sys.executable, "script.py", *arguments]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_a_script_that_dies_is_run_again(tmp_path: Path, name: str, flopwise: Any) -> None:
    died = script(tmp_path, name)
    assert died.returncode == -getattr(signal, name) and died.stdout == "t0003.s0.a1\n"
    assert ("KeyboardInterrupt" in died.stderr) == (name == "SIGINT")
    refused = flopwise("resume", "own")
    assert refused.returncode == 2 and "run your script again" in refused.stderr
    done = script(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] in {"GO 2", "NO-GO 2", "INCONCLUSIVE 2"}
    folder = RunFolder(tmp_path / "runs" / "own")
    state = RunState(read_events(folder.journal)[0])
    lost, again = (state.attempt(f"t0003.s0.a{n}").ended for n in (1, 2))
    assert lost.interrupted and lost.price > 0 and again.outcome == "ok"
    assert state.sessions[0].opened.command == "python script.py"
    assert verify(folder) == []


def test_a_result_that_was_told_survives_the_script(tmp_path: Path) -> None:
    text = (
        SCRIPT.replace("while trial", "told = 0\n    while trial")
        .replace(
            '        asking.tell(trial, loss=(trial.config["x"] - 3) ** 2)\n',
            '        asking.tell(trial, loss=(trial.config["x"] - 3) ** 2)\n'
            "        told += 1\n"
            "        if told == 5 and sys.argv[1:]: os.kill(os.getpid(), signal.SIGKILL)\n",
        )
        .replace("trial.number == 3", "trial.number == 99")
    )
    assert script(tmp_path, "SIGKILL", text=text).returncode == -signal.SIGKILL
    folder = RunFolder(tmp_path / "runs" / "own")
    state = RunState(read_events(folder.journal)[0])
    assert [end.outcome for end in state.ended()] == ["ok"] * 5
    assert script(tmp_path, text=text).returncode == 0
    assert verify(folder) == []


def test_a_loop_without_with_is_put_in_order_at_the_end_of_the_program(tmp_path: Path) -> None:
    text = SCRIPT.replace(
        "with study.asking(quiet=True) as asking:\n    while", "asking = study.asking(quiet=True)\nif 1:\n    while"
    )
    text = text.replace("        asking.tell", "        if trial.number == 2: sys.exit(0)\n        asking.tell")
    assert script(tmp_path, text=text).returncode == 0
    report = json.loads((tmp_path / "runs" / "own" / "report.json").read_text())
    assert report["state"] == "interrupted" and report["trials"][2]["attempts"] == 1
    assert verify(RunFolder(tmp_path / "runs" / "own")) == []


def test_no_thread_is_left(tmp_path: Path) -> None:
    with study(tmp_path).asking(quiet=True) as asking:
        asking.ask()
        assert "flopwise" in {thread.name for thread in threading.enumerate()}
    assert "flopwise" not in {thread.name for thread in threading.enumerate()}
