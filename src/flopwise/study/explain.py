"""Pydantic's errors in the words of a study file: which key, what was expected, what came.

:func:`read` also goes on after a mistake: what is wrong is left out and the rest read again, so that
one mistake does not hide the next.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from flopwise.errors import Problem
from flopwise.registry import did_you_mean

ROUNDS = 4
"""How often the mistakes found are left out and the rest is read again."""

MOST = 100
"""Mistakes explained in one go: nobody reads more, and explaining takes time."""

_WHOLE_PARENT = ("missing", "union_tag_invalid")
"""Mistakes about a key without which the mapping around it cannot be read."""
_EXPECTED = {
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "a text",
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "multiple_of": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "none_required": "null",
    "finite_number": "a finite number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "at least {min_length} entry",
    "too_long": "at most {max_length} entries",
    "string_too_short": "a text of at least {min_length} characters",
    "string_too_long": "a text of at most {max_length} characters",
}

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Reading:
    """What could be read.

    Args:
        value: The validated value; None when nothing could be saved.
        problems: Every mistake found.
    """

    value: Any
    problems: tuple[Problem, ...]


def read(annotation: Any, data: Any, prefix: str = "") -> Reading:
    """Validate plain data against a type, leaving out what is wrong.

    Args:
        annotation: A pydantic model or any type pydantic knows.
        data: Plain values.
        prefix: Dotted key of ``data`` in the study file.
    """
    problems: list[Problem] = []
    left_out: set[Path] = set()
    rest = copy.deepcopy(data)
    for _ in range(ROUNDS):
        try:
            return Reading(_validated(annotation, rest), tuple(problems))
        except ValidationError as error:
            details = error.errors(include_url=False)[:MOST]
        paths = set()
        for detail in details:
            path, message = _mistake(detail, annotation, rest)
            if not _follows(detail["type"], path, left_out):
                problems.append(Problem(dotted(prefix, path), message))
            paths.add(path[:-1] if detail["type"] in _WHOLE_PARENT else path)
        if () in paths or len(details) == MOST:
            break
        for path in sorted(paths, key=_position, reverse=True):
            _leave_out(rest, path)
        left_out |= paths
    return Reading(None, tuple(problems))


def dotted(prefix: str, path: Sequence[str | int]) -> str:
    """A path as the dotted key that messages use."""
    return ".".join(part for part in (prefix, *(str(p) for p in path)) if part)


def unknown_key(name: str, valid: Sequence[str]) -> str:
    """What to say about a key that is none of the valid ones."""
    near = nearest(name, valid)
    listed = f"unknown key; expected one of {', '.join(valid)}" if valid else "unknown key; expected none here"
    return f"{listed}; did you mean {near!r}?" if near else listed


def not_one_of(value: Any, valid: Sequence[str]) -> str:
    """What to say about a value that is none of the valid names."""
    near = nearest(value, valid) if isinstance(value, str) else None
    listed = f"expected one of {', '.join(valid)}, got {shown(value)}"
    return f"{listed}; did you mean {near!r}?" if near else listed


def nearest(name: str, valid: Sequence[str]) -> str | None:
    """The valid name that was probably meant: spelt alike, or the same without its section."""
    hint = did_you_mean(name, list(valid))
    if hint is not None:
        return hint.split("'")[1]
    tails = {candidate.rpartition(".")[2]: candidate for candidate in reversed(valid)}
    hint = did_you_mean(name.rpartition(".")[2], list(tails))
    return tails[hint.split("'")[1]] if hint else None


def names_at(annotation: Any, path: Sequence[str | int], data: Any) -> list[str]:
    """Names of the fields that models have at a path; of variants, those that fit the data's tags."""
    here = [annotation]
    for part in path:
        here = [inner for outer in here for inner in _step(outer, part)]
        data = _child(data, part)
    models = [model for outer in here for model in _models(outer) if _fits(model, data)]
    return list(dict.fromkeys(name for model in models for name in model.model_fields))


