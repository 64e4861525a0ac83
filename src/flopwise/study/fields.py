"""The values of a study file: types that read what people write, and say what they expected instead.

They also carry what an editor is told about them, where that differs from what comes out: a duration may be
written as a number or as a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictFloat, StrictStr, WithJsonSchema
from pydantic_core import PydanticCustomError

from flopwise import grammar, paths, units
from flopwise.errors import InputError

PARAMETER_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
"""What a key of the space looks like."""
FORBIDDEN_ENV = re.compile(r"PATH|LD_.*|PYTHON.*|FLOPWISE.*")
"""Environment variables that decide what code runs; an attempt never gets them from outside."""

MOST_CHOICES = 100
FEWEST_SPREAD = 3
"""Configs without which nothing can be said about how much configs differ."""
LEAST_MEMORY = 16 * 2**20
"""Bytes without which no attempt starts."""


def _refuse(message: str) -> PydanticCustomError:
    return PydanticCustomError("flopwise", "{message}", {"message": message})


def _with(parse: Callable[[object], float]) -> BeforeValidator:
    """A validator that reads a number with a unit."""

    def read(value: object) -> float:
        try:
            return parse(value)
        except InputError as error:
            raise _refuse(f"{error.problem}; expected {error.expected}, got {error.got}") from None

    return BeforeValidator(read)


def _whole(value: object) -> object:
    """A float without a fraction (``1e3``) is a whole number; a boolean is not."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _refuse(f"expected a whole number, got {value!r:.60}")
    return value


def _memory(value: object) -> float:
    """Bytes, of which a forgotten unit leaves a handful."""
    size = units.parse_bytes(value)
    if size < LEAST_MEMORY:
        least = f"at least {units.format_bytes(LEAST_MEMORY)}, with its unit, such as 4 GiB"
        raise InputError("too little memory for a process", expected=least, got=repr(value))
    return size


def _auto(value: object) -> object:
    return None if value == "auto" else value


def _count_or_measured(value: object) -> object:
    """A whole number of at least 1, or ``auto``, which stays: what it stands for is found out in the run."""
    count = int(value) if isinstance(value, float) and value.is_integer() else value
    if value != "auto" and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise _refuse(f"expected a whole number of at least 1, or auto, got {value!r:.60}")
    return count


def distinct(named: list[Any]) -> list[Any]:
    """A list whose members have a name each, and no two the same."""
    names = [each.name for each in named]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise _refuse(f"{twice} is there twice")
    return named


def _size_or_switch(value: object) -> object:
    """``auto`` (None), false, or a whole number of at least 3."""
    if value is False or value in (None, "auto"):
        return False if value is False else None
    count = int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(count, bool) or not isinstance(count, int) or count < FEWEST_SPREAD:
        raise _refuse(f"expected a whole number of at least {FEWEST_SPREAD}, auto or false, got {value!r:.60}")
    return count


def _time_or_switch(value: object) -> object:
    """``auto`` (None), false, or a duration of more than 0."""
    if value is False or value in (None, "auto"):
        return False if value is False else None
    try:
        seconds = units.parse_seconds(value)
    except InputError as error:
        raise _refuse(f"{error.problem}; expected {error.expected}, auto or false, got {error.got}") from None
    if seconds <= 0:
        raise _refuse(f"expected more than 0, auto or false, got {value!r:.60}")
    return seconds


def _env_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", name):
        raise _refuse(f"expected the name of an environment variable, got {name!r:.60}")
    if FORBIDDEN_ENV.fullmatch(name):
        raise _refuse(f"{name} decides what code an attempt runs and cannot be passed on")
    return name


def _run_name(name: str) -> str:
    if not paths.NAME.fullmatch(name):
        raise _refuse(
            f"expected 1 to 64 letters, digits, '_', '.' or '-', the first a letter or digit "
            f"(it becomes a folder's name), got {name!r:.60}"
        )
    return name


