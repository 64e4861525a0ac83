"""Data settings that do not go together: every one is named, none is silently ignored. No torch here."""

from __future__ import annotations

from collections.abc import Iterator

from flopwise.errors import Problem
from flopwise.workloads.language_model.config import DataConfig, SourceConfig

SMALLEST_BPE = 257
"""All bytes, and the end of a document."""
SHARD_IDS = 1 << 16
"""What 16 bits can tell apart."""
_TOP = ("files", "valid_files", "text_field")


def data_problems(data: DataConfig) -> Iterator[Problem]:
    """Everything that is wrong with how text and tokenizer are put together."""
    yield from _mixture_problems(data)
    if data.source != "mixture":
        yield from _source_problems(data.sources[0], "data.")
    for index, source in enumerate(data.mixture if data.source == "mixture" else ()):
        yield from _source_problems(source, f"data.mixture.{index}.")
    yield from _tokenizer_problems(data)
    yield from _vocabulary_problems(data)
    yield from _split_problems(data)


def _mixture_problems(data: DataConfig) -> Iterator[Problem]:
    if data.source != "mixture":
        if data.mixture:
            yield Problem("data.mixture", f"means nothing with source: {data.source}; say source: mixture, or drop it")
        return
    if len(data.mixture) < 2:
        example = "[{source: text, files: [a/*.txt], weight: 2}, {source: stdlib, weight: 1}]"
        yield Problem("data.mixture", f"expected at least 2 sources, got {len(data.mixture)}; for example {example}")
    for name in _TOP:
        if getattr(data, name):
            yield Problem(f"data.{name}", f"means nothing with source: mixture; give {name} to a source in the mixture")


def _source_problems(source: SourceConfig, prefix: str) -> Iterator[Problem]:
    if source.source == "stdlib":
        for name in _TOP:
            if getattr(source, name):
                yield Problem(
                    f"{prefix}{name}", "means nothing with source: stdlib; say source: text or bin, or drop it"
                )
        return
    if not source.files:
        example = "[corpus/**/*.txt]" if source.source == "text" else "[fineweb_train_*.bin]"
        yield Problem(f"{prefix}files", f"missing: which files to read; for example {example}")
    for name in ("files", "valid_files"):
        for index, pattern in enumerate(getattr(source, name)):
            if not pattern.strip() or "\0" in pattern:
                yield Problem(f"{prefix}{name}.{index}", f"expected a path or a glob, got {pattern!r:.60}")
    if source.source == "bin" and source.text_field is not None:
        yield Problem(f"{prefix}text_field", "means nothing with source: bin, which holds tokens; drop it")


def _tokenizer_problems(data: DataConfig) -> Iterator[Problem]:
    kinds = {source.source for source in data.sources}
    if "bin" in kinds and data.tokenizer == "bpe":
        message = "bpe is trained here, so no shard can hold its tokens; expected byte, gpt2 or ids for source: bin"
        yield Problem("data.tokenizer", message)
    if kinds - {"bin"} and data.tokenizer == "ids":
        yield Problem("data.tokenizer", "ids makes no tokens from text; expected byte, bpe or gpt2")
    files = len(data.tokenizer_files)
    if files and data.tokenizer != "gpt2":
        yield Problem("data.tokenizer_files", f"means nothing with tokenizer: {data.tokenizer}; drop it or say gpt2")
    elif files == 1:
        yield Problem("data.tokenizer_files", "expected two files, encoder.json and vocab.bpe, got 1")


def _vocabulary_problems(data: DataConfig) -> Iterator[Problem]:
    given, name = data.vocabulary, "data.vocabulary"
    if data.tokenizer in ("byte", "gpt2"):
        if given is not None:
            yield Problem(
                name, f"means nothing with tokenizer: {data.tokenizer}, which has its own; drop it or say bpe"
            )
    elif data.tokenizer == "bpe":
        if given is not None and given < SMALLEST_BPE:
            least = f"{SMALLEST_BPE}: 256 bytes and the end of a document"
            yield Problem(name, f"expected at least {least}, got {given}")
    elif given is None:
        yield Problem(name, "missing: how many different tokens the shards hold; for example 50257")
    elif given > SHARD_IDS:
        yield Problem(name, f"expected at most {SHARD_IDS}, which is what shards of 16-bit tokens hold, got {given}")


def _split_problems(data: DataConfig) -> Iterator[Problem]:
    defaults = DataConfig.model_fields
    if data.split_seed != defaults["split_seed"].default and not any(_is_shuffled(each) for each in data.sources):
        yield Problem("data.split_seed", "means nothing here: no documents are drawn to be held out; drop it")
    if data.valid_fraction != defaults["valid_fraction"].default and all(each.valid_files for each in data.sources):
        yield Problem("data.valid_fraction", "means nothing beside valid_files, all of which is held out; drop one")


def _is_shuffled(source: SourceConfig) -> bool:
    """Whether the held-out documents are drawn; of shards the end is held out."""
    return source.source != "bin" and not source.valid_files