def shown(value: Any) -> str:
    """A value for a message, cut to 60 characters."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _validated(annotation: Any, data: Any) -> Any:
    """Strict, as JSON: a list may become a tuple, but a text no number and a boolean no 1."""
    text = json.dumps(data)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.model_validate_json(text, strict=True)
    return TypeAdapter(annotation).validate_json(text, strict=True)


def _mistake(detail: ErrorDetails, annotation: Any, data: Any) -> tuple[Path, str]:
    """Path and message of one of pydantic's errors."""
    kind, context = detail["type"], detail.get("ctx", {})
    path = _clean(detail["loc"], data, kind == "missing")
    if kind == "extra_forbidden":
        return path, unknown_key(str(path[-1]), names_at(annotation, path[:-1], data))
    if kind == "missing":
        return path, "missing"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _tag_mistake(path, annotation, data, str(context["discriminator"]).strip("'"))
    if kind in ("literal_error", "enum"):
        return path, not_one_of(detail["input"], re.findall(r"'([^']*)'", str(context["expected"])))
    if kind == "flopwise":
        return path, detail["msg"]
    got = shown(detail["input"])
    if kind not in _EXPECTED:
        message = detail["msg"].removeprefix("Value error, ")
        return path, f"{message[:1].lower()}{message[1:]}; got {got}"
    limits = {name: f"{limit:g}" if isinstance(limit, float) else limit for name, limit in context.items()}
    return path, f"expected {_EXPECTED[kind].format(**limits)}, got {got}"


def _tag_mistake(path: Path, annotation: Any, data: Any, tag: str) -> tuple[Path, str]:
    """The key that picks among variants is missing or names none of them."""
    here = [annotation]
    for part in path:
        here = [inner for outer in here for inner in _step(outer, part)]
    variants = [model for outer in here for model in _models(outer) if tag in model.model_fields]
    valid = [str(name) for model in variants for name in get_args(model.model_fields[tag].annotation)]
    given = _child(_at(data, path), tag)
    if given is None:
        return path, f"the key {tag!r} is missing; expected one of {', '.join(valid)}"
    return (*path, tag), not_one_of(given, valid)


def _clean(location: Sequence[str | int], data: Any, missing: bool) -> Path:
    """Pydantic's location without the names of union members and ``[key]``."""
    kept: list[str | int] = []
    for index, part in enumerate(location):
        inside = part in data if isinstance(data, Mapping) else isinstance(data, list) and isinstance(part, int)
        if inside or (missing and index == len(location) - 1):
            kept.append(part)
            data = _child(data, part)
    return tuple(kept)


def _follows(kind: str, path: Path, left_out: set[Path]) -> bool:
    """Whether a mistake is only there because something was left out before."""
    return path in left_out or (kind == "too_short" and any(gone[:-1] == path for gone in left_out))


def _leave_out(data: Any, path: Path) -> None:
    parent = _at(data, path[:-1])
    if isinstance(parent, dict):
        parent.pop(path[-1], None)
    elif isinstance(parent, list) and isinstance(path[-1], int) and path[-1] < len(parent):
        del parent[path[-1]]


def _position(path: Path) -> list[tuple[int, int, str]]:
    """Sorts list entries by number, so that leaving out the later ones first keeps the others in place."""
    return [(0, part, "") if isinstance(part, int) else (1, 0, part) for part in path]


def _at(data: Any, path: Path) -> Any:
    for part in path:
        data = _child(data, part)
    return data


def _child(data: Any, part: str | int) -> Any:
    if isinstance(data, Mapping):
        return data.get(part)
    return data[part] if isinstance(data, list) and isinstance(part, int) and part < len(data) else None


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a value of this type may be, unions and ``Annotated`` opened."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) not in (dict, list, tuple, Literal):
        for inner in get_args(annotation):
            yield from _models(inner)


def _step(annotation: Any, part: str | int) -> Iterator[Any]:
    """Types of what lies under a key of a value of this type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if part in annotation.model_fields:
            yield annotation.model_fields[str(part)].annotation
    elif get_origin(annotation) is dict:
        yield get_args(annotation)[1]
    elif get_origin(annotation) in (list, tuple):
        yield from get_args(annotation)
    elif get_origin(annotation) is not Literal:
        for inner in get_args(annotation):
            if inner is not NoneType:
                yield from _step(inner, part)


def _fits(model: type[BaseModel], data: Any) -> bool:
    """Whether the data's tags (fields of type ``Literal``) allow this variant."""
    for name, field in model.model_fields.items():
        given = _child(data, name)
        tags = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        if len(tags) == 1 and given is not None and given != tags[0]:
            return False
    return True
