"""Which files a config names: paths and globs, relative to where the study was started."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flopwise.errors import WorkloadError

CHUNK = 1 << 20


@dataclass(frozen=True)
class Found:
    """One file.

    Args:
        path: Absolute.
        named: By its own name, not by a pattern.
    """

    path: Path
    named: bool


@dataclass(frozen=True)
class Contents:
    """What a list of files holds.

    Args:
        sha256: Of the files' sha256, in order.
        bytes: Of all files.
    """

    sha256: str
    bytes: int


def find(patterns: Sequence[str], folder: Path, key: str) -> list[Found]:
    """All files that the patterns name: in the order of the patterns, sorted within one, each once.

    Args:
        patterns: Paths and globs; ``**`` crosses folders, ``~`` is the home folder.
        folder: What relative ones are relative to.
        key: Of the config, for messages.

    Raises:
        WorkloadError: If one names no file.
    """
    found: dict[Path, Found] = {}
    for pattern in patterns:
        for each in _matches(pattern, folder, key):
            found.setdefault(each.path.resolve(), each)
    return list(found.values())


def overlap(train: Sequence[Found], valid: Sequence[Found]) -> list[Path]:
    """Files in both lists."""
    held_out = {each.path.resolve() for each in valid}
    return [each.path for each in train if each.path.resolve() in held_out]


def contents(found: Sequence[Found]) -> Contents:
    """Hash files by what is in them, a piece at a time.

    Raises:
        WorkloadError: If one cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    for each in found:
        own = hashlib.sha256()
        try:
            with each.path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    own.update(chunk)
                    size += len(chunk)
        except OSError as error:
            raise WorkloadError(f"a file of the text cannot be read: {error}", where=str(each.path)) from error
        digest.update(own.digest())
    return Contents(digest.hexdigest(), size)


def _matches(pattern: str, folder: Path, key: str) -> list[Found]:
    absolute = folder / Path(pattern).expanduser()
    if not glob.has_magic(pattern):
        if absolute.is_dir():
            fix = f"write a pattern for the files in it, such as {pattern.rstrip('/')}/**/*.txt"
            raise WorkloadError("a folder is no file of text", expected="a file", got=pattern, where=key, fix=fix)
        if not absolute.is_file():
            raise _nothing(pattern, absolute, key)
        return [Found(absolute, named=True)]
    names = glob.glob(str(Path(pattern).expanduser()), root_dir=folder, recursive=True)  # noqa: PTH207
    paths = sorted((folder / name for name in names), key=lambda path: path.as_posix())
    found = [Found(path, named=False) for path in paths if path.is_file()]
    if not found:
        raise _nothing(pattern, absolute, key)
    return found


def _nothing(pattern: str, absolute: Path, key: str) -> WorkloadError:
    fix = "relative paths begin where the study was started; ** crosses folders"
    return WorkloadError("no file matches", expected=str(absolute), got=f"no file for {pattern!r}", where=key, fix=fix)
