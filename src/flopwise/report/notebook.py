"""The output of a notebook's cell, replaced in place: what was said last, and under it the drawing of the moment.

A notebook keeps every line that a cell prints, so nothing is ever printed: there is one output of bounded length.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.text import Text

DISPLAY = "IPython.display:display"

WIDTH, HEIGHT = 100, 40
"""Of the drawing, in characters."""

LAST_LINES = 60
"""Lines of what was said that are shown."""

HTML = '<pre style="white-space:pre;overflow-x:auto;line-height:normal;font-family:monospace">{code}</pre>'


class Cell:
    """One output of a cell, as a canvas and as the console above it.

    Args:
        display: ``IPython.display.display``.

    Attributes:
        console: What is printed to it is shown above the drawing, the last lines of it for good.
    """

    def __init__(self, display: Callable[..., Any]) -> None:
        self._display = display
        self._handle: Any = None
        self._said = _Said(self._show)
        self._drawing: RenderableType | None = None
        self.console = Console(
            file=self._said, width=WIDTH, height=HEIGHT, force_terminal=True, force_jupyter=False, color_system="256"
        )

    def start(self) -> None:
        """The output appears when there is something to show."""

    def update(self, renderable: RenderableType, *, refresh: bool = False) -> None:
        """Show another drawing."""
        self._drawing = renderable
        self._show()

    def stop(self) -> None:
        """Leave what was said, without a drawing."""
        self._drawing = None
        self._show()

    def _show(self) -> None:
        parts: list[RenderableType] = [Text.from_ansi(text) for text in self._said.last()]
        parts += [self._drawing] if self._drawing is not None else []
        bundle = _bundle(Group(*parts))
        if self._handle is None:
            self._handle = self._display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


class _Said(io.StringIO):
    """A console's file that keeps its last lines.

    Args:
        flushed: Called when a console has written a whole print.
    """

    def __init__(self, flushed: Callable[[], None]) -> None:
        super().__init__()
        self._flushed = flushed

    def flush(self) -> None:
        self._flushed()

    def last(self) -> list[str]:
        """At most one text of the last lines, and how many were dropped."""
        lines = self.getvalue().splitlines()
        dropped = len(lines) - LAST_LINES
        if dropped > 0:
            lines = [f"… {dropped} lines before", *lines[dropped:]]
        return ["\n".join(lines)] if lines else []


def _bundle(renderable: RenderableType) -> dict[str, str]:
    """As HTML in colours and as plain text: the front end takes what it can show."""
    console = Console(
        file=io.StringIO(), record=True, width=WIDTH, height=HEIGHT, force_jupyter=False, force_terminal=True
    )
    console.print(renderable)
    html = console.export_html(inline_styles=True, code_format=HTML, clear=False)
    return {"text/plain": console.export_text().rstrip("\n"), "text/html": html}
