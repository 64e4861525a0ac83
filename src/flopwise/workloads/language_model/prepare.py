"""From the config's text to the pin of a token file: written now, or remembered from the same files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flopwise.errors import WorkloadError
from flopwise.training import token_files
from flopwise.training.datasets import Part, Pin
from flopwise.training.evaluate import excerpts
from flopwise.training.token_files import Tokens
from flopwise.workloads.language_model import checkpoint
from flopwise.workloads.language_model.config import DataConfig, LanguageModelConfig
from flopwise.workloads.language_model.counts import different_tokens
from flopwise.workloads.language_model.parts import Inputs, gather
from flopwise.workloads.language_model.writing import DataContext, Writing

NOT_TOKENS = ("valid_tokens", "valid_span")
"""Settings that the token file does not depend on."""


def prepare(config: Mapping[str, Any], context: DataContext) -> dict[str, Any]:
    """Write the tokens into the cache, unless the same files gave them before.

    The pin also keeps the folder that the study was started in, so that ``flopwise resume`` may be called
    from anywhere.

    Args:
        config: The study's base config.
        context: Its ``cache`` is where the tokens go; its ``data`` is the pin of an earlier session, or empty.

    Returns:
        The pin of the data.

    Raises:
        WorkloadError: If there is no text, a file is not what it should be, or there is too little of it; if the
            checkpoint to go on from is of another config.
    """
    whole = LanguageModelConfig.model_validate(config)
    data = whole.data
    _check_metric(data, context)
    folder = _folder(data, context)
    context.progress("reading the standard library" if data.source == "stdlib" else "reading the files")
    keys = ["data"] if data.source != "mixture" else [f"data.mixture.{i}" for i in range(len(data.mixture))]
    inputs = [gather(source, key, folder) for source, key in zip(data.sources, keys, strict=True)]
    writing = Writing(data, inputs, folder, context)
    key = writing.key()
    kept = token_files.recall(context.cache, key)
    if kept is None or not token_files.is_whole(token_files.token_path(context.cache, kept["sha256"]), kept["sha256"]):
        kept = writing.write()
        token_files.remember(context.cache, key, kept)
    context.progress("tokens are ready", done=kept["tokens"], total=kept["tokens"])
    pin = _pin(whole, inputs, folder, kept, context.cache)
    checkpoint.check(whole, pin)
    return pin.to_json()


def mean_bytes(valid: Tokens, data: DataConfig, byte_lengths: Sequence[int]) -> float:
    """Mean bytes of text that the held-out targets stand for: exactly those that the loss is taken over."""
    lengths = np.array(byte_lengths, dtype=np.int64)
    windows = excerpts(len(valid), data.valid_tokens, data.valid_span)
    total = sum(int(lengths[valid[w.start + 1 : w.start + w.length + 1]].sum()) for w in windows)
    return total / data.valid_tokens


def _pin(
    whole: LanguageModelConfig, inputs: Sequence[Inputs], folder: Path, kept: Mapping[str, Any], cache: Path
) -> Pin:
    data = whole.data
    parts = tuple(Part(**part) for part in kept["parts"])
    train, valid = sum(part.train_tokens for part in parts), sum(part.valid_tokens for part in parts)
    _check_sizes(whole, parts)
    tokens = np.memmap(token_files.token_path(cache, kept["sha256"]), dtype=kept["dtype"], mode="r")
    lengths = kept["byte_lengths"]
    default = data.source == "stdlib" and data.tokenizer == "byte"
    return Pin(
        sha256=kept["sha256"],
        tokens=train + valid,
        train_tokens=train,
        valid_tokens=valid,
        vocabulary=different_tokens(data),
        bytes_per_token=None if lengths is None else mean_bytes(tokens[train:], data, lengths),
        dtype=kept["dtype"],
        source=data.source,
        version=", ".join(dict.fromkeys(each.version for each in inputs if each.version)),
        tokenizer=data.tokenizer,
        documents=sum(part.documents for part in parts),
        valid_documents=sum(part.valid_documents for part in parts),
        valid_fraction=data.valid_fraction,
        split_seed=data.split_seed,
        tokenizer_sha256=kept["tokenizer_sha256"],
        started_in=str(folder) if _has_paths(data) else "",
        parts=() if default else parts,
        settings={} if default else settings(data),
    )


def settings(data: DataConfig) -> dict[str, Any]:
    """Settings that differ from the defaults, and must not differ between trials; JSON values."""
    given, defaults = data.model_dump(mode="json"), DataConfig().model_dump(mode="json")
    counted = data.tokenizer in ("bpe", "gpt2")
    names = [name for name in given if name not in NOT_TOKENS or counted]
    return {name: given[name] for name in names if given[name] != defaults[name] or name in NOT_TOKENS}


def _check_sizes(whole: LanguageModelConfig, parts: Sequence[Part]) -> None:
    """Enough to train on in every part, and enough held out in all."""
    data, length = whole.data, whole.train.sequence_length
    valid, total = sum(p.valid_tokens for p in parts), sum(p.valid_tokens + p.train_tokens for p in parts)
    if valid <= data.valid_tokens:
        documents = sum(part.documents for part in parts)
        raise WorkloadError(
            "too little text is held out",
            expected=f"at least {data.valid_tokens + 1} tokens",
            got=f"{valid} of {total} tokens ({documents} documents, which are held out whole, or by valid_files)",
            where="data.valid_tokens",
            fix="lower data.valid_tokens, raise data.valid_fraction, or name more files",
        )
    for index, part in enumerate(parts):
        if part.train_tokens <= length:
            raise WorkloadError(
                "the training text is shorter than a sequence",
                expected=f"at least {length + 1} tokens",
                got=str(part.train_tokens),
                where=f"data.mixture.{index}" if len(parts) > 1 else "data.files",
                fix="lower train.sequence_length or data.valid_fraction, or name more files",
            )


def _check_metric(data: DataConfig, context: DataContext) -> None:
    if data.tokenizer == "ids" and getattr(context, "metric", "") == "val_bits_per_byte":
        raise WorkloadError(
            "val_bits_per_byte cannot be known for tokens of an unknown tokenizer",
            expected="objective.metric: val_loss",
            where="data.tokenizer",
            fix="say tokenizer: gpt2 if the shards hold its tokens",
        )


def _folder(data: DataConfig, context: DataContext) -> Path:
    """What relative paths are relative to; asked for only where there are paths."""
    if not _has_paths(data):
        return context.cache
    return Path(context.data.get("started_in") or context.started_in).resolve()


def _has_paths(data: DataConfig) -> bool:
    return bool(data.tokenizer_files) or any(source.files for source in data.sources)
