"""Numbers with units, read from people and printed for people.

Parsing accepts a plain number (in the base unit) or text with a unit; printing picks the unit that
reads best. Base units: seconds, FLOPs, things (tokens, parameters, steps), bytes, units of money.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from flopwise.errors import InputError

SECONDS: Mapping[str, float] = {
    "ms": 1e-3,
    "s": 1.0,
    "sec": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
"""Units of time that a study file may use, in seconds."""

BYTES: Mapping[str, float] = {
    "": 1.0,
    "B": 1.0,
    "kB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
    "TB": 1e12,
    "KiB": 2.0**10,
    "MiB": 2.0**20,
    "GiB": 2.0**30,
    "TiB": 2.0**40,
}
"""Units of memory, in bytes."""

PREFIXES: Mapping[str, float] = {
    "": 1.0,
    "k": 1e3,
    "K": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    "Z": 1e21,
}
"""SI prefixes."""

COUNTS: Mapping[str, float] = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12}
"""Suffixes of counts; ``B`` is a billion, as in the names of models."""

_NUMBER = r"\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?"
_AMOUNT = re.compile(rf"\s*({_NUMBER})\s*([A-Za-z/]*)\s*")
_DURATION = re.compile(rf"(?:\s*(?:{_NUMBER})\s*[a-z]+)+\s*")
_DURATION_PART = re.compile(rf"({_NUMBER})\s*([a-z]+)")
_DURATION_EXAMPLES = "a number of seconds, or a text such as 90s, 10m, 1h30m or 2d"


def parse_seconds(value: object) -> float:
    """A duration in seconds.

    Args:
        value: Seconds as a number, or text with units (``ms``, ``s``, ``m``, ``h``, ``d``).

    Raises:
        InputError: If it is neither, negative, or not finite.

    Example:
        >>> parse_seconds("1h30m"), parse_seconds(90), parse_seconds("0.5 s")
        (5400.0, 90.0, 0.5)
    """
    if not isinstance(value, str):
        return _finite(value, value, "a duration", _DURATION_EXAMPLES)
    if re.fullmatch(rf"\s*(?:{_NUMBER})\s*", value):
        return _finite(float(value), value, "a duration", _DURATION_EXAMPLES)
    parts = _DURATION_PART.findall(value) if _DURATION.fullmatch(value) else []
    if not parts or any(unit not in SECONDS for _, unit in parts):
        raise _refusal("a duration", _DURATION_EXAMPLES, value)
    total = sum(float(number) * SECONDS[unit] for number, unit in parts)
    return _finite(total, value, "a duration", _DURATION_EXAMPLES)


def parse_flops(value: object) -> float:
    """A number of floating-point operations.

    Raises:
        InputError: If it is not a finite number of at least 0, with or without ``FLOP`` and a prefix.

    Example:
        >>> parse_flops("150 GFLOP") == parse_flops("1.5e11 FLOPs") == parse_flops(1.5e11)
        True
    """
    units = {prefix + name: factor for prefix, factor in PREFIXES.items() for name in ("", "FLOP", "FLOPs")}
    return _amount(value, units, "a number of FLOPs", "a number such as 1.5e11, or a text such as 150 GFLOP")


def parse_count(value: object) -> float:
    """A number of tokens, parameters or steps.

    Raises:
        InputError: If it is not a finite number of at least 0, with or without ``k``, ``M``, ``B``, ``T``.

    Example:
        >>> parse_count("2.1 M")
        2100000.0
    """
    return _amount(value, COUNTS, "a count", "a number such as 2e6, or a text such as 300k or 2.1 M")


def parse_bytes(value: object) -> float:
    """An amount of memory in bytes.

    Raises:
        InputError: If it is not a finite number of at least 0, with or without a unit.

    Example:
        >>> parse_bytes("1.5 GiB") == 1.5 * 2**30
        True
    """
    return _amount(value, BYTES, "an amount of memory", "bytes as a number, or a text such as 512 MB or 1.2 GiB")


def parse_money(value: object) -> float:
    """An amount of money; a leading ``$`` is allowed and means nothing else than without it.

    Raises:
        InputError: If it is not a finite number of at least 0.

    Example:
        >>> parse_money("$0.20")
        0.2
    """
    bare = value.strip().removeprefix("$") if isinstance(value, str) else value
    try:
        return _amount(bare, {"": 1.0}, "an amount of money", "a number such as 0.20, or a text such as $0.20")
    except InputError:
        raise _refusal("an amount of money", "a number such as 0.20, or a text such as $0.20", value) from None


def format_seconds(seconds: float) -> str:
    """A duration for people, two units at most.

    Example:
        >>> format_seconds(0.0042), format_seconds(7.25), format_seconds(125), format_seconds(5400)
        ('4.2 ms', '7.2 s', '2 min 05 s', '1 h 30 min')
    """
    if seconds <= 0:
        return "0 s"
    if round(seconds * 1e3) < 1000:
        return f"{seconds * 1e3:.3g} ms"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    if round(seconds) < 3600:
        return "{} min {:02d} s".format(*divmod(round(seconds), 60))
    if round(seconds / 60) < 24 * 60:
        return "{} h {:02d} min".format(*divmod(round(seconds / 60), 60))
    return "{} d {:02d} h".format(*divmod(round(seconds / 3600), 24))


def format_flops(flops: float) -> str:
    """FLOPs with an SI prefix and three digits; the inverse of :func:`parse_flops` up to rounding.

    Example:
        >>> format_flops(1.5e11), format_flops(12)
        ('150 GFLOP', '12 FLOP')
    """
    return f"{_scaled(flops, ('', 'k', 'M', 'G', 'T', 'P', 'E', 'Z'))}FLOP"


def scientific_flops(flops: float) -> str:
    """FLOPs as study files spell them.

    Example:
        >>> scientific_flops(1.5e11)
        '1.5e11 FLOPs'
    """
    mantissa, _, exponent = f"{flops:.6e}".partition("e")
    digits = mantissa.rstrip("0").rstrip(".")
    return f"{digits}e{int(exponent)} FLOPs" if abs(flops) >= 1e4 else f"{flops:g} FLOPs"


def format_count(count: float) -> str:
    """A count with a suffix and three digits.

    Example:
        >>> format_count(2_100_000), format_count(512), format_count(7e9)
        ('2.1 M', '512', '7 B')
    """
    return _scaled(count, ("", "k", "M", "B", "T")).rstrip()


def format_bytes(size: float) -> str:
    """Memory in binary units, one decimal from KiB on.

    Example:
        >>> format_bytes(1.2 * 2**30), format_bytes(512)
        ('1.2 GiB', '512 B')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if round(size / BYTES[unit], 1) < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size / BYTES[unit]:.1f} {unit}"
    return f"{size / BYTES['TiB']:.1f} TiB"


