"""Token datasets: one content-addressed file, memory-mapped, pinned by its hash.

A dataset is written once to ``cache/tokens-<sha256>.bin``: the training tokens, then the held-out
ones. Its :class:`Pin` goes into the run's record; a training opens the file by its pin and checks it.
"""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flopwise.errors import WorkloadError
from flopwise.seeds import derive, stream

Tokens = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Pin:
    """What a dataset is, to the last bit.

    Args:
        sha256: Of the file.
        tokens: In the file.
        train_tokens: At its beginning.
        valid_tokens: The rest, held out.
        vocabulary: How many different tokens there are.
        bytes_per_token: Mean bytes of text a held-out token stands for.
        dtype: Numpy name of a token's type.
        source: Where the text comes from, as the config names it.
        version: What the text depends on, for example ``cpython 3.11.7``.
        tokenizer: As the config names it.
        documents: In both parts.
        valid_documents: Held out.
        valid_fraction: Share that was asked to be held out.
        split_seed: Which documents are held out.
    """

    sha256: str
    tokens: int
    train_tokens: int
    valid_tokens: int
    vocabulary: int
    bytes_per_token: float
    dtype: str
    source: str
    version: str
    tokenizer: str
    documents: int
    valid_documents: int
    valid_fraction: float
    split_seed: int

    def to_json(self) -> dict[str, Any]:
        """A mapping of JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Pin:
        """Inverse of :meth:`to_json`.

        Raises:
            WorkloadError: If it is not the pin of a token dataset.
        """
        names = {f.name for f in fields(cls)}
        if set(data) != names:
            wrong = sorted(names ^ set(data))
            raise WorkloadError(
                "this is not the pin of a token dataset",
                expected="exactly the keys " + ", ".join(sorted(names)),
                got=f"a difference in {', '.join(wrong)}" if data else "no data",
                fix="prepare the data first",
            )
        return cls(**data)

    def path(self, cache: Path) -> Path:
        """The dataset's file in a cache folder."""
        return cache / f"tokens-{self.sha256}.bin"


@dataclass(frozen=True)
class Dataset:
    """An opened dataset.

    Args:
        train: Training tokens, memory-mapped.
        valid: Held-out tokens, memory-mapped.
        pin: What was opened.
    """

    train: Tokens
    valid: Tokens
    pin: Pin


def split(lengths: Sequence[int], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Divide documents into training and held-out ones.

    Documents are shuffled; each is held out if the held-out part still has room for all of it, so no
    single long document can fill it.

    Args:
        lengths: Tokens of each document.
        fraction: Share of all tokens to hold out.
        seed: Of the shuffle.

    Returns:
        Indexes of training and of held-out documents, in shuffled order.

    Example:
        >>> split([5, 5, 80, 5, 5], fraction=0.1, seed=1)
        ([1, 2, 3], [0, 4])
    """
    order = list(range(len(lengths)))
    stream(seed, "split").shuffle(order)
    room = fraction * sum(lengths)
    train: list[int] = []
    valid: list[int] = []
    for index in order:
        fits = lengths[index] <= room
        room -= lengths[index] if fits else 0
        (valid if fits else train).append(index)
    return train, valid


def store(cache: Path, content: bytes) -> str:
    """Put a token file into the cache unless it is there unharmed; it appears whole or not at all.

    Args:
        cache: Folder, made if missing.
        content: The file's bytes.

    Returns:
        Their sha256.
    """
    digest = hashlib.sha256(content).hexdigest()
    path = cache / f"tokens-{digest}.bin"
    cache.mkdir(parents=True, exist_ok=True)
    if path.is_file() and _sha256(path) == digest:
        return digest
    handle, temporary = tempfile.mkstemp(dir=cache, prefix=".tokens-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105
    finally:
        Path(temporary).unlink(missing_ok=True)
    return digest


def open_dataset(cache: Path, data: Mapping[str, Any]) -> Dataset:
    """Map a dataset into memory, after checking that it is the pinned one.

    Args:
        cache: Folder that holds it.
        data: The pin, as JSON.

    Raises:
        WorkloadError: If the file is missing, or its size or hash is not the pin's.
    """
    pin = Pin.from_json(data)
    path = pin.path(cache)
    size = pin.tokens * np.dtype(pin.dtype).itemsize
    if not path.is_file():
        raise WorkloadError("the prepared data is missing", expected=str(path), fix="resume the run to prepare it anew")
    if path.stat().st_size != size:
        raise _damaged(path, f"{size} bytes", f"{path.stat().st_size} bytes")
    digest = _sha256(path)
    if digest != pin.sha256:
        raise _damaged(path, f"sha256 {pin.sha256}", f"sha256 {digest}")
    tokens = np.memmap(path, dtype=pin.dtype, mode="r")
    return Dataset(tokens[: pin.train_tokens], tokens[pin.train_tokens :], pin)


def batch_at(tokens: Tokens, seed: int, step: int, batch_size: int, sequence_length: int) -> NDArray[np.int64]:
    """The training batch of one step: windows at random places, a pure function of seed and step.

    Args:
        tokens: Training tokens.
        seed: The attempt's seed.
        step: From 0.
        batch_size: Sequences.
        sequence_length: Tokens of a sequence.

    Returns:
        Tokens of shape ``(batch_size, sequence_length + 1)``: inputs and, one to the right, targets.

    Raises:
        WorkloadError: If there are fewer tokens than one window needs.
    """
    places = len(tokens) - sequence_length
    if places < 1:
        raise WorkloadError(
            "the training text is shorter than a sequence",
            expected=f"at least {sequence_length + 1} tokens",
            got=str(len(tokens)),
            fix="lower train.sequence_length or data.valid_fraction",
        )
    generator = np.random.Generator(np.random.Philox(key=derive(seed, "batches"), counter=[0, 0, 0, step]))
    starts = generator.integers(places, size=batch_size)
    window = np.arange(sequence_length + 1)
    return np.asarray(tokens[starts[:, None] + window], dtype=np.int64)


def _damaged(path: Path, expected: str, got: str) -> WorkloadError:
    return WorkloadError(
        "the prepared data is not what was prepared",
        expected=expected,
        got=got,
        where=str(path),
        fix="remove the file and resume the run",
    )


def _sha256(path: Path) -> str:
    stat = path.stat()
    return _sha256_of(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)


@functools.lru_cache(maxsize=8)
def _sha256_of(path: Path, *_identity: int) -> str:
    """Hash of a file, once per process as long as size, time and inode stay."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
