"""Foreign text made harmless, and numbers made readable: used by every view and report.

Names, causes, output and configs come from studies and workloads. Before they reach a terminal or a
Markdown file they pass :func:`plain` (no escape sequence, no control character, no text that changes
its reading direction) and, for Markdown, :func:`cell`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

ESCAPES = re.compile(
    r"(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|\Z)"  # OSC: titles, links, clipboard
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x9c]*(?:\x1b\\|\x9c|\Z)"  # DCS, SOS, PM, APC
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor
    r"|\x1b[ -/]*[0-~]?"  # any other escape
)
"""ECMA-48 control sequences, whole or cut off, in their 7-bit and 8-bit forms."""

CONTROLS = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]+"
)
"""C0, C1, line and paragraph separators, invisible and direction-changing marks, lone surrogates."""

MARKDOWN = re.compile(r"[\\`*\[\]<>|#~&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""Characters that mean something to Markdown, HTML or a table; inside a word ``_`` means nothing."""

BLANK = "–"
"""Stands where there is no value."""

BARS = "▁▂▃▄▅▆▇█"


def plain(text: str) -> str:
    """One line of harmless text: escape sequences removed, every other control character a space.

    Example:
        >>> plain("\\x1b[31mred\\x1b[0m\\nnext")
        'red next'
    """
    return CONTROLS.sub(" ", ESCAPES.sub("", text)).strip()


def clean(text: str) -> str:
    """A program's output made harmless: lines and indentation are kept, nothing else acts on a terminal.

    Example:
        >>> clean("10%\\r99%\\n\\tdone\\x07")
        '10%\\n99%\\n    done'
    """
    rows = ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(CONTROLS.sub(" ", row.expandtabs(4)).rstrip() for row in rows)


def tail(text: str, last: int) -> list[str]:
    """The last lines of a program's output, harmless; empty and pointing ones (``^^^``) are left out."""
    return [row for row in clean(text).split("\n") if row.strip(" ^~")][-last:]


def cell(text: str) -> str:
    """Text for Markdown, inside or outside a table: harmless and taken literally."""
    return MARKDOWN.sub(r"\\\g<0>", plain(text))


def clip(text: str, width: int) -> str:
    """Text of at most ``width`` characters, its end replaced by ``…`` when it is longer."""
    return text if len(text) <= width else text[: max(0, width - 1)].rstrip() + "…"


def number(value: float | None) -> str:
    """Four significant digits, trailing zeros kept so that columns stay calm.

    Example:
        >>> [number(v) for v in (2.5, 0.01234567, 43210.0, 1e-7, 0)]
        ['2.500', '0.01235', '43210', '1.000e-07', '0']
    """
    if value is None:
        return BLANK
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    size = math.floor(math.log10(abs(value)))
    if size < -3 or size > 5:
        return f"{value:.3e}"
    return f"{value:.{max(0, 3 - size)}f}"


def knob(value: Any) -> str:
    """A value of a config as the study file would write it, floats to four significant digits."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "null" if value is None else plain(str(value))


def percent(share: float) -> str:
    """A ratio as a percentage of two or three digits.

    Example:
        >>> [percent(share) for share in (0.0042, 0.0423, 0.116, 0.5, 1)]
        ['0.42%', '4.2%', '11.6%', '50%', '100%']
    """
    return f"{100 * share:.3g}%" if abs(share) >= 0.0995 else f"{100 * share:.2g}%"


def short_keys(keys: Iterable[str]) -> dict[str, str]:
    """Each dotted key to its shortest ending that no other key shares.

    Example:
        >>> short_keys(["model.n_layer", "train.lr", "decay.lr"])
        {'model.n_layer': 'n_layer', 'train.lr': 'train.lr', 'decay.lr': 'decay.lr'}
    """
    parts = {key: key.split(".") for key in keys}
    short = {}
    for key, words in parts.items():
        for size in range(1, len(words) + 1):
            others = sum(other[-size:] == words[-size:] for other in parts.values())
            if others == 1 or size == len(words):
                short[key] = plain(".".join(words[-size:]))
                break
    return short


def compact(config: Mapping[str, Any]) -> str:
    """A config on one line: ``lr 0.003  n_layer 4``."""
    names = short_keys(config)
    return "  ".join(f"{names[key]} {knob(value)}" for key, value in config.items())


def sparkline(values: Sequence[float]) -> str:
    """Values as a row of bars, lowest to highest; empty for none."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    span = (high - low) or 1.0
    return "".join(BARS[round((value - low) / span * (len(BARS) - 1))] for value in values)
