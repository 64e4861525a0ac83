"""What must be there before the first attempt: the folder, the program, and the files the study depends on."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from flopwise.errors import ProgramFailed
from flopwise.workload import Context
from flopwise.workloads.command.arguments import SHELL
from flopwise.workloads.command.config import CommandConfig
from flopwise.workloads.command.placeholders import Filling, parse, render

OWN_FOLDER = "{folder}"
"""As ``working_directory``: every attempt runs in its own folder."""
CHUNK = 1 << 20


class CommandContext(Context, Protocol):
    """What a command needs beyond the context of every workload.

    Attributes:
        metric: Name of the metric the study needs.
        started_in: Working directory of the coordinator.
    """

    metric: str
    started_in: Path


def prepare(config: Mapping[str, Any], context: CommandContext) -> dict[str, Any]:
    """Find the program and hash what the study depends on.

    The pin also keeps the folder that the study was started in, so that ``flopwise resume`` may be called
    from anywhere, and finds another program or a changed file.

    Args:
        config: The study's base config.
        context: Its ``data`` is the pin of an earlier session, or empty.

    Returns:
        The pin: ``started_in``, ``program``, and a ``sha256`` for every file in ``depends_on``.

    Raises:
        ProgramFailed: If the folder, the program or a file is not there.
    """
    whole = CommandConfig.model_validate(config)
    started_in = Path(context.data.get("started_in", context.started_in)).resolve()
    folder = working_directory(whole, started_in, context.folder)
    if not folder.is_dir():
        raise ProgramFailed(
            "the working directory is not there",
            expected="a folder",
            got=str(folder),
            where="base.working_directory",
            fix="relative paths begin where the study was started",
        )
    pin = {"started_in": str(started_in), "program": SHELL if whole.shell else _program(whole, started_in, folder)}
    return pin | {f"sha256 {name}": _sha256(folder / name) for name in whole.depends_on}


def working_directory(config: CommandConfig, started_in: Path, own: Path) -> Path:
    """Where the program runs.

    Args:
        config: Of the command.
        started_in: Where the study was started.
        own: The attempt's folder.
    """
    if config.working_directory == OWN_FOLDER:
        return own
    return started_in / (config.working_directory or ".")


def _program(config: CommandConfig, started_in: Path, folder: Path) -> str:
    """Absolute path of the program that the first argument names."""
    first = config.argv[0]
    assert isinstance(first, str)
    fillings = {"python": Filling(sys.executable, False), "started_in": Filling(str(started_in), False)}
    name = render(parse(first), fillings, after_dashes=True)
    found = shutil.which(name if "/" not in name else os.path.join(folder, name))  # noqa: PTH118
    if found is None:
        raise ProgramFailed(
            f"there is no program {name!r}",
            expected=f"an executable file in {folder}" if "/" in name else "a program on PATH",
            got="a file that is not executable" if (folder / name).is_file() else "nothing of that name",
            where="base.argv.0",
            fix="write ./NAME for a program in the working directory (chmod +x), or name its interpreter first",
        )
    return str(Path(folder, found))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise ProgramFailed(
            f"the study depends on a file that cannot be read: {error}", where="base.depends_on"
        ) from error
    return digest.hexdigest()
