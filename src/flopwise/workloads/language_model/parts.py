"""What the sources of a config give: documents or shards, divided into a training and a held-out part."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from flopwise.errors import WorkloadError
from flopwise.training import datasets, shards
from flopwise.training.shards import Shard
from flopwise.training.token_files import Tokens
from flopwise.workloads.language_model.config import DataConfig, SourceConfig
from flopwise.workloads.language_model.corpus import stdlib_documents, stdlib_version
from flopwise.workloads.language_model.documents import Spool, documents, empty_files
from flopwise.workloads.language_model.files import Contents, Found, contents, find, overlap
from flopwise.workloads.language_model.tokenizer import Tokenizer

TOGETHER = 1 << 20
"""Bytes of text that are encoded together."""


@dataclass(frozen=True)
class Inputs:
    """The files of one source, found and hashed.

    Args:
        source: As the config has it.
        train: Files for training, and for both parts where ``valid`` is empty.
        valid: Files held out.
        contents: Of both.
        version: What the text depends on beside files.
    """

    source: SourceConfig
    train: tuple[Found, ...]
    valid: tuple[Found, ...]
    contents: Contents
    version: str = ""

    def identity(self) -> dict[str, object]:
        """JSON values: equal ones give the same documents. The names of files do not matter, their endings do."""
        endings = [[each.path.suffix.lower() for each in found] for found in (self.train, self.valid)]
        settings = {"source": self.source.source, "field": self.source.text_field, "version": self.version}
        return {**settings, "sha256": self.contents.sha256, "endings": endings}


def gather(source: SourceConfig, key: str, folder: Path) -> Inputs:
    """Find and hash the files of a source.

    Args:
        source: As the config has it.
        key: Of the source in the config, for messages.
        folder: What relative paths are relative to.

    Raises:
        WorkloadError: If files are missing, or are both trained on and held out.
    """
    if source.source == "stdlib":
        texts = stdlib_documents()
        digest = hashlib.sha256(b"".join(hashlib.sha256(text).digest() for text in texts)).hexdigest()
        return Inputs(source, (), (), Contents(digest, sum(map(len, texts))), stdlib_version())
    train = find(source.files, folder, f"{key}.files")
    valid = find(source.valid_files, folder, f"{key}.valid_files")
    both = overlap(train, valid)
    if both:
        raise WorkloadError(
            "a file is trained on and held out",
            expected="files and valid_files without a file in common",
            got=str(both[0]),
            where=f"{key}.valid_files",
            fix="narrow the patterns of files",
        )
    return Inputs(source, tuple(train), tuple(valid), contents([*train, *valid]))


def load(inputs: Inputs, data: DataConfig, vocabulary: int, folder: Path) -> Material:
    """Read a source and decide what is held out of it.

    Args:
        inputs: Its files.
        data: How to divide them, and whether text has to be UTF-8.
        vocabulary: Different tokens; shards hold no others.
        folder: For temporary files.

    Raises:
        WorkloadError: If a file is not what it should be.
    """
    if inputs.source.source == "bin":
        return _shards(inputs, data.valid_fraction, vocabulary)
    return _documents(inputs, data, folder)


@dataclass(frozen=True)
class Chosen:
    """Some documents, in the order in which they become tokens."""

    spool: Spool
    indexes: Sequence[int]

    def texts(self) -> Iterator[bytes]:
        """The documents."""
        return (self.spool.document(index) for index in self.indexes)

    def tokens(self, tokenizer: Tokenizer) -> Iterator[Tokens]:
        """Their tokens."""
        assert tokenizer.encode is not None, "the config was checked"
        group: list[bytes] = []
        size = 0
        for text in self.texts():
            group.append(text)
            size += len(text)
            if size >= TOGETHER:
                yield from tokenizer.encode(group)
                group, size = [], 0
        yield from tokenizer.encode(group)


@dataclass(frozen=True)
class Stretch:
    """Tokens of consecutive shards.

    Args:
        shards: Opened.
        begin: First token, counted through all shards.
        end: One after the last.
    """

    shards: Sequence[Shard]
    begin: int
    end: int

    def texts(self) -> Iterator[bytes]:
        """None: shards hold no text."""
        return iter(())

    def tokens(self, tokenizer: Tokenizer) -> Iterator[Tokens]:
        """The tokens, piece by piece."""
        before = 0
        for shard in self.shards:
            first, last = max(self.begin - before, 0), min(self.end - before, len(shard))
            for at in range(first, last, shards.CHUNK):
                yield shard[at : min(at + shards.CHUNK, last)]
            before += len(shard)


@dataclass(frozen=True)
class Material:
    """What a source gives.

    Args:
        train: To train on.
        valid: Held out.
        documents: In both; of shards, the files.
        valid_documents: Held out.
        files: That were read.
        empty_files: Matched by a pattern and left out.
    """

    train: Chosen | Stretch
    valid: Chosen | Stretch
    documents: int
    valid_documents: int
    files: int
    empty_files: int


def _documents(inputs: Inputs, data: DataConfig, folder: Path) -> Material:
    utf8, field = data.tokenizer != "byte", inputs.source.text_field
    own = inputs.source.source == "stdlib"
    spool = Spool(stdlib_documents() if own else documents(inputs.train, field, utf8), folder)
    if not len(spool):
        where = ", ".join(str(each.path) for each in inputs.train[:3])
        raise WorkloadError("there is no text in these files", where=where, fix="name other files in data.files")
    if inputs.valid:
        held_out = Spool(documents(inputs.valid, field, utf8), folder)
        train, valid = Chosen(spool, range(len(spool))), Chosen(held_out, range(len(held_out)))
    else:
        train, valid = _divide(spool, data, folder)
    both = (*inputs.train, *inputs.valid)
    count = len(train.indexes) + len(valid.indexes)
    return Material(train, valid, count, len(valid.indexes), len(spool) if own else len(both), empty_files(both))


def _divide(spool: Spool, data: DataConfig, folder: Path) -> tuple[Chosen, Chosen]:
    """Hold out whole documents, the same ones for every tokenizer; a single one is cut in two."""
    if len(spool) == 1:
        halves = Spool(_cut(spool.document(0), data.valid_fraction), folder)
        return Chosen(halves, [0]), Chosen(halves, range(1, len(halves)))
    train, valid = datasets.split([length + 1 for length in spool.lengths], data.valid_fraction, data.split_seed)
    return Chosen(spool, train), Chosen(spool, valid)


def _cut(text: bytes, fraction: float) -> list[bytes]:
    """A text in two, at the start of a UTF-8 character."""
    at = max(1, len(text) - int(len(text) * fraction))
    while at < len(text) and text[at] & 0xC0 == 0x80:
        at += 1
    return [part for part in (text[:at], text[at:]) if part]


def _shards(inputs: Inputs, fraction: float, vocabulary: int) -> Material:
    """Shards as they are; the end of the last ones is held out unless there are others for that."""
    train, valid = ([_opened(each.path, vocabulary) for each in found] for found in (inputs.train, inputs.valid))
    total = sum(map(len, train))
    if valid:
        stretches = Stretch(train, 0, total), Stretch(valid, 0, sum(map(len, valid)))
    else:
        cut = total - int(total * fraction)
        stretches = Stretch(train, 0, cut), Stretch(train, cut, total)
    files = len(train) + len(valid)
    return Material(*stretches, documents=files, valid_documents=len(valid), files=files, empty_files=0)


def _opened(path: Path, vocabulary: int) -> Shard:
    shard = shards.open_shard(path)
    shards.check_ids(path, shard, vocabulary)
    return shard
