"""A notebook's cell: one output, replaced in place."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from flopwise.clock import SimulatedClock
from flopwise.report import view
from flopwise.report.live import LiveView
from flopwise.report.notebook import LAST_LINES, Cell
from flopwise.report.plain import PlainView
from flopwise.report.view import SilentView, choose_view


class Shown:
    """Stands for IPython: every state that one output has had."""

    def __init__(self) -> None:
        self.outputs = 0
        self.states: list[dict[str, str]] = []

    def display(self, bundle: dict[str, str], *, raw: bool, display_id: bool) -> Shown:
        assert raw and display_id
        self.outputs += 1
        self.states.append(bundle)
        return self

    def update(self, bundle: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.states.append(bundle)

    @property
    def text(self) -> str:
        return self.states[-1]["text/plain"]


@pytest.fixture
def shown() -> Shown:
    return Shown()


@pytest.fixture
def notebook(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> Console:
    """A console that takes this for a notebook."""
    monkeypatch.setattr(view, "resolve", {view.DISPLAY: shown.display}.__getitem__)
    return Console(force_jupyter=True)


def test_a_drawing_is_replaced_and_what_was_said_stays(shown: Shown) -> None:
    cell = Cell(shown.display)
    cell.start()
    cell.update(Text("first"), refresh=True)
    cell.console.print("said")
    cell.update(Text("second"), refresh=True)
    assert (shown.outputs, shown.text) == (1, "said\nsecond")
    cell.stop()
    assert shown.text == "said"


def test_only_the_last_lines_are_kept(shown: Shown) -> None:
    cell = Cell(shown.display)
    for number in range(LAST_LINES + 7):
        cell.console.print(f"line {number}")
    assert shown.outputs == 1
    assert shown.text.splitlines() == ["… 7 lines before", *(f"line {n}" for n in range(7, LAST_LINES + 7))]


def test_colours_are_html_and_foreign_text_is_harmless(shown: Shown) -> None:
    cell = Cell(shown.display)
    cell.console.print(Text("<script>bad</script>", style="red"))
    html = shown.states[-1]["text/html"]
    assert "&lt;script&gt;" in html and "<script>" not in html and "color: #800000" in html


def test_a_whole_study_is_one_output(shown: Shown, notebook: Console, story: Any, play: Any) -> None:
    chosen = choose_view(notebook, clock=SimulatedClock())
    assert isinstance(chosen, LiveView)
    clock: Any = chosen._clock
    chosen.open()
    play(chosen, story().finished().events, clock)
    drawings = [state["text/plain"] for state in shown.states]
    assert shown.outputs == 1 and any("evaluations" in text and "trial" in text for text in drawings)
    assert any("interrupt the kernel" in text for text in drawings)
    chosen.close()
    chosen.message("verdict")
    assert shown.text.endswith("verdict") and "interrupt the kernel" not in shown.text


def test_quiet_is_quiet_in_a_notebook_too(shown: Shown, notebook: Console) -> None:
    assert isinstance(choose_view(notebook, quiet=True), SilentView)
    assert shown.outputs == 0


def test_where_somebody_else_prints_there_is_no_live_table() -> None:
    terminal = Console(force_terminal=True, _environ={"TERM": "xterm"})
    assert isinstance(choose_view(terminal), LiveView)
    assert isinstance(choose_view(terminal, live=False), PlainView)
