"""Token datasets: one content-addressed file, memory-mapped, pinned by its hash.

A dataset is written once to ``cache/tokens-<sha256>.bin``: the training tokens, then the held-out
ones. Its :class:`Pin` goes into the run's record; a training opens the file by its pin and checks it.
A mixture has several parts: the training tokens of one after those of the other, then what each holds out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flopwise.errors import WorkloadError
from flopwise.seeds import derive, stream
from flopwise.training import token_files
from flopwise.training.token_files import Tokens, store

__all__ = ["Dataset", "Part", "Pin", "Tokens", "batch_at", "mixed_batch_at", "open_dataset", "split", "store"]


@dataclass(frozen=True)
class Part:
    """What one source of text gave.

    Args:
        source: As the config names it.
        weight: As the config gives it; the share of training sequences that start here is proportional.
        train_tokens: Of this part.
        valid_tokens: Of this part.
        documents: In both.
        valid_documents: Held out.
        files: That were read.
        empty_files: Matched by a pattern and left out.
        bytes: Of the files.
        sha256: Of the files' sha256, in order.
    """

    source: str
    weight: float
    train_tokens: int
    valid_tokens: int
    documents: int
    valid_documents: int
    files: int
    empty_files: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Pin:
    """What a dataset is, to the last bit.

    Args:
        sha256: Of the file.
        tokens: In the file.
        train_tokens: At its beginning.
        valid_tokens: The rest, held out.
        vocabulary: How many different tokens there are.
        bytes_per_token: Mean bytes of text a held-out token stands for; None when that is not known.
        dtype: Numpy name of a token's type.
        source: Where the text comes from, as the config names it.
        version: What the text depends on, for example ``cpython 3.11.7``.
        tokenizer: As the config names it.
        documents: In both parts.
        valid_documents: Held out.
        valid_fraction: Share that was asked to be held out.
        split_seed: Which documents are held out.
        tokenizer_sha256: Of the tokenizer's file; empty where it has none.
        started_in: What relative paths are relative to; empty when there are none.
        parts: Where the tokens come from; empty for the standard library as bytes.
        settings: Settings of the data that are not the workload's defaults, for the same cases.
    """

    sha256: str
    tokens: int
    train_tokens: int
    valid_tokens: int
    vocabulary: int
    bytes_per_token: float | None
    dtype: str
    source: str
    version: str
    tokenizer: str
    documents: int
    valid_documents: int
    valid_fraction: float
    split_seed: int
    tokenizer_sha256: str = ""
    started_in: str = ""
    parts: tuple[Part, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A mapping of JSON values; what is empty and may be missing is left out."""
        found = {**asdict(self), "parts": [asdict(part) for part in self.parts]}
        return {name: value for name, value in found.items() if value or name not in _MAY_LACK}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Pin:
        """Inverse of :meth:`to_json`.

        Raises:
            WorkloadError: If it is not the pin of a token dataset.
        """
        names = {f.name for f in fields(cls)}
        if not names - _MAY_LACK <= set(data) <= names:
            wrong = sorted((names - _MAY_LACK) - set(data) | set(data) - names)
            raise WorkloadError(
                "this is not the pin of a token dataset",
                expected="the keys " + ", ".join(sorted(names - _MAY_LACK)),
                got=f"a difference in {', '.join(wrong)}" if data else "no data",
                fix="prepare the data first",
            )
        return cls(**{**data, "parts": tuple(Part(**part) for part in data.get("parts", ()))})

    def path(self, cache: Path) -> Path:
        """The dataset's file in a cache folder."""
        return token_files.token_path(cache, self.sha256)


_MAY_LACK = frozenset({"tokenizer_sha256", "started_in", "parts", "settings"})


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

    def batch(self, seed: int, step: int, batch_size: int, sequence_length: int) -> NDArray[np.int64]:
        """The training batch of one step; see :func:`batch_at` and :func:`mixed_batch_at`."""
        if len(self.pin.parts) < 2:
            return batch_at(self.train, seed, step, batch_size, sequence_length)
        return mixed_batch_at(self.train, self.pin.parts, seed, step, batch_size, sequence_length)


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


def open_dataset(cache: Path, data: Mapping[str, Any]) -> Dataset:
    """Map a dataset into memory, after checking that it is the pinned one.

    A large file is not hashed again while it is untouched since the last session hashed it.

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
    if not token_files.was_checked(path, pin.sha256):
        digest = token_files.sha256(path)
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
    starts = _generator(seed, step).integers(_places(len(tokens), sequence_length), size=batch_size)
    return _windows(tokens, starts, sequence_length)


def mixed_batch_at(
    tokens: Tokens, parts: Sequence[Part], seed: int, step: int, batch_size: int, sequence_length: int
) -> NDArray[np.int64]:
    """As :func:`batch_at`, for a mixture: each sequence picks a part by weight, then a place inside it.

    Args:
        tokens: Training tokens of all parts, one after the other.
        parts: In the same order.
        seed: The attempt's seed.
        step: From 0.
        batch_size: Sequences.
        sequence_length: Tokens of a sequence.

    Raises:
        WorkloadError: If a part has fewer tokens than one window needs.
    """
    places = np.array([_places(part.train_tokens, sequence_length) for part in parts])
    begins = np.cumsum([0, *(part.train_tokens for part in parts[:-1])])
    shares = np.cumsum([part.weight for part in parts])
    draws = _generator(seed, step).random((2, batch_size))
    picked = np.searchsorted(shares[:-1] / shares[-1], draws[0], side="right")
    starts = begins[picked] + (draws[1] * places[picked]).astype(np.int64)
    return _windows(tokens, starts, sequence_length)


def _generator(seed: int, step: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=derive(seed, "batches"), counter=[0, 0, 0, step]))


def _windows(tokens: Tokens, starts: NDArray[np.int64], sequence_length: int) -> NDArray[np.int64]:
    return np.asarray(tokens[starts[:, None] + np.arange(sequence_length + 1)], dtype=np.int64)


def _places(tokens: int, sequence_length: int) -> int:
    """Where a window may start."""
    if tokens <= sequence_length:
        raise WorkloadError(
            "the training text is shorter than a sequence",
            expected=f"at least {sequence_length + 1} tokens",
            got=str(tokens),
            fix="lower train.sequence_length or data.valid_fraction",
        )
    return tokens - sequence_length


def _damaged(path: Path, expected: str, got: str) -> WorkloadError:
    return WorkloadError(
        "the prepared data is not what was prepared",
        expected=expected,
        got=got,
        where=str(path),
        fix="remove the file and resume the run",
    )
