"""Tokenizers: what makes tokens of text. The libraries behind some of them are loaded only when they are needed."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flopwise.errors import WorkloadError
from flopwise.registry import resolve
from flopwise.training.token_files import Tokens

BPE = "flopwise.workloads.language_model.bpe"
BYTE_END = b"\0"
"""Follows every document of bytes; hardly any text holds this byte."""
GPT2_SHA256 = (
    "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
)
"""Of encoder.json and vocab.bpe, as they were published with GPT-2 (tiktoken checks the same)."""
TIKTOKEN = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"
"""tiktoken names a file in its cache by the sha1 of its address."""


@dataclass(frozen=True)
class Tokenizer:
    """What makes tokens of text.

    Args:
        vocabulary: Different tokens.
        sha256: Of its file; empty where it has none.
        byte_lengths: Bytes of text that each token stands for, the end of a document counting as one; None
            when that is not known.
        encode: Tokens of each document, its end included; None when it makes none.
    """

    vocabulary: int
    sha256: str
    byte_lengths: Sequence[int] | None
    encode: Callable[[Sequence[bytes]], Iterator[Tokens]] | None


def bytes_tokenizer() -> Tokenizer:
    """One token a byte."""

    def encode(texts: Sequence[bytes]) -> Iterator[Tokens]:
        return (np.frombuffer(text + BYTE_END, dtype=np.uint8) for text in texts)

    return Tokenizer(256, "", [1] * 256, encode)


def ids_tokenizer(vocabulary: int) -> Tokenizer:
    """What is known about tokens whose tokenizer is not: how many there are."""
    return Tokenizer(vocabulary, "", None, None)


def gpt2_tokenizer(files: tuple[Path, Path], vocabulary: int) -> Tokenizer:
    """GPT-2's own, from its two files.

    Raises:
        WorkloadError: If they are not what they are called, or the library is missing.
    """
    return _library("gpt2")(*files, vocabulary)  # type: ignore[no-any-return]


def train_bpe(texts: Iterable[bytes], vocabulary: int) -> str:
    """The file of a byte-level BPE tokenizer, trained on texts.

    Raises:
        WorkloadError: If they do not give so many tokens, or the library is missing.
    """
    return _library("train")(texts, vocabulary)  # type: ignore[no-any-return]


def bpe_tokenizer(file: str) -> Tokenizer:
    """A tokenizer that :func:`train_bpe` made."""
    return _library("trained")(file)  # type: ignore[no-any-return]


def library_version() -> str:
    """Of the library that trains and encodes; its results may depend on it."""
    return str(_library("VERSION"))


def gpt2_files(given: Sequence[str], folder: Path, cache: Path) -> tuple[Path, Path]:
    """Where encoder.json and vocab.bpe are.

    Args:
        given: ``data.tokenizer_files``: two paths, or none to look where other programs keep them.
        folder: What relative paths are relative to.
        cache: Its ``gpt2`` folder is looked into first.

    Raises:
        WorkloadError: If they are nowhere.
    """
    if given:
        encoder, merges = sorted(
            (folder / Path(name).expanduser() for name in given), key=lambda p: p.suffix != ".json"
        )
        for path in (encoder, merges):
            if not path.is_file():
                raise _no_gpt2(f"no file {path}")
        return encoder, merges
    for encoder, merges in _gpt2_places(cache):
        if encoder.is_file() and merges.is_file() and (_sha256(encoder), _sha256(merges)) == GPT2_SHA256:
            return encoder, merges
    raise _no_gpt2(f"neither in {cache / 'gpt2'} nor where huggingface_hub and tiktoken keep them")


def _gpt2_places(cache: Path) -> Iterator[tuple[Path, Path]]:
    """Pairs of files that may be GPT-2's, in this order."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    yield cache / "gpt2" / "encoder.json", cache / "gpt2" / "vocab.bpe"
    for name in ("models--openai-community--gpt2", "models--gpt2"):
        for snapshot in sorted((hub / name / "snapshots").glob("*")) or [hub / name / "snapshots"]:
            yield snapshot / "vocab.json", snapshot / "merges.txt"
    for folder in (caches / "tiktoken", Path(tempfile.gettempdir()) / "data-gym-cache"):
        names = (hashlib.sha1(f"{TIKTOKEN}{name}".encode()).hexdigest() for name in ("encoder.json", "vocab.bpe"))
        yield folder / next(names), folder / next(names)


def _no_gpt2(got: str) -> WorkloadError:
    return WorkloadError(
        "the files of GPT-2's tokenizer are not here",
        expected="encoder.json and vocab.bpe",
        got=got,
        where="data.tokenizer_files",
        fix=f"fetch both from {TIKTOKEN} and name them, or say tokenizer: bpe (text) or ids (shards)",
    )


def _library(name: str) -> Any:
    try:
        return resolve(f"{BPE}:{name}")
    except ImportError as error:
        raise WorkloadError(
            "this tokenizer needs the package tokenizers",
            got=str(error),
            where="data.tokenizer",
            fix="pip install 'flopwise[train]', or say tokenizer: byte",
        ) from error


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
