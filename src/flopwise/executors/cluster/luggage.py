"""What an attempt left in its folder, on its way home: regular files, bounded, into its own folder and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

MOST_BYTES = 64 << 20
"""Of one attempt's files together; what is beyond it stays behind, and ``left_behind.txt`` says so."""

LEFT = "left_behind.txt"
FIRST = ("summary.json", "run.md", "stderr", "stdout")
FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC

File = tuple[str, bytes]
"""Path below the attempt's folder, and content."""


def pack(folder: Path) -> list[File]:
    """An attempt's files; those that every attempt has come first.

    Args:
        folder: Of the attempt, on the node.
    """
    paths = [p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()]
    order = {name: number for number, name in enumerate(FIRST)}
    names = {p.relative_to(folder).as_posix(): p for p in paths}
    packed: list[File] = []
    left: list[str] = []
    room = MOST_BYTES
    for name in sorted(names, key=lambda name: (order.get(name, len(order)), name)):
        size = names[name].stat().st_size
        if size > room:
            left.append(f"{name} ({size} bytes)")
            continue
        room -= size
        packed.append((name, names[name].read_bytes()))
    if left:
        text = f"not brought home, more than {MOST_BYTES} bytes in all:\n" + "\n".join(left) + "\n"
        packed.append((LEFT, text.encode()))
    return packed


def unpack(files: Iterable[File], home: Path) -> None:
    """Write files into an attempt's folder; ``summary.json`` is synced and appears last, whole or not at all.

    Args:
        files: From :func:`pack`.
        home: The attempt's folder; where it is gone, nothing is written.

    Raises:
        ValueError: If a name leads out of the folder.
        OSError: If a file cannot be written.
    """
    if not home.is_dir():
        return
    for name, content in sorted(files, key=lambda file: file[0] == FIRST[0]):
        path = home / _safe(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.part")
        fd = os.open(beside, FLAGS, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            if name == FIRST[0]:
                file.flush()
                os.fsync(fd)
        beside.rename(path)


def _safe(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise ValueError(f"an attempt's file may not be called {name!r}")
    return path
