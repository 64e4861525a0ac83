"""A breakpoint in a workload under the inline executor: the debugger has the terminal, and the study goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"

SCRIPT = """\
import flopwise

calls = []


def objective(config, context):
    calls.append(config["x"])
    if len(calls) == 2:
        breakpoint()
    return (config["x"] - 0.25) ** 2


done = flopwise.Study(
    name="debugged", space={"x": flopwise.Float(0.0, 1.0)}, objective=objective, evaluations=2,
    calibration={"seeds": 2}, confirm={"top": 1, "seeds": 2}, execution={"executor": "inline"},
).run()
print("done:", done.reason)
"""


def test_a_breakpoint_gets_the_terminal_and_the_study_goes_on(terminal: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    shell = terminal([sys.executable, "script.py"], tmp_path)
    shell.until("(Pdb)")
    assert shell.shown.rfind(SHOW_CURSOR) > shell.shown.rfind(HIDE_CURSOR), "the live table still has the terminal"
    shell.type("p 'x is', config['x'], len(calls)\n")
    shell.until("('x is', 0.5, 2)")
    shell.until("(Pdb)")
    shell.type("c\n")
    shell.until("done: finished")
    assert shell.wait() == 0


def test_a_debugger_that_is_left_ends_the_evaluation_and_not_the_study(
    terminal: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT.replace("len(calls) == 2", "len(calls) == 3"))
    shell = terminal([sys.executable, "script.py"], tmp_path)
    shell.until("(Pdb)")
    shell.type("q\n")
    shell.until("BdbQuit")
    shell.until("done: finished")
    assert shell.wait() == 0
