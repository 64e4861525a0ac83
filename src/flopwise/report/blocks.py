"""What a report says, before it is Markdown or HTML: paragraphs, lists, tables and code, all as raw text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from flopwise.report.grid import Grid, markdown
from flopwise.report.text import cell, plain


@dataclass(frozen=True)
class Mono:
    """Text inside a paragraph that is typed or printed as it stands."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Sentences.

    Args:
        parts: Texts and what is typed, in order.
        strong: Whether it is the one to read.
    """

    parts: tuple[str | Mono, ...]
    strong: bool = False


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Code:
    """Lines to be copied."""

    lines: tuple[str, ...]
    language: str


Block = Paragraph | Bullets | Code | Grid


def say(*parts: str | Mono, strong: bool = False) -> Paragraph:
    """A paragraph from its parts."""
    return Paragraph(parts, strong)


def bullets(items: Iterable[str]) -> Bullets:
    """A list from its items."""
    return Bullets(tuple(items))


def code(lines: Iterable[str], language: str) -> Code:
    """Code from its lines."""
    return Code(tuple(lines), language)


def as_markdown(block: Block) -> str:
    """A block as Markdown; study text in it is taken literally."""
    match block:
        case Paragraph():
            text = "".join(_inline(part) for part in block.parts)
            return f"**{text}**" if block.strong else text
        case Bullets():
            return "\n".join(f"- {cell(item)}" for item in block.items)
        case Code():
            return _fenced("\n".join(plain_line(line) for line in block.lines), block.language)
        case Grid():
            return markdown(block)


def plain_line(line: str) -> str:
    """A line of code made harmless; its indentation is kept."""
    return line[: len(line) - len(line.lstrip(" "))] + plain(line)


def _inline(part: str | Mono) -> str:
    if isinstance(part, Mono):
        return f"`{plain(part.text)}`"
    lead, body, trail = re.fullmatch(r"( *)(.*?)( *)", part, re.DOTALL).groups()  # type: ignore[union-attr]
    return f"{lead}{cell(body)}{trail}"


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