def _parameter_key(key: str) -> str:
    if len(key) > 128 or not PARAMETER_KEY.fullmatch(key):
        raise _refuse(f"expected a dotted key such as train.lr, got {key!r:.60}")
    return key


def _scalars(choices: list[Any]) -> list[Any]:
    for choice in choices:
        if not isinstance(choice, bool | int | float | str):
            raise _refuse(f"choices are numbers, texts, true or false, got {choice!r:.60}")
    return choices


def _allowed(value: Any) -> list[Any]:
    """One value or a list of them, as a list."""
    values = value if isinstance(value, list) else [value]
    if not 0 < len(values) <= MOST_CHOICES or not all(isinstance(each, bool | int | float | str) for each in values):
        raise _refuse(f"expected a value (number, text, true or false) or a list of such values, got {value!r:.60}")
    return values


_SCALAR_TYPES = ["number", "string", "boolean"]
_TEXT_TOO = WithJsonSchema({"type": ["number", "string"]})
_SCALARS = {"type": "array", "items": {"type": _SCALAR_TYPES}}


def _or_auto(least: int) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "integer", "minimum": least}, {"enum": ["auto", None]}]})


Whole = Annotated[int, BeforeValidator(_whole)]
Count = Annotated[Whole, Field(ge=1)]
CountOrAuto = Annotated[Count | None, BeforeValidator(_auto), _or_auto(1)]
WholeOrAuto = Annotated[Annotated[Whole, Field(ge=0)] | None, BeforeValidator(_auto), _or_auto(0)]
BoolOrAuto = Annotated[StrictBool | None, BeforeValidator(_auto), WithJsonSchema({"enum": [True, False, "auto", None]})]
CountOrMeasured = Annotated[
    int | str,
    BeforeValidator(_count_or_measured),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}]}),
]
SizeOrSwitch = Annotated[
    int | bool | None,
    BeforeValidator(_size_or_switch),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": FEWEST_SPREAD}, {"enum": ["auto", False, None]}]}),
]
TimeOrSwitch = Annotated[
    float | bool | None,
    BeforeValidator(_time_or_switch),
    WithJsonSchema({"anyOf": [{"type": ["number", "string"]}, {"enum": ["auto", False, None]}]}),
]
SeedsOrAuto = Annotated[Annotated[Whole, Field(ge=2)] | None, BeforeValidator(_auto), _or_auto(2)]
Amount = Annotated[StrictFloat, Field(ge=0)]
Seconds = Annotated[float, _with(units.parse_seconds), _TEXT_TOO]
PositiveSeconds = Annotated[Seconds, Field(gt=0)]
Flops = Annotated[float, _with(units.parse_flops), _TEXT_TOO]
Quantity = Annotated[float, _with(units.parse_count), _TEXT_TOO]
Money = Annotated[float, _with(units.parse_money), _TEXT_TOO]
Memory = Annotated[float, _with(_memory), _TEXT_TOO]
Bytes = Annotated[float, _with(units.parse_bytes), _TEXT_TOO]
Name = Annotated[StrictStr, BeforeValidator(lambda value: _run_name(value) if isinstance(value, str) else value)]
EnvName = Annotated[StrictStr, BeforeValidator(lambda value: _env_name(value) if isinstance(value, str) else value)]
ParameterKey = Annotated[StrictStr, BeforeValidator(_parameter_key)]
Choices = Annotated[
    list[Any],
    AfterValidator(_scalars),
    WithJsonSchema({**_SCALARS, "minItems": 2}),
    Field(max_length=MOST_CHOICES),
]
AllowedValues = Annotated[
    list[Any], BeforeValidator(_allowed), WithJsonSchema({"anyOf": [{"type": _SCALAR_TYPES}, _SCALARS]})
]
ExpressionText = Annotated[StrictStr, Field(max_length=grammar.MAX_LENGTH)]
