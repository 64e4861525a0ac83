"""``{name}`` in arguments: reading templates, and turning values into the text that replaces them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
"""What a parameter may be called, sections included: ``train.lr``."""

LONGEST_VALUE = 32 * 1024
"""Bytes of one value, as UTF-8; the kernel takes at most 128 KiB in one argument."""

BUILT_IN = ("python", "seed", "threads", "stop", "folder", "config_file", "result_file", "metrics_file", "started_in")
"""Placeholders that are no parameters."""

_TOKEN = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_.-]*)\}|[{}]")


class TemplateError(ValueError):
    """A text with a brace that is neither doubled nor part of a placeholder."""


class Refused(ValueError):
    """A value that may not stand where a placeholder puts it.

    Args:
        name: The placeholder.
        message: Why, and what to do.
    """

    def __init__(self, name: str, message: str) -> None:
        self.name = name
        self.message = message
        super().__init__(f"{name}: {message}")


@dataclass(frozen=True)
class Hole:
    """Where a value goes."""

    name: str


Template = tuple[str | Hole, ...]


@dataclass(frozen=True)
class Filling:
    """A value as text.

    Args:
        text: What replaces the placeholder.
        is_plain: It is a number, ``true`` or ``false``: no quoting can be needed and no option be made of it.
    """

    text: str
    is_plain: bool


def parse(text: str) -> Template:
    """A text as literal pieces and holes.

    Raises:
        TemplateError: On a lone brace.

    Example:
        >>> parse("--lr={train.lr}"), parse("a{{b}}")
        (('--lr=', Hole(name='train.lr')), ('a{b}',))
    """
    pieces: list[str | Hole] = []
    literal, end = "", 0
    for found in _TOKEN.finditer(text):
        literal += text[end : found.start()]
        end = found.end()
        token = found.group()
        if token in ("{{", "}}"):
            literal += token[0]
        elif found.group(1) is None:
            around = text[max(0, found.start() - 10) : found.end() + 20]
            raise TemplateError(f"a lone {token!r} at {around!r}; write {{name}} for a value, {{{{ or }}}} for a brace")
        else:
            pieces += [literal, Hole(found.group(1))] if literal else [Hole(found.group(1))]
            literal = ""
    literal += text[end:]
    return (*pieces, literal) if literal else tuple(pieces)


def holes(text: str) -> list[str]:
    """Names of the placeholders in a text that can be parsed."""
    return [piece.name for piece in parse(text) if isinstance(piece, Hole)]


def parameters(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and value of every parameter.

    Example:
        >>> dict(parameters({"train": {"lr": 0.1}, "layers": [1, 2]}))
        {'train.lr': 0.1, 'layers': [1, 2]}
    """
    for name, value in params.items():
        if isinstance(value, Mapping) and value:
            yield from parameters(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def filling(name: str, value: Any) -> Filling:
    """The text of a value: numbers in their shortest exact form, lists as JSON.

    Raises:
        Refused: If no argument can hold it.

    Example:
        >>> filling("x", 1e-05).text, filling("x", True).text, filling("x", [1, "a"]).text
        ('1e-05', 'true', '[1,"a"]')
    """
    if value is None:
        raise Refused(name, "is null, which no argument can be; give it a value")
    if isinstance(value, bool):
        return Filling("true" if value else "false", is_plain=True)
    if isinstance(value, int | float):
        return Filling(repr(value), is_plain=True)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    _require_sound(name, text)
    return Filling(text, is_plain=False)


def render(template: Template, fillings: Mapping[str, Filling], *, after_dashes: bool) -> str:
    """A template with its values filled in.

    Args:
        template: From :func:`parse`.
        fillings: For every hole.
        after_dashes: An argument ``--`` stands before this one, so no program reads it as an option.

    Raises:
        Refused: If a value would be, or become part of, an option.
    """
    done = ""
    for piece in template:
        if isinstance(piece, str):
            done += piece
            continue
        value = fillings[piece.name]
        if not after_dashes:
            refuse_option(piece.name, done, value)
        done += value.text
    return done


def refuse_option(name: str, before: str, value: Filling) -> None:
    """See that a text stays a value.

    Args:
        name: The placeholder.
        before: What stands before it in the same argument.
        value: What replaces it.

    Raises:
        Refused: If the text begins the argument with a dash, or stands in an option before its ``=``.
    """
    if value.is_plain:
        return
    if not before and value.text.startswith("-"):
        shown = f"{value.text[:40]!r} at the start of an argument would be read as an option"
        raise Refused(name, f"{shown}; write --name={{{name}}}, or put an argument -- before it")
    if before.startswith("-") and "=" not in before:
        raise Refused(
            name,
            f"a text right after {before[:40]!r} could make another option of it; "
            f"write --name={{{name}}}, or {{{name}}} as an argument of its own",
        )


def _require_sound(name: str, text: str) -> None:
    if "\0" in text:
        raise Refused(name, "holds a NUL character, which no argument can hold")
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        raise Refused(name, "is not valid Unicode (half of a surrogate pair)") from None
    if length > LONGEST_VALUE:
        raise Refused(name, f"is {length} bytes long, at most {LONGEST_VALUE}; let the program read {{config_file}}")
