"""Files in the cache: named by their sha256, there as a whole or not at all.

tokens-<sha256>.bin        tokens, nothing else
tokenizer-<sha256>.json    a tokenizer that was trained here
prepared-<key>.json        what came of preparing inputs, by the hash of the inputs
checked-<sha256>.json      size, times and inode of a large token file when it was last hashed
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.integer[Any]]
LARGE = 1 << 26
"""Bytes from which on a token file is hashed once a session, and not by every attempt."""


class TokenFile:
    """A token file being written, to be used as a context manager; what is not kept disappears.

    Args:
        cache: Folder, made if missing.
        dtype: Numpy name of a token's type.

    Attributes:
        tokens: Written so far.
    """

    def __init__(self, cache: Path, dtype: str) -> None:
        cache.mkdir(parents=True, exist_ok=True)
        self.tokens = 0
        self._cache = cache
        self._dtype = np.dtype(dtype)
        self._digest = hashlib.sha256()
        handle, name = tempfile.mkstemp(dir=cache, prefix=".tokens-")
        self._file, self._temporary = os.fdopen(handle, "wb"), Path(name)

    def __enter__(self) -> TokenFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def write(self, tokens: Tokens) -> None:
        """Append tokens; each must fit the type."""
        data = np.ascontiguousarray(tokens, dtype=self._dtype)
        self._file.write(data.data)
        self._digest.update(data.data)
        self.tokens += data.size

    def keep(self) -> str:
        """Give the file its name, unless it is there unharmed.

        Returns:
            Its sha256.
        """
        digest = self._digest.hexdigest()
        path = token_path(self._cache, digest)
        if not (path.is_file() and sha256(path) == digest):
            self._file.flush()
            os.fsync(self._file.fileno())
            os.replace(self._temporary, path)  # noqa: PTH105
        if path.stat().st_size >= LARGE:
            _note_check(path, digest)
        return digest


def store(cache: Path, content: bytes) -> str:
    """Put the bytes of a token file into the cache unless it is there unharmed.

    Args:
        cache: Folder, made if missing.
        content: The file's bytes.

    Returns:
        Their sha256.
    """
    with TokenFile(cache, "uint8") as file:
        file.write(np.frombuffer(content, dtype=np.uint8))
        return file.keep()


def token_path(cache: Path, digest: str) -> Path:
    """The token file with this sha256."""
    return cache / f"tokens-{digest}.bin"


def is_whole(path: Path, digest: str) -> bool:
    """Whether a token file still has its sha256; a large one is hashed, and the check noted for attempts."""
    if not path.is_file() or _hashed(path) != digest:
        return False
    if path.stat().st_size >= LARGE:
        _note_check(path, digest)
    return True


def was_checked(path: Path, digest: str) -> bool:
    """Whether a large token file is untouched since it was last hashed, without reading it."""
    if path.stat().st_size < LARGE:
        return False
    try:
        return bool(json.loads(_check_path(path, digest).read_text()) == _stamp(path))
    except (OSError, ValueError):
        return False


def remember(cache: Path, key: str, value: Mapping[str, Any]) -> None:
    """Keep what came of preparing inputs.

    Args:
        cache: Folder, made if missing.
        key: Hash of the inputs.
        value: JSON values.
    """
    text = json.dumps(value, sort_keys=True)
    put(cache, f"prepared-{key}.json", json.dumps({"sha256": _digest(text), "value": text}).encode())


def recall(cache: Path, key: str) -> dict[str, Any] | None:
    """What came of the same inputs before; None when nothing did, or what was kept is damaged."""
    try:
        kept = json.loads((cache / f"prepared-{key}.json").read_bytes())
        return dict(json.loads(kept["value"])) if kept["sha256"] == _digest(kept["value"]) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def put(cache: Path, name: str, content: bytes) -> Path:
    """Write a file into the cache; it appears whole or not at all."""
    cache.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=cache, prefix=f".{name[:20]}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, cache / name)  # noqa: PTH105
    finally:
        Path(temporary).unlink(missing_ok=True)
    return cache / name


def sha256(path: Path) -> str:
    """Hash of a file's content, once per process as long as size, times and inode stay."""
    stat = path.stat()
    return _sha256_of(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


@functools.lru_cache(maxsize=8)
def _sha256_of(path: Path, *_identity: int) -> str:
    return _hashed(path)


def _hashed(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _note_check(path: Path, digest: str) -> None:
    put(path.parent, _check_path(path, digest).name, json.dumps(_stamp(path)).encode())


def _check_path(path: Path, digest: str) -> Path:
    return path.with_name(f"checked-{digest}.json")


def _stamp(path: Path) -> dict[str, int]:
    """Changes whenever the file is written to or replaced."""
    stat = path.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "ctime_ns": stat.st_ctime_ns, "inode": stat.st_ino}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
