"""A table as a value: built once from the summary, drawn for a terminal or as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from flopwise.report.text import cell, plain

STYLES: Mapping[str, str] = {"": "", "best": "bold green", "baseline": "cyan", "failed": "red", "quiet": "dim"}
"""What a row's mark looks like on a terminal."""


GAP = 2
"""Blanks between columns."""

LEAST_GIVEN = 8
"""Characters left to a column that gives way, however narrow the terminal."""


@dataclass(frozen=True)
class Column:
    """A column of a grid.

    Args:
        title: Its header.
        right: Whether its cells line up on the right, as numbers do.
        give: Whether it gives way, cut with an ellipsis, when the terminal is too narrow.
        least: Characters it takes at least on a terminal, so that a table redrawn in place keeps still.
        quiet: Whether its cells step back.
    """

    title: str
    right: bool = False
    give: bool = False
    least: int = 0
    quiet: bool = False


@dataclass(frozen=True)
class Grid:
    """Rows of text under columns. Cells hold raw text; drawing makes them harmless.

    Args:
        columns: Left to right.
        rows: One text a column.
        marks: One key of ``STYLES`` a row; empty for none at all.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    marks: tuple[str, ...] = ()

    @classmethod
    def of(cls, columns: Sequence[str | Column], rows: Iterable[Sequence[str]], marks: Iterable[str] = ()) -> Grid:
        """A grid from columns (a bare title lines up left) and any iterables of rows and marks."""
        made = tuple(Column(column) if isinstance(column, str) else column for column in columns)
        return cls(made, tuple(tuple(row) for row in rows), tuple(marks))


def right(title: str) -> Column:
    """A column of numbers."""
    return Column(title, right=True)


def gives(title: str) -> Column:
    """A column of text that gives way when the terminal is narrow."""
    return Column(title, give=True)


def markdown(grid: Grid) -> str:
    """The grid as a Markdown table, every cell escaped."""
    head = _row(column.title for column in grid.columns)
    rule = "|" + "|".join("---:" if column.right else "---" for column in grid.columns) + "|"
    return "\n".join([head, rule, *(_row(row) for row in grid.rows)])


@dataclass(frozen=True)
class Drawing:
    """A grid for a terminal: no lines, quiet headers, numbers on the right.

    Args:
        grid: What to draw.
        header: Whether to show the titles.
    """

    grid: Grid
    header: bool = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        drawn = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim", show_header=self.header)
        for column, width in zip(self.grid.columns, self._widths(options.max_width), strict=True):
            drawn.add_column(
                Text(plain(column.title)),
                justify="right" if column.right else "left",
                no_wrap=column.right or column.give,
                overflow="ellipsis" if column.give else "fold",
                style="dim" if column.quiet else "",
                min_width=column.least or None,
                max_width=width,
            )
        marks = self.grid.marks or ("",) * len(self.grid.rows)
        for row, mark in zip(self.grid.rows, marks, strict=True):
            drawn.add_row(*(Text(plain(text)) for text in row), style=STYLES[mark])
        yield drawn

    def _widths(self, room: int) -> list[int | None]:
        """Most characters of each column: the one that gives way gets what the others leave."""
        taken = sum(self._natural(i) + GAP for i, column in enumerate(self.grid.columns) if not column.give)
        return [max(LEAST_GIVEN, room - taken) if column.give else None for column in self.grid.columns]

    def _natural(self, index: int) -> int:
        column = self.grid.columns[index]
        texts = [row[index] for row in self.grid.rows] + ([column.title] if self.header else [])
        return max([column.least, *(cell_len(plain(text)) for text in texts)])


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell(text) for text in cells) + " |"
