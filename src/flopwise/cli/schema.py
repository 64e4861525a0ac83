"""``flopwise schema``: the study file as a JSON schema, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from flopwise.errors import InputError
from flopwise.study import json_schema


def command(
    file: Annotated[Path | None, typer.Argument(help="Where to write it; to the screen when left out.")] = None,
) -> None:
    """Write the JSON schema of study files, which lets an editor complete keys and mark typos."""
    if file is None:
        typer.echo(schema_text(), nl=False)
        return
    try:
        file.write_text(schema_text())
    except OSError as error:
        raise InputError(
            f"cannot write {file}", got=error.strerror, fix="name a file in a folder that exists"
        ) from None
    typer.echo(f"wrote {file}; name it in a study's first line: # yaml-language-server: $schema={file}")


def schema_text() -> str:
    """The schema as a file's content."""
    return json.dumps(json_schema(), indent=2) + "\n"
