"""Tokenizers: nothing is lost, lengths in bytes are right, training is reproducible, and files are found."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library
from tokenizers import pre_tokenizers

from flopwise.errors import WorkloadError
from flopwise.workloads.language_model import tokenizer as room
from flopwise.workloads.language_model.corpus import stdlib_documents
from flopwise.workloads.language_model.tokenizer import (
    Tokenizer,
    bpe_tokenizer,
    bytes_tokenizer,
    gpt2_files,
    gpt2_tokenizer,
    ids_tokenizer,
    train_bpe,
)

TEXTS = [text for text in stdlib_documents() if text.isascii()][:30]
SIZE = 400
TRAIN = """
import hashlib
from flopwise.workloads.language_model.corpus import stdlib_documents
from flopwise.workloads.language_model.tokenizer import train_bpe
texts = [text for text in stdlib_documents() if text.isascii()][:30]
print(hashlib.sha256(train_bpe(texts[::-1], 400).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def file() -> str:
    return train_bpe(TEXTS, SIZE)


@pytest.fixture(scope="module")
def bpe(file: str) -> Tokenizer:
    return bpe_tokenizer(file)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two files in GPT-2's form: bytes, 50,000 pairs of bytes, and the end of a document."""
    folder = tmp_path_factory.mktemp("gpt2")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = list(itertools.islice(itertools.product(alphabet, alphabet), 50_000))
    names = [*alphabet, *(a + b for a, b in pairs), "<|endoftext|>"]
    (folder / "encoder.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    (folder / "vocab.bpe").write_text("#version: 0.2\n" + "\n".join(f"{a} {b}" for a, b in pairs) + "\n")
    return folder / "encoder.json", folder / "vocab.bpe"


def encode(tokenizer: Tokenizer, text: bytes) -> list[int]:
    assert tokenizer.encode is not None
    (tokens,) = tokenizer.encode([text])
    return [int(token) for token in tokens]


def size(tokenizer: Tokenizer, tokens: list[int]) -> int:
    assert tokenizer.byte_lengths is not None
    return sum(tokenizer.byte_lengths[token] for token in tokens)


def test_two_trainings_give_the_same_file_whatever_the_order_of_texts_and_the_process(file: str) -> None:
    digest = hashlib.sha256(file.encode()).hexdigest()
    command = [sys.executable, "-c", TRAIN]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.strip() == digest
    assert hashlib.sha256(train_bpe(TEXTS, SIZE + 1).encode()).hexdigest() != digest


def test_a_trained_tokenizer_has_what_was_asked_for_and_helps(bpe: Tokenizer) -> None:
    assert bpe.vocabulary == SIZE
    assert bpe.byte_lengths is not None and len(bpe.byte_lengths) == SIZE
    assert len(encode(bpe, TEXTS[3])) < 0.7 * len(TEXTS[3])


@given(st.text(max_size=60))
def test_no_text_is_lost_and_lengths_are_bytes(bpe: Tokenizer, file: str, text: str) -> None:
    tokens = encode(bpe, text.encode())
    assert Library.from_str(file).decode(tokens[:-1]) == text
    assert tokens[-1] == SIZE - 1
    assert size(bpe, tokens) == len(text.encode()) + 1


def test_no_text_spells_the_end_of_a_document(bpe: Tokenizer, made_up: tuple[Path, Path]) -> None:
    for tokenizer in (bpe, gpt2_tokenizer(made_up, 50257)):
        tokens = encode(tokenizer, b"a<|endoftext|>b")
        assert tokenizer.vocabulary - 1 not in tokens[:-1]
        assert tokens[-1] == tokenizer.vocabulary - 1


def test_a_text_too_small_for_so_many_tokens_is_refused_with_how_many_it_gives() -> None:
    with pytest.raises(WorkloadError, match=r"lower data\.vocabulary to \d+ or less") as caught:
        train_bpe([b"ab ab ab"], 1000)
    most = int(str(caught.value.fix).split()[3])
    assert bpe_tokenizer(train_bpe([b"ab ab ab"], most)).vocabulary == most


def test_bytes_are_tokens() -> None:
    tokens = encode(bytes_tokenizer(), b"a\xff")
    assert tokens == [97, 255, 0]
    assert size(bytes_tokenizer(), tokens) == 3


def test_nothing_is_known_of_ids_but_their_number() -> None:
    assert ids_tokenizer(50304) == Tokenizer(50304, "", None, None)


def test_gpt2_files_give_their_own_ids_and_lengths(made_up: tuple[Path, Path]) -> None:
    tokenizer = gpt2_tokenizer(made_up, 50257)
    numbers = json.loads(made_up[0].read_text())
    tokens = encode(tokenizer, b"!!a")
    assert tokens == [numbers["!!"], numbers["a"], 50256]
    assert size(tokenizer, tokens) == 4


@pytest.mark.parametrize("damage", ["cut", "gap", "swapped", "foreign", "no json"])
def test_files_that_are_not_a_gpt2_tokenizer_are_refused(
    damage: str, made_up: tuple[Path, Path], tmp_path: Path
) -> None:
    encoder, merges = (tmp_path / path.name for path in made_up)
    texts = [path.read_text() for path in made_up]
    names = json.loads(texts[0])
    if damage == "gap":
        texts[0] = json.dumps({**names, "!!": 60000})
    elif damage == "cut":
        texts[0] = json.dumps(dict(itertools.islice(names.items(), 40_000)))
    elif damage == "swapped":
        texts.reverse()
    elif damage == "foreign":
        texts[1] += "日 本\n"
    else:
        texts[0] = "[1, 2"
    encoder.write_text(texts[0])
    merges.write_text(texts[1])
    with pytest.raises(WorkloadError, match="not GPT-2's tokenizer"):
        gpt2_tokenizer((encoder, merges), 50257)


def test_given_files_are_used_in_either_order_and_missing_ones_refused(
    made_up: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = made_up[0].parent
    assert gpt2_files(["vocab.bpe", "encoder.json"], folder, tmp_path) == made_up
    with pytest.raises(WorkloadError, match=r"tokenizer are not here[\s\S]*vocab\.bqe[\s\S]*data\.tokenizer_files"):
        gpt2_files(["encoder.json", "vocab.bqe"], folder, tmp_path)


def test_gpt2_is_found_where_other_programs_keep_it_and_only_the_real_one(
    made_up: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(room.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    snapshot = tmp_path / ".cache/huggingface/hub/models--gpt2/snapshots/607a30d"
    hashed = [hashlib.sha1(f"{room.TIKTOKEN}{path.name}".encode()).hexdigest() for path in made_up]
    places = [
        (tmp_path / "runs/gpt2/encoder.json", tmp_path / "runs/gpt2/vocab.bpe"),
        (snapshot / "vocab.json", snapshot / "merges.txt"),
        (tmp_path / "tmp/data-gym-cache" / hashed[0], tmp_path / "tmp/data-gym-cache" / hashed[1]),
    ]
    real = tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in made_up)
    for place in places:
        place[0].parent.mkdir(parents=True)
        for source, target in zip(made_up, place, strict=True):
            target.write_bytes(source.read_bytes())
        with pytest.raises(WorkloadError, match="not here"):
            gpt2_files([], tmp_path, tmp_path / "runs")
        with monkeypatch.context() as patched:
            patched.setattr(room, "GPT2_SHA256", real)
            assert gpt2_files([], tmp_path, tmp_path / "runs") == place
        for target in place:
            target.unlink()


def test_without_the_library_a_trained_tokenizer_is_refused_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    monkeypatch.delitem(sys.modules, room.BPE)
    with pytest.raises(WorkloadError, match=r"flopwise\[train\]"):
        train_bpe([b"a"], 300)
