"""Making the token file: read the sources, divide them, train a tokenizer where asked, encode, write."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from flopwise.errors import WorkloadError
from flopwise.training import token_files
from flopwise.training.datasets import Part
from flopwise.training.token_files import TokenFile, Tokens
from flopwise.workload import Context
from flopwise.workloads.language_model import tokenizer as tokenizers
from flopwise.workloads.language_model.config import DataConfig
from flopwise.workloads.language_model.counts import different_tokens
from flopwise.workloads.language_model.parts import Inputs, Material, load
from flopwise.workloads.language_model.tokenizer import Tokenizer

FORMAT = 1
"""Part of every key in the cache: raise it when the same inputs give other tokens."""


class DataContext(Context, Protocol):
    """What preparing needs beyond the context of every workload.

    Attributes:
        metric: Name of the metric the study needs.
        started_in: Working directory of the coordinator.
    """

    metric: str
    started_in: Path


@dataclass(frozen=True)
class Writing:
    """Everything that making the tokens needs.

    Args:
        data: The config's section.
        inputs: Of every source.
        folder: What relative paths are relative to.
        context: Hears the progress.
    """

    data: DataConfig
    inputs: Sequence[Inputs]
    folder: Path
    context: DataContext

    def key(self) -> str:
        """Hash of all that the tokens depend on; the content of files is, their names and times are not."""
        return _digest(
            {
                **self._divided(),
                "tokenizer": self._tokenizer_identity(),
                "weights": [each.source.weight for each in self.inputs],
            }
        )

    def write(self) -> dict[str, Any]:
        """Make tokens of everything.

        Returns:
            What there is to know about the token file; JSON values.
        """
        cache = self.context.cache
        cache.mkdir(parents=True, exist_ok=True)
        vocabulary = different_tokens(self.data)
        materials = [load(each, self.data, vocabulary, cache) for each in self.inputs]
        tokenizer = self._tokenizer(materials)
        dtype = "uint8" if vocabulary <= 1 << 8 else "uint16" if vocabulary <= 1 << 16 else "uint32"
        with TokenFile(cache, dtype) as file:
            train = [self._copy(each.train.tokens(tokenizer), file) for each in materials]
            valid = self._held_out(materials, tokenizer, file, dtype)
            sha256 = file.keep()
        parts = [_part(*each) for each in zip(self.inputs, materials, train, valid, strict=True)]
        return {
            "sha256": sha256,
            "tokens": sum(train) + sum(valid),
            "dtype": dtype,
            "tokenizer_sha256": tokenizer.sha256,
            "byte_lengths": None if tokenizer.byte_lengths is None else list(tokenizer.byte_lengths),
            "parts": [asdict(part) for part in parts],
        }

    def _divided(self) -> dict[str, Any]:
        """What the training documents depend on."""
        how = {"valid_fraction": self.data.valid_fraction, "split_seed": self.data.split_seed, "format": FORMAT}
        return {**how, "inputs": [each.identity() for each in self.inputs]}

    def _tokenizer_identity(self) -> list[Any]:
        name = self.data.tokenizer
        version = tokenizers.library_version() if name in ("bpe", "gpt2") else ""
        files = [_sha256(path) for path in self._gpt2_files()] if name == "gpt2" else []
        return [name, different_tokens(self.data), version, files]

    def _gpt2_files(self) -> tuple[Path, Path]:
        return tokenizers.gpt2_files(self.data.tokenizer_files, self.folder, self.context.cache)

    def _tokenizer(self, materials: Sequence[Material]) -> Tokenizer:
        match self.data.tokenizer:
            case "byte":
                return tokenizers.bytes_tokenizer()
            case "gpt2":
                return tokenizers.gpt2_tokenizer(self._gpt2_files(), different_tokens(self.data))
            case "ids":
                return tokenizers.ids_tokenizer(different_tokens(self.data))
            case "bpe":
                return tokenizers.bpe_tokenizer(self._trained(materials))

    def _trained(self, materials: Sequence[Material]) -> str:
        """The file of the tokenizer that this text gives: from the cache, or trained now."""
        cache = self.context.cache
        key = _digest({**self._divided(), "tokenizer": self._tokenizer_identity(), "trained": True})
        kept = token_files.recall(cache, key)
        path = cache / f"tokenizer-{kept['sha256']}.json" if kept else None
        if kept and path and path.is_file() and _sha256(path) == kept["sha256"]:
            return path.read_text(encoding="utf-8")
        self.context.progress("training the tokenizer")
        file = tokenizers.train_bpe(self._heard(materials), different_tokens(self.data))
        digest = hashlib.sha256(file.encode()).hexdigest()
        token_files.put(cache, f"tokenizer-{digest}.json", file.encode())
        token_files.remember(cache, key, {"sha256": digest})
        return file

    def _heard(self, materials: Sequence[Material]) -> Iterator[bytes]:
        """The training text; told to stop, it ends with an error."""
        for material in materials:
            for text in material.train.texts():
                self._go_on()
                yield text

    def _copy(self, tokens: Iterable[Tokens], file: TokenFile) -> int:
        """Write tokens into the file; returns how many."""
        before = file.tokens
        for piece in tokens:
            self._go_on()
            file.write(piece)
            self.context.progress("writing tokens", done=file.tokens)
        return file.tokens - before

    def _held_out(self, materials: Sequence[Material], tokenizer: Tokenizer, file: TokenFile, dtype: str) -> list[int]:
        """Write the held-out tokens; of a mixture, of each part as many as its weight asks for."""
        if len(materials) == 1:
            return [self._copy(materials[0].valid.tokens(tokenizer), file)]
        with tempfile.TemporaryDirectory(dir=self.context.cache, prefix=".held-out-") as folder:
            paths = [Path(folder) / str(index) for index in range(len(materials))]
            for path, material in zip(paths, materials, strict=True):
                with path.open("wb") as held_out:
                    for piece in material.valid.tokens(tokenizer):
                        self._go_on()
                        held_out.write(np.ascontiguousarray(piece, dtype=dtype).data)
            counts = [path.stat().st_size // np.dtype(dtype).itemsize for path in paths]
            kept = shares(counts, [each.source.weight for each in self.inputs])
            for path, count in zip(paths, kept, strict=True):
                if count:
                    self._copy([np.memmap(path, dtype=dtype, mode="r", shape=(count,))], file)
        return kept

    def _go_on(self) -> None:
        if self.context.should_stop():
            raise WorkloadError("preparing the data was interrupted", fix="resume the run")


def shares(counts: Sequence[int], weights: Sequence[float]) -> list[int]:
    """How many held-out tokens each part of a mixture keeps: in the ratio of the weights, as many as there are.

    Example:
        >>> shares([100, 1000], weights=[1.0, 3.0])
        [100, 300]
    """
    scale = min(count / weight for count, weight in zip(counts, weights, strict=True))
    return [min(count, round(scale * weight)) for count, weight in zip(counts, weights, strict=True)]


def _part(inputs: Inputs, material: Material, train: int, valid: int) -> Part:
    return Part(
        source=inputs.source.source,
        weight=inputs.source.weight,
        train_tokens=train,
        valid_tokens=valid,
        documents=material.documents,
        valid_documents=material.valid_documents,
        files=material.files,
        empty_files=material.empty_files,
        bytes=inputs.contents.bytes,
        sha256=inputs.contents.sha256,
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()
