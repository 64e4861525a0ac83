"""The config of a command: the program's arguments, its own parameters, and where its metrics come from. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

CONFIG_FILE = "config.json"
"""In the attempt's folder: parameters, seed, threads and stop, for the program to read."""
OWN_FILES = frozenset({"stdout", "stderr", "summary.json", "summary.json.part", "run.md", CONFIG_FILE})
"""What flopwise itself writes into an attempt's folder."""

MOST_ARGUMENTS = 1000
MOST_FILES = 100
MOST_VARIABLES = 100
LONGEST_NAME = 200


class Section(BaseModel):
    """Root of all sections: unknown keys, wrong types and values out of range are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Switch(Section):
    """Arguments that depend on a parameter that is true or false."""

    when: str = Field(description="Name of the parameter.")
    add: list[str] = Field([], max_length=MOST_ARGUMENTS, description="Arguments when it is true.")
    otherwise: list[str] = Field([], max_length=MOST_ARGUMENTS, description="Arguments when it is false.")


def _refuse(message: str) -> PydanticCustomError:
    return PydanticCustomError("flopwise", "{message}", {"message": message})


def _argument(value: Any) -> Any:
    """A whole number is as good as its text; other numbers have several spellings."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str | Mapping | Switch):
        return value
    raise _refuse(f"arguments are texts, got {value!r:.60}; put it in quotes as the program is to see it")


def _is_switch(value: Any) -> str:
    return "argument:switch" if isinstance(value, Mapping | Switch) else "argument:text"


def _own_file(name: str) -> str:
    """A file inside the attempt's folder, under a name that is not taken."""
    path = PurePosixPath(name)
    plain = name.isprintable() and "\\" not in name and 0 < len(name) <= LONGEST_NAME
    if not plain or path.is_absolute() or ".." in path.parts or not path.parts:
        raise _refuse(f"expected a file inside the attempt's folder, such as out/metrics.json, got {name!r:.60}")
    if path.parts[0] in OWN_FILES:
        raise _refuse(f"{path.parts[0]} is a file that flopwise writes there itself; choose another name")
    return str(path)


def _path(name: str) -> str:
    if not name or "\0" in name or len(name) > 4096:
        raise _refuse(f"expected a path, got {name!r:.60}")
    return name


Argument = Annotated[
    Annotated[str, Tag("argument:text")] | Annotated[Switch, Tag("argument:switch")],
    Discriminator(_is_switch),
    BeforeValidator(_argument),
]
OwnFile = Annotated[str, AfterValidator(_own_file)]
Path = Annotated[str, AfterValidator(_path)]


class CommandConfig(Section):
    """Everything that decides a run of the program, seed and stop aside."""

    argv: Annotated[list[Argument], Field(min_length=1, max_length=MOST_ARGUMENTS)] = Field(
        description="Program and arguments; `{name}` stands for a value, `{{` and `}}` for braces."
    )
    params: dict[str, Any] = Field({}, description="The program's parameters: names, and the values of the baseline.")
    env: Annotated[dict[str, str], Field(max_length=MOST_VARIABLES)] = Field(
        {}, description="Environment variables for the program; `{name}` as in argv."
    )
    shell: bool = Field(False, description="Whether argv is one text that /bin/sh runs; values are quoted.")
    working_directory: Path | None = Field(
        None, description="Where the program runs: a path, or {folder}. null: where the study was started."
    )
    metrics_from: Literal["result", "rows", "stdout"] = Field(
        "result", description="Where the final metrics come from: its result, its last rows, or what it printed."
    )
    result_file: OwnFile = Field("result.json", description="File of the result, in the attempt's folder.")
    metrics_file: OwnFile = Field("metrics.jsonl", description="File of JSON lines, in the attempt's folder.")
    stdout_regex: dict[str, str] = Field(
        {}, description="Metric to regular expression with one group; its last match counts."
    )
    reads_flopwise: bool = Field(False, description="Whether the program reads $FLOPWISE_CONFIG or its like itself.")
    depends_on: Annotated[list[Path], Field(max_length=MOST_FILES)] = Field(
        [], description="Files that must not change during the study, beside the data: scripts, modules."
    )
