"""``flopwise init``: write a commented study file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flopwise.errors import InputError
from flopwise.study import template


def command(
    file: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("study.yaml"),
) -> None:
    """Write a commented study file that runs as it is."""
    if file.exists():
        raise InputError(f"{file} exists already", expected="a new file", fix="name another file, or remove it")
    file.write_text(template(file.stem if file.stem != "study" else "my-study"))
    typer.echo(f"wrote {file}; try `flopwise check {file}`, then `flopwise plan {file}`")
