"""The user's own code on its way to nodes that share no file system with the coordinator: one zip file."""

from __future__ import annotations

import io
import os
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from flopwise.errors import InputError
from flopwise.units import format_bytes

MOST_BYTES = 64 << 20
MOST_SHIPPED_BYTES = 1 << 30
"""Of what the study itself names in ``options.ship``."""

MOST_FILES = 5_000
PYTHON = ".py"


@dataclass(frozen=True)
class Code:
    """User code, packed.

    Args:
        archive: Zip; every root under its number.
        paths: ``sys.path`` entries inside it, in order; the working directory is ``0``.
        notes: What was left out.
    """

    archive: bytes
    paths: tuple[str, ...]
    notes: tuple[str, ...] = ()


def pack(folder: Path, sys_path: Sequence[str], ship: Sequence[str] | None) -> Code:
    """Pack the working directory and what ``sys.path`` has beyond the installation.

    Args:
        folder: Working directory of the coordinator.
        sys_path: Of the coordinator.
        ship: Files and folders below ``folder`` that are wanted of it; None for what is small enough to be code.

    Raises:
        InputError: If one of ``ship`` is not there, not below, or all of it is too much.
    """
    roots = _roots(folder, sys_path)
    notes: list[str] = []
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1, strict_timestamps=False) as archive:
        for number, root in enumerate(roots):
            files = _named(root, ship) if number == 0 and ship is not None else _small(root, notes)
            for path in files:
                archive.write(path, f"{number}/{path.relative_to(root).as_posix()}")
    return Code(buffer.getvalue(), tuple(_inside(roots, folder, sys_path)), tuple(notes))


def unpack(archive: bytes, into: Path) -> None:
    """The inverse of :func:`pack`; names that lead out of ``into`` are not followed by ``zipfile``."""
    with zipfile.ZipFile(io.BytesIO(archive)) as packed:
        packed.extractall(into)
    (into / "0").mkdir(exist_ok=True)


def _roots(folder: Path, sys_path: Sequence[str]) -> list[Path]:
    """The working directory, and folders of ``sys.path`` that are neither below it nor part of an installation."""
    roots = [folder.resolve()]
    for path in _own(folder, sys_path):
        if not any(path.is_relative_to(root) for root in roots):
            roots.append(path)
    return roots


def _own(folder: Path, sys_path: Sequence[str]) -> Iterator[Path]:
    installed = [Path(prefix).resolve() for prefix in {sys.prefix, sys.base_prefix, sys.exec_prefix}]
    for entry in sys_path:
        path = (folder / entry).resolve()
        theirs = any(path.is_relative_to(prefix) for prefix in installed if prefix != Path("/usr"))
        standard = {"site-packages", "dist-packages", "lib-dynload"} & set(path.parts) or path == _standard_library()
        if path.is_dir() and not theirs and not standard and not (path / "flopwise" / "__init__.py").exists():
            yield path


def _standard_library() -> Path:
    return Path(os.__file__).resolve().parent


def _inside(roots: Sequence[Path], folder: Path, sys_path: Sequence[str]) -> Iterator[str]:
    for path in _own(folder, sys_path):
        number, root = next((n, root) for n, root in enumerate(roots) if path.is_relative_to(root))
        yield (Path(str(number)) / path.relative_to(root)).as_posix()


def _named(root: Path, ship: Sequence[str]) -> list[Path]:
    found: list[Path] = []
    for name in ship:
        path = (root / name).resolve()
        if not path.is_relative_to(root) or not path.exists():
            raise InputError(
                f"execution.options.ship names {name}, which is not there",
                expected=f"a file or folder below {root}",
                fix="start flopwise in the folder that holds it",
            )
        found += [path] if path.is_file() else _walk(path)
    size = sum(path.stat().st_size for path in found)
    if size > MOST_SHIPPED_BYTES:
        raise InputError(
            "execution.options.ship is too much to be sent to every node",
            expected=f"at most {format_bytes(MOST_SHIPPED_BYTES)}",
            got=format_bytes(size),
            fix="put large files where the nodes can read them, and name their paths in the study",
        )
    return found


def _small(root: Path, notes: list[str]) -> list[Path]:
    """All files, if they are few and small enough to be code; else those in Python; else none."""
    for files, kind in ((_walk(root), "files"), ([p for p in _walk(root) if p.suffix == PYTHON], "Python files")):
        if len(files) <= MOST_FILES and sum(path.stat().st_size for path in files) <= MOST_BYTES:
            if kind != "files":
                notes.append(_too_much(root, "only its Python files are sent to the nodes"))
            return files
    notes.append(_too_much(root, "nothing of it is sent to the nodes"))
    return []


def _too_much(root: Path, what: str) -> str:
    limit = f"{MOST_FILES:,} files or {format_bytes(MOST_BYTES)}"
    return f"{root} holds more than {limit}: {what}; name what attempts need in execution.options.ship"


def _walk(root: Path) -> list[Path]:
    """Files below a folder, but for what is hidden, compiled, an environment, or a run; not many more than may be."""
    found: list[Path] = []
    for top, folders, files in os.walk(root):
        here = Path(top)
        folders[:] = sorted(name for name in folders if _is_wanted(here / name))
        found += [here / name for name in sorted(files) if not name.startswith(".") and (here / name).is_file()]
        if len(found) > 4 * MOST_FILES:
            break
    return found


def _is_wanted(folder: Path) -> bool:
    if folder.name.startswith(".") or folder.name in ("__pycache__", "node_modules") or folder.is_symlink():
        return False
    return not any((folder / mark).exists() for mark in ("pyvenv.cfg", "journal.log"))
