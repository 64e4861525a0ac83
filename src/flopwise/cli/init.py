"""``flopwise init``: write a commented study file, and the schema that editors read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flopwise.cli.schema import schema_text
from flopwise.errors import InputError
from flopwise.study import template

SCHEMA = "flopwise.schema.json"
"""Beside the study file; written anew by every init, so that it knows what is installed."""


def command(
    file: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("study.yaml"),
) -> None:
    """Write a commented study file that runs as it is, and a schema for editors beside it."""
    if file.exists():
        raise InputError(f"{file} exists already", expected="a new file", fix="name another file, or remove it")
    text = template(file.stem if file.stem != "study" else "my-study", schema=f"./{SCHEMA}")
    file.write_text(text)
    (file.parent / SCHEMA).write_text(schema_text())
    typer.echo(f"wrote {file} and {SCHEMA}; try `flopwise check {file}`, then `flopwise plan {file}`")