def format_money(amount: float) -> str:
    """Money: cents from one dollar on, two significant digits below.

    Example:
        >>> format_money(0.0031), format_money(12.5), format_money(0)
        ('$0.0031', '$12.50', '$0.00')
    """
    if amount == 0 or round(amount, 2) >= 0.1:
        return f"${amount:,.2f}"
    digits = 1 - math.floor(math.log10(amount))
    return f"${amount:.{digits}f}"


def _scaled(number: float, prefixes: tuple[str, ...]) -> str:
    """Three significant digits and a prefix, such as ``2.1 M``; ``12 `` without a prefix."""
    for index, prefix in enumerate(prefixes):
        mantissa = float(f"{number / 1000**index:.3g}")
        if mantissa < 1000 or index == len(prefixes) - 1:
            return f"{mantissa:g} {prefix}"
    raise ValueError("no prefixes given")


def _amount(value: object, units: Mapping[str, float], what: str, expected: str) -> float:
    """A number, or text of a number and one of ``units``."""
    if not isinstance(value, str):
        return _finite(value, value, what, expected)
    found = _AMOUNT.fullmatch(value)
    if found is None or found[2] not in units:
        raise _refusal(what, expected, value)
    return _finite(float(found[1]) * units[found[2]], value, what, expected)


def _finite(number: object, value: object, what: str, expected: str) -> float:
    """The number as a float when it is finite and at least 0; ``value`` is what was given."""
    if isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number < 2.0**1023:
        return float(number)
    raise _refusal(what, expected, value)


def _refusal(what: str, expected: str, value: object) -> InputError:
    shown = repr(value)
    return InputError(f"not {what}", expected=expected, got=shown if len(shown) <= 60 else shown[:57] + "...")
