"""The text: the standard library of the running interpreter, which every installation has."""

from __future__ import annotations

import os
import platform
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from flopwise.errors import WorkloadError

LEFT_OUT = frozenset(
    {"test", "tests", "idle_test", "idlelib", "lib2to3", "site-packages", "dist-packages", "__pycache__"}
)
"""Folders that are not part of the text: absent from some distributions, or not the standard library."""


def stdlib_version() -> str:
    """What the text depends on.

    The sources differ between micro versions and distributions; the pin's sha256 tells them apart.
    """
    return f"{platform.python_implementation().lower()} {platform.python_version()}"


def stdlib_documents(root: Path | None = None) -> list[bytes]:
    """All ``*.py`` sources of the standard library, sorted by path, empty ones left out.

    Args:
        root: Folder of the standard library; None for the running interpreter's.

    Raises:
        WorkloadError: If this interpreter comes without sources.
    """
    root = root or Path(sysconfig.get_paths()["stdlib"])
    paths = sorted(_sources(root), key=lambda path: path.relative_to(root).as_posix())
    documents = [text for text in (path.read_bytes() for path in paths) if text]
    if len(documents) < 2:
        raise WorkloadError(
            "this Python comes without the sources of its standard library",
            expected="*.py files",
            where=str(root),
            fix="use an interpreter that has them (python.org, pyenv, conda, Debian, uv all do)",
        )
    return documents


def _sources(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        yield from (Path(folder, name) for name in files if name.endswith(".py"))
