"""Byte-level byte-pair encoding (Sennrich et al., 2016; Radford et al., GPT-2, 2019) by the library ``tokenizers``.

Text is cut by GPT-2's pattern into words, and words into tokens; every byte is a token, so nothing is
unknown. The end of a document is a token that no text gives, not even the text that spells its name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, pre_tokenizers, trainers

from flopwise.errors import WorkloadError
from flopwise.training.token_files import Tokens
from flopwise.workloads.language_model.tokenizer import Tokenizer

VERSION = f"tokenizers {version('tokenizers')}"
END = "<|endoftext|>"
LEAST_COUNT = 2
"""A pair that stands only once in the text becomes no token."""


def train(texts: Iterable[bytes], vocabulary: int) -> str:
    """The JSON file of a tokenizer trained on texts; the end of a document is the last of its tokens.

    The same texts, in any order, give the same file.

    Args:
        texts: UTF-8.
        vocabulary: Tokens to have, the end of a document included.

    Raises:
        WorkloadError: If the texts do not give so many.
    """
    library = _byte_level(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - 1,
        min_frequency=LEAST_COUNT,
        show_progress=False,
        special_tokens=[],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    library.train_from_iterator((text.decode() for text in texts), trainer)
    found = library.get_vocab_size() + 1
    if found != vocabulary:
        raise WorkloadError(
            "the training text is too small for so many tokens",
            expected=f"{vocabulary} tokens",
            got=f"{found}, with all pairs merged that stand in it {LEAST_COUNT} times",
            where="data.vocabulary",
            fix=f"lower data.vocabulary to {found} or less",
        )
    return library.to_str()


def trained(file: str) -> Tokenizer:
    """The tokenizer of a file that :func:`train` made."""
    library = Library.from_str(file)
    tokens = library.get_vocab()
    return _tokenizer(library, tokens, end=len(tokens), digest=hashlib.sha256(file.encode()).hexdigest())


def gpt2(encoder: Path, merges: Path, vocabulary: int) -> Tokenizer:
    """GPT-2's tokenizer.

    Args:
        encoder: Its ``encoder.json``: token to id.
        merges: Its ``vocab.bpe``: pairs to merge, most important first.
        vocabulary: How many tokens it must have.

    Raises:
        WorkloadError: If the files are not a tokenizer of so many tokens.
    """
    try:
        tokens = dict(json.loads(encoder.read_bytes()))
        lines = merges.read_text(encoding="utf-8").split("\n")
        pairs = [(a, b) for a, b in (line.split(" ") for line in lines if line and not line.startswith("#version"))]
        library = _byte_level(models.BPE(vocab={k: v for k, v in tokens.items() if k != END}, merges=pairs))
    except Exception as error:
        raise _no_tokenizer(encoder, merges, f"{type(error).__name__}: {error}") from error
    missing = {END, *pre_tokenizers.ByteLevel.alphabet()} - tokens.keys()
    if missing or sorted(tokens.values()) != list(range(vocabulary)):
        lacks = f", without {', '.join(sorted(missing)[:3])}" if missing else ""
        raise _no_tokenizer(encoder, merges, f"{len(tokens)} tokens{lacks}")
    digest = hashlib.sha256(encoder.read_bytes() + merges.read_bytes()).hexdigest()
    return _tokenizer(library, {k: v for k, v in tokens.items() if k != END}, tokens[END], digest)


def _byte_level(model: models.Model) -> Library:
    library = Library(model)
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    return library


def _tokenizer(library: Library, tokens: dict[str, int], end: int, digest: str) -> Tokenizer:
    """One character of a token's name stands for one byte."""
    lengths = [1] * (len(tokens) + 1)
    for name, number in tokens.items():
        lengths[number] = len(name)

    def encode(texts: Sequence[bytes]) -> Iterator[Tokens]:
        for encoding in library.encode_batch_fast([text.decode() for text in texts], add_special_tokens=False):
            yield np.array([*encoding.ids, end], dtype=np.int64)

    return Tokenizer(len(lengths), digest, lengths, encode)


def _no_tokenizer(encoder: Path, merges: Path, got: str) -> WorkloadError:
    return WorkloadError(
        "these files are not GPT-2's tokenizer",
        expected="encoder.json with 50257 tokens and vocab.bpe with 50000 pairs",
        got=got,
        where=f"{encoder}, {merges}",
        fix="fetch them again, and name them in data.tokenizer_files",
    )
