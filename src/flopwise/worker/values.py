"""What a workload hands over, turned into numbers and JSON, or refused with a reason."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from fractions import Fraction
from pathlib import PurePath
from typing import Any

from flopwise.errors import WorkloadError


def number(name: str, value: Any) -> float | int:
    """A value as a Python number; arrays and tensors of one element count, bools and text do not.

    Args:
        name: What the value is called, for the message.
        value: Whatever the workload gave.

    Returns:
        A float or int; it may be ``nan`` or infinite. An int too large for a float is infinite.

    Raises:
        WorkloadError: If it is not a number.
    """
    found = _item(value)
    if isinstance(found, bool) or not isinstance(found, numbers.Real):
        raise WorkloadError(f"{name} is not a number", expected="a float or an int", got=describe(value))
    if isinstance(found, int) and abs(found) < 1 << 53:
        return found
    try:
        return float(found)
    except OverflowError:
        return math.inf if found > Fraction(0) else -math.inf


def wire_number(value: float) -> float | str:
    """A number as JSON has it: non-finite ones as ``nan``, ``inf``, ``-inf``."""
    return value if math.isfinite(value) else str(value)


def plain(name: str, value: Any) -> Any:
    """A value as JSON: mappings, sequences, text, numbers, bools and None; paths as text.

    Raises:
        WorkloadError: If there is something in it that JSON has no form for.
    """
    value = _item(value)
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, numbers.Real):
        return wire_number(number(name, value))
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(f"{name}.{key}", item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(f"{name}[{index}]", item) for index, item in enumerate(value)]
    raise WorkloadError(f"{name} has no JSON form", expected="text, numbers, lists, mappings", got=describe(value))


def describe(value: Any, limit: int = 80) -> str:
    """``'abc' (str)``, shortened; never fails."""
    try:
        text = repr(value)
    except Exception as error:
        text = f"<repr raised {type(error).__name__}>"
    return f"{text if len(text) <= limit else text[:limit] + '…'} ({type(value).__name__})"


def _item(value: Any) -> Any:
    """The one element of a numpy or torch scalar or one-element array; anything else as it is."""
    if isinstance(value, str | bytes | bool | int | float) or not callable(getattr(value, "item", None)):
        return value
    size = getattr(value, "size", 1)
    count = value.numel() if callable(size) and hasattr(value, "numel") else size
    return value.item() if count == 1 else value
