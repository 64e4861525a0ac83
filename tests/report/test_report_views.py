"""Whatever the view: foreign text is harmless, and a reader that leaves never ends a study."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from flopwise.clock import SimulatedClock
from flopwise.report.live import LiveView
from flopwise.report.plain import PlainView
from flopwise.report.view import SilentView, View, choose_view


def test_messages_keep_their_lines_and_lose_their_escapes(plain_view: Any, live_view: Any) -> None:
    for view, file, _ in (plain_view(), live_view()):
        view.message("one\n  two\x1b[2J")
        assert file.getvalue() == "one\n  two\n"


@pytest.mark.parametrize("kind", ["plain_view", "live_view"])
def test_foreign_text_is_harmless_everywhere(story: Any, kind: str, request: pytest.FixtureRequest, play: Any) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J[red]x[/red]\nnext\r\x9b5A"
    study = {"name": evil, "workload": evil, "objective": {"metric": evil, "direction": "minimize"}}
    run = story(**study).opened().calibrated(2.5).phase("search").proposed(1, "search", **{evil: evil})
    run.ran(1, None, cause=evil, tail=evil * 3).raised(evil, "pause", evil)
    view, file, clock = request.getfixturevalue(kind)()
    view.open()
    view.progress(evil, 1, 2)
    play(view, run.events, clock)
    view.close()
    shown = re.sub(r"\x1b\[[0-9;]*[mKA]|\x1b\[\?25[lh]|\r", "", file.getvalue())
    assert "[red]x[/red]" in shown
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert "\x1b[2J" not in file.getvalue()
    assert "\x1b[5A" not in file.getvalue()


class Gone(StringIO):
    """A pipe whose reader has left."""

    def write(self, _: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("terminal", [False, True])
def test_a_reader_that_left_does_not_end_the_study(story: Any, terminal: bool, play: Any) -> None:
    file, clock, stdout = Gone(), SimulatedClock(), sys.stdout
    console = Console(file=file, force_terminal=terminal, width=80)
    view: View = LiveView(console, clock) if terminal else PlainView(console, clock)
    view.open()
    state = play(view, story().finished().events, clock)
    view.message("more")
    view.progress("more", 1, 2)
    view.close()
    assert state.verdict is not None
    assert sys.stdout is stdout


@pytest.fixture
def broken_pipe() -> Iterator[io.TextIOWrapper]:
    read, write = os.pipe()
    os.close(read)
    file = os.fdopen(write, "w")
    yield file
    file.close()


@pytest.mark.parametrize("terminal", [False, True])
def test_a_real_broken_pipe_is_closed_without_a_noise(
    story: Any, broken_pipe: io.TextIOWrapper, terminal: bool, play: Any
) -> None:
    clock = SimulatedClock()
    console = Console(file=broken_pipe, force_terminal=terminal, width=80)
    view: View = LiveView(console, clock) if terminal else PlainView(console, clock)
    view.open()
    play(view, story().finished().events, clock)
    view.close()
    broken_pipe.write("the last screen")
    broken_pipe.flush()


def test_a_closed_file_is_silence(story: Any, play: Any, plain_view: Any) -> None:
    view, file, clock = plain_view()
    file.close()
    assert play(view, story().finished().events, clock).verdict is not None


def test_a_narrow_encoding_replaces_what_it_cannot_say(story: Any) -> None:
    raw, clock = io.BytesIO(), SimulatedClock()
    view = PlainView(Console(file=io.TextIOWrapper(raw, encoding="ascii"), width=80), clock)
    view.message("seed → verdict")
    assert raw.getvalue() == b"seed ? verdict\n"


def test_the_view_fits_the_place() -> None:
    pipe, terminal = Console(file=StringIO()), Console(file=StringIO(), force_terminal=True)
    assert isinstance(choose_view(pipe), PlainView)
    assert isinstance(choose_view(terminal), LiveView)
    assert isinstance(choose_view(terminal, quiet=True), SilentView)


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(choose_view(Console(file=StringIO(), force_terminal=True)), PlainView)


def test_silence_is_silent(story: Any, capsys: pytest.CaptureFixture[str], play: Any) -> None:
    view = SilentView()
    view.open()
    play(view, story().finished().events, SimulatedClock())
    view.message("x")
    view.progress("x", 1, 2)
    view.close()
    assert capsys.readouterr() == ("", "")
