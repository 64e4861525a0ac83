"""Token shards as modded-nanogpt and llm.c write them: a header, then one 16-bit number a token.

The header is 256 little-endian int32: the magic number 20240520, the version 1, how many tokens follow,
and zeros. The tokens are little-endian uint16.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flopwise.errors import WorkloadError

MAGIC, VERSION = 20240520, 1
HEADER = 256 * 4
"""Bytes."""
TOKEN = 2
"""Bytes."""
CHUNK = 1 << 24
"""Tokens that are looked at together."""

Shard = NDArray[np.unsignedinteger[Any]]


def open_shard(path: Path) -> Shard:
    """The tokens of a shard, memory-mapped.

    Args:
        path: The file.

    Raises:
        WorkloadError: If it is no such shard, or not a whole one.
    """
    size = path.stat().st_size
    if size == 0:
        raise _unfit(path, "the token shard is empty", f"a header of {HEADER} bytes and tokens", "0 bytes")
    if size < HEADER:
        raise _unfit(path, "the token shard ends within its header", f"at least {HEADER} bytes", f"{size} bytes")
    with path.open("rb") as file:
        magic, version, tokens = (int(n) for n in np.frombuffer(file.read(12), dtype="<i4"))
    if magic != MAGIC:
        expected = f"the magic number {MAGIC}, as modded-nanogpt writes it"
        raise _unfit(path, "this is not a token shard", expected, str(magic))
    if version != VERSION:
        raise _unfit(path, "the token shard has another version", f"version {VERSION}: 16-bit tokens", str(version))
    if tokens < 1:
        raise _unfit(path, "the token shard is empty", "at least 1 token", f"{tokens} tokens by its header")
    if size != HEADER + tokens * TOKEN:
        problem = "is truncated" if size < HEADER + tokens * TOKEN else "is longer than its header says"
        expected = f"{HEADER + tokens * TOKEN} bytes for the {tokens} tokens of its header"
        raise _unfit(path, f"the token shard {problem}", expected, f"{size} bytes")
    return np.memmap(path, dtype="<u2", mode="r", offset=HEADER, shape=(tokens,))


def check_ids(path: Path, tokens: Shard, vocabulary: int) -> None:
    """Insist that every token is one of the vocabulary's.

    Args:
        path: Where they come from.
        tokens: The tokens.
        vocabulary: How many there are; ids are below it.

    Raises:
        WorkloadError: If one is not; names the first.
    """
    for begin in range(0, len(tokens), CHUNK):
        beyond = np.flatnonzero(tokens[begin : begin + CHUNK] >= vocabulary)
        if len(beyond):
            at = begin + int(beyond[0])
            raise WorkloadError(
                "a token is beyond the vocabulary",
                expected=f"ids from 0 to {vocabulary - 1}",
                got=f"id {int(tokens[at])}",
                where=f"{path}, token {at}, offset {HEADER + at * TOKEN}",
                fix="choose the data.tokenizer that the shard was made with, or raise data.vocabulary",
            )


def write_shard(path: Path, tokens: NDArray[np.integer[Any]]) -> None:
    """Write a shard.

    Args:
        path: The file.
        tokens: Ids below 65,536.
    """
    header = np.zeros(256, dtype="<i4")
    header[:3] = MAGIC, VERSION, len(tokens)
    path.write_bytes(header.tobytes() + np.asarray(tokens).astype("<u2").tobytes())


def _unfit(path: Path, problem: str, expected: str, got: str) -> WorkloadError:
    fix = "fetch or write the file again; docs/data.md has the format"
    return WorkloadError(problem, expected=expected, got=got, where=str(path), fix=fix)
