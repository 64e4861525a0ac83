"""A study that passed its check, however it was given: as a file, as text, from Python, from a journal."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel
from ruamel.yaml import YAML

from flopwise.errors import Problem, StudyError
from flopwise.space import Categorical, Float, Int, Space
from flopwise.study.check import check, located
from flopwise.study.explain import read, shown
from flopwise.study.freeze import file_form, space_of, study_hash
from flopwise.study.load import MAX_DEPTH, Document, read_file, read_yaml, unfit_scalar
from flopwise.study.schema import parameter_mapping

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Study:
    """A checked study.

    Args:
        canonical: JSON values, every default filled in; what the journal keeps.
        source: The file's path as given, or ``python``, or ``journal``.
        text: The file's text, or YAML made from ``canonical``.
        warnings: What is allowed but probably not meant, one line each.
    """

    canonical: dict[str, Any]
    source: str
    text: str
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return str(self.canonical["name"])

    @property
    def hash(self) -> str:
        """sha256 of the canonical form, hex."""
        return study_hash(self.canonical)

    @property
    def space(self) -> Space:
        return space_of(self.canonical)


def load_study(path: Path, *, groups: Sequence[str] = (), freeze: Sequence[str] = ()) -> Study:
    """Read and check a study file.

    Args:
        path: The file.
        groups: Groups to search, in place of the file's ``search.groups``; none to leave that as it is.
        freeze: Keys and groups to freeze besides the file's ``search.freeze``.

    Raises:
        InputError: If there is no such file, or it cannot be read.
        StudyError: If it is not YAML or not a valid study; names every mistake with file and line.
    """
    text, source = read_file(path), str(path)
    document = read_yaml(text, source)
    _pick(document.data, groups, freeze)
    return _study(document, source, text)


def parse_study(text: str, source: str = "study.yaml") -> Study:
    """Check a study given as YAML text.

    Args:
        text: The study file's content.
        source: File name for messages.

    Raises:
        StudyError: As :func:`load_study`.
    """
    return _study(read_yaml(text, source), source, text)


def study_from_mapping(mapping: Mapping[str, Any], source: str = "python") -> Study:
    """Check a study given as a mapping with the keys of a study file.

    Values of ``space`` may be :class:`~flopwise.space.Float`, ``Int`` and ``Categorical`` as well.

    Raises:
        StudyError: If it is not a valid study; names every mistake.
    """
    document = Document(None)
    document.data = _plain(mapping, "", 1, document)
    return _study(document, source, None)


def study_from_canonical(canonical: Mapping[str, Any]) -> Study:
    """A study from a journal. It was checked when it was written and is taken as it is."""
    return Study(dict(canonical), "journal", yaml_text(canonical))


def yaml_text(canonical: Mapping[str, Any], note: str = "") -> str:
    """A study file that gives this canonical form.

    Args:
        canonical: The study.
        note: One line, to stand first as a comment.
    """
    writer: Any = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False
    writer.width = 4096
    writer.allow_unicode = False  # a raw NEL or line separator would be read back as a line break
    buffer = io.StringIO()
    writer.dump(file_form(canonical), buffer)
    said = "".join(char if " " <= char <= "~" else "?" for char in note[:1000])
    return f"# {said}\n{buffer.getvalue()}" if note else buffer.getvalue()


def _study(document: Document, source: str, text: str | None) -> Study:
    checked = check(document.data)

    def where(key: str) -> str:
        return "" if text is None else f"{source}:{_line(document.lines, key)}"

    found = [located(p, where) for p in checked.problems if not _inside(p.key, document.lost)]
    problems = sorted((*document.problems, *found), key=lambda p: _line_of(p.where))
    if problems or checked.canonical is None:
        raise StudyError(problems, source)
    warnings = tuple(str(located(warning, where)) for warning in checked.warnings)
    return Study(checked.canonical, source, yaml_text(checked.canonical) if text is None else text, warnings)


def read_as(kind: type[Model], text: str, source: str) -> tuple[Model | None, list[Problem]]:
    """Another YAML file than a study, read as safely and as strictly.

    Args:
        kind: What it has to be.
        text: Its content.
        source: File name for messages.

    Returns:
        The value, None where nothing could be saved, and every mistake with its line.

    Raises:
        StudyError: If it is not YAML.
    """
    document = read_yaml(text, source)
    reading = read(kind, document.data)
    found = [
        located(problem, lambda key: f"{source}:{_line(document.lines, key)}")
        for problem in reading.problems
        if not _inside(problem.key, document.lost)
    ]
    return reading.value, sorted([*document.problems, *found], key=lambda problem: _line_of(problem.where))


def _pick(data: Any, groups: Sequence[str], freeze: Sequence[str]) -> None:
    """Set what is searched, unless the file is too wrong to hold it (the check will say so)."""
    if not isinstance(data, dict) or not (groups or freeze):
        return
    search = data.get("search") or {}
    if isinstance(search, dict) and isinstance(search.get("freeze") or [], list):
        frozen = [*(search.get("freeze") or []), *freeze]
        picked = list(groups) or search.get("groups")
        data["search"] = {**search, "groups": picked, "freeze": frozen}


def _line(lines: Mapping[str, int], key: str) -> int:
    """The line of a dotted key, of the nearest section around it, or 1."""
    while key:
        if key in lines:
            return lines[key]
        key = key.rpartition(".")[0]
    return 1


def _line_of(where: str) -> int:
    line = where.rpartition(":")[2]
    return int(line) if line.isdecimal() else 0


def _inside(key: str, lost: Sequence[str]) -> bool:
    """Whether a key's value was lost while reading (and complained about), or lay inside one that was."""
    return any(key == other or key.startswith(f"{other}.") for other in lost)


def _plain(value: Any, key: str, depth: int, document: Document) -> Any:
    """JSON values from Python's: tuples become lists, parameters mappings; anything else is a problem."""
    if isinstance(value, Float | Int | Categorical):
        value = parameter_mapping(value)
    container = isinstance(value, Mapping | list | tuple)
    if container and depth > MAX_DEPTH:
        return _lose(key, f"nested deeper than {MAX_DEPTH} levels", document)
    if isinstance(value, Mapping):
        return _plain_mapping(value, key, depth, document)
    if container:
        return [_plain(item, f"{key}.{index}", depth + 1, document) for index, item in enumerate(value)]
    complaint = unfit_scalar(value)
    if complaint is None and not (value is None or type(value) in (bool, int, float, str)):
        complaint = f"expected a plain value (number, text, boolean, list, mapping), got {type(value).__name__}"
    return _lose(key, complaint, document) if complaint else value


def _plain_mapping(mapping: Mapping[Any, Any], key: str, depth: int, document: Document) -> dict[str, Any]:
    found = {}
    for name, value in mapping.items():
        if isinstance(name, str) and not unfit_scalar(name):
            found[name] = _plain(value, f"{key}.{name}" if key else name, depth + 1, document)
        else:
            document.problems.append(Problem(key or "study", f"keys are texts, got {shown(name)}"))
    return found


def _lose(key: str, message: str, document: Document) -> None:
    document.problems.append(Problem(key or "study", message))
    document.lost.append(key)
