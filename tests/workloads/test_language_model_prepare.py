"""From files to a pinned token file: right tokens, right parts, right bytes a token, and refusals before training."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer as Library
from tokenizers import pre_tokenizers

from flopwise.errors import WorkloadError
from flopwise.training.datasets import split
from flopwise.training.evaluate import excerpts
from flopwise.training.shards import write_shard
from flopwise.trial import Fidelity
from flopwise.workloads.language_model import tokenizer as tokenizers
from flopwise.workloads.language_model.corpus import stdlib_documents
from flopwise.workloads.language_model.run import prepare, run
from flopwise.workloads.language_model.writing import shares

SMALL = {"valid_tokens": 200, "valid_span": 50, "valid_fraction": 0.2}
SHORT = {"valid_tokens": 200, "valid_span": 50}
MODEL = {"n_layer": 1, "n_embd": 16, "n_head": 2}
TRAIN = {"batch_size": 4, "sequence_length": 16, "device": "cpu"}
WORDS = ["loss", "gradient", "naïve", "tensor", "日本", "step", "and", "the", "of", "seed"]


class FakeContext:
    """Started in a folder of texts; the cache is beside them."""

    def __init__(self, folder: Path, data: Mapping[str, Any] | None = None, metric: str = "val_loss") -> None:
        self.folder, self.cache, self.started_in = folder, folder / "cache", folder
        self.seed, self.fidelity, self.threads = 0, Fidelity("steps", 3), 1
        self.data: Mapping[str, Any] = data or {}
        self.metric = metric
        self.facts: dict[str, Any] = {}
        self.lines: list[str] = []
        self.stop = False
        self.validate_every: int | None = None
        self.count_validation = False
        self.target: Any = None
        self.reached_target = False

    def report(self, step: int, **values: float) -> None:
        pass

    def progress(self, text: str, done: float = 0.0, total: float = 0.0) -> None:
        self.lines.append(text)

    def note(self, **facts: Any) -> None:
        self.facts.update(facts)

    def should_stop(self) -> bool:
        return self.stop


def config(**data: Any) -> dict[str, Any]:
    return {"model": MODEL, "data": {**SMALL, **data}, "train": TRAIN}


def text(seed: int, words: int = 300) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words)) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(12):
        (tmp_path / f"{number:02}.txt").write_text(text(number), encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Files in GPT-2's form."""
    folder = tmp_path_factory.mktemp("gpt2")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = list(itertools.islice(itertools.product(alphabet, alphabet), 50_000))
    names = [*alphabet, *(a + b for a, b in pairs), "<|endoftext|>"]
    (folder / "encoder.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    (folder / "vocab.bpe").write_text("#version: 0.2\n" + "\n".join(f"{a} {b}" for a, b in pairs) + "\n")
    return [str(folder / "encoder.json"), str(folder / "vocab.bpe")]


def tokens(folder: Path, pin: Mapping[str, Any]) -> np.ndarray:
    return np.fromfile(folder / "cache" / f"tokens-{pin['sha256']}.bin", dtype=pin["dtype"])


def refusal(folder: Path, call: Mapping[str, Any], **context: Any) -> WorkloadError:
    with pytest.raises(WorkloadError) as caught:
        prepare(call, FakeContext(folder, **context))
    assert not list((folder / "cache").glob(".*")), "something was left behind"
    return caught.value


def test_files_become_documents_of_bytes(folder: Path) -> None:
    pin = prepare(config(source="text", files=["*.txt"]), FakeContext(folder))
    found = [document + b"\0" for document in tokens(folder, pin).tobytes().split(b"\0")[:-1]]
    assert sorted(found) == sorted(path.read_bytes() + b"\0" for path in folder.glob("*.txt"))
    assert (pin["documents"], pin["dtype"], pin["bytes_per_token"], pin["vocabulary"]) == (12, "uint8", 1.0, 256)
    assert pin["valid_tokens"] == sum(map(len, found[-pin["valid_documents"] :]))
    assert pin["valid_tokens"] / pin["tokens"] == pytest.approx(0.2, abs=0.08)
    (part,) = pin["parts"]
    size = sum(path.stat().st_size for path in folder.glob("*.txt"))
    assert (part["source"], part["files"], part["bytes"], part["empty_files"]) == ("text", 12, size, 0)
    assert pin["settings"] == {"source": "text", "files": ["*.txt"], "valid_fraction": 0.2}


def test_json_lines_and_plain_files_give_the_same_tokens(folder: Path) -> None:
    rows = [{"body": path.read_text(encoding="utf-8")} for path in sorted(folder.glob("*.txt"))]
    (folder / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plain = prepare(config(source="text", files=["*.txt"]), FakeContext(folder))
    lines = prepare(config(source="text", files=["all.jsonl"], text_field="body"), FakeContext(folder))
    assert lines["sha256"] == plain["sha256"]


def test_the_same_bytes_under_another_ending_are_another_text(folder: Path) -> None:
    rows = "".join(json.dumps({"text": path.read_text(encoding="utf-8")}) + "\n" for path in folder.glob("*.txt"))
    (folder / "a.jsonl").write_text(rows)
    (folder / "a.lines").write_text(rows)
    found = [prepare(config(source="text", files=[name]), FakeContext(folder)) for name in ("a.jsonl", "a.lines")]
    assert [pin["documents"] for pin in found] == [12, 2]


def test_another_field_of_the_same_file_is_another_text(folder: Path) -> None:
    rows = [{"text": text(number), "title": text(number + 50)} for number in range(12)]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    first = prepare(config(source="text", files=["a.jsonl"]), FakeContext(folder))
    second = prepare(config(source="text", files=["a.jsonl"], text_field="title"), FakeContext(folder))
    assert text(50).encode() in tokens(folder, second).tobytes()
    assert first["sha256"] != second["sha256"]


def test_the_standard_library_is_divided_as_it_always_was(tmp_path: Path) -> None:
    documents = [document + b"\0" for document in stdlib_documents()]
    train, valid = split([len(document) for document in documents], 0.05, 0)
    pin = prepare({}, FakeContext(tmp_path))
    expected = b"".join(documents[index] for index in (*train, *valid))
    assert pin["sha256"] == hashlib.sha256(expected).hexdigest()
    assert not {"parts", "settings", "started_in", "tokenizer_sha256"} & pin.keys()


def test_the_end_of_a_document_counts_when_documents_are_divided(tmp_path: Path) -> None:
    rows = [{"text": "x" * 40}, *({"text": str(number)} for number in range(10))]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    call = config(source="text", files=["a.jsonl"], valid_tokens=5, valid_span=4)
    assert prepare(call, FakeContext(tmp_path))["valid_documents"] == 6, "2 tokens each, of 61 x 0.2"


def test_held_out_files_may_be_named(folder: Path) -> None:
    data = {**SHORT, "source": "text", "files": ["0[0-8].txt"], "valid_files": ["09.txt", "1*.txt"]}
    pin = prepare({"train": TRAIN, "data": data}, FakeContext(folder))
    held_out = tokens(folder, pin)[pin["train_tokens"] :].tobytes()
    assert held_out == b"".join((folder / f"{name}.txt").read_bytes() + b"\0" for name in ("09", "10", "11"))
    assert (pin["documents"], pin["valid_documents"]) == (12, 3)


def test_a_file_cannot_be_trained_on_and_held_out(folder: Path) -> None:
    data = {**SHORT, "source": "text", "files": ["*.txt"], "valid_files": ["03.txt"]}
    error = refusal(folder, {"train": TRAIN, "data": data})
    assert (error.got, error.where) == (str(folder / "03.txt"), "data.valid_files")


def test_a_single_document_is_cut_in_two_between_characters(tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text("日本語" * 1000, encoding="utf-8")
    for tokenizer in ("byte", "bpe"):
        how = {"tokenizer": tokenizer, "vocabulary": 265 if tokenizer == "bpe" else None}
        pin = prepare(config(source="text", files=["input.txt"], **SHORT_HELD, **how), FakeContext(tmp_path))
        assert (pin["documents"], pin["valid_documents"]) == (2, 1)
        if tokenizer == "byte":
            held_out = tokens(tmp_path, pin)[pin["train_tokens"] :].tobytes()[:-1]
            assert 0.05 * 9000 - 3 <= len(held_out) <= 0.05 * 9000
            assert set(held_out.decode()) == set("日本語")


SHORT_HELD = {"valid_fraction": 0.05, "valid_tokens": 20, "valid_span": 16}


def test_the_same_documents_are_held_out_whatever_the_tokenizer(folder: Path, gpt2: list[str]) -> None:
    bytes_held_out, tokens_held_out = {}, {}
    for how in ({}, {"tokenizer": "bpe", "vocabulary": 270}, {"tokenizer": "gpt2", "tokenizer_files": gpt2}):
        pin = prepare(config(source="text", files=["*.txt"], **how), FakeContext(folder))
        whole = {**SMALL, "valid_tokens": pin["valid_tokens"] - 1, "valid_span": 4096}
        every = prepare(config(source="text", files=["*.txt"], **how, **whole), FakeContext(folder))
        tokens_held_out[pin["tokenizer"]] = pin["valid_tokens"]
        bytes_held_out[pin["tokenizer"]] = round(every["bytes_per_token"] * (pin["valid_tokens"] - 1))
    assert len(set(tokens_held_out.values())) == 3
    most = max(bytes_held_out.values())
    assert all(most - 8 <= count <= most for count in bytes_held_out.values()), "all but the first token's bytes"


def test_bytes_a_token_are_those_of_the_targets_that_the_loss_is_over(folder: Path) -> None:
    call = config(source="text", files=["*.txt"], tokenizer="bpe", vocabulary=270)
    pin = prepare(call, FakeContext(folder))
    held_out = tokens(folder, pin)[pin["train_tokens"] :]
    windows = excerpts(len(held_out), 200, 50)
    targets = [int(token) for w in windows for token in held_out[w.start + 1 : w.start + 1 + w.length]]
    library = Library.from_file(str(folder / "cache" / f"tokenizer-{pin['tokenizer_sha256']}.json"))
    names = {number: name for name, number in library.get_vocab().items()}
    assert len(targets) == 200
    assert pin["bytes_per_token"] == sum(len(names.get(token, "e")) for token in targets) / 200
    metrics = run(call, FakeContext(folder, pin))
    assert metrics["val_bits_per_byte"] == metrics["val_loss"] / math.log(2) / pin["bytes_per_token"]
    assert metrics["val_loss"] == pytest.approx(math.log(270), rel=0.1)


def test_tokens_take_the_smallest_type_that_holds_them(folder: Path) -> None:
    found = {}
    for tokenizer, vocabulary in (("byte", None), ("bpe", 270)):
        call = config(source="text", files=["*.txt"], tokenizer=tokenizer, vocabulary=vocabulary)
        found[tokenizer] = prepare(call, FakeContext(folder))["dtype"]
    write_shard(folder / "a.bin", np.arange(9000) % 300)
    ids = config(source="bin", files=["a.bin"], tokenizer="ids", vocabulary=300)
    assert {**found, "ids": prepare(ids, FakeContext(folder))["dtype"]} == {
        "byte": "uint8",
        "bpe": "uint16",
        "ids": "uint16",
    }


def test_a_vocabulary_beyond_16_bits_takes_32(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tokenizers.Tokenizer(70_000, "made", [1] * 70_000, lambda texts: (np.array([69_999] * 400) for _ in texts))
    monkeypatch.setattr(tokenizers, "train_bpe", lambda texts, vocabulary: "")
    monkeypatch.setattr(tokenizers, "bpe_tokenizer", lambda file: made)
    call = config(source="text", files=["*.txt"], tokenizer="bpe", vocabulary=70_000)
    pin = prepare(call, FakeContext(folder))
    assert pin["dtype"] == "uint32"
    assert set(tokens(folder, pin).tolist()) == {69_999}


def nothing_is_made(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.setattr(tokenizers, name, lambda *_: pytest.fail("made again"))


def test_the_same_files_are_not_tokenised_twice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = config(source="text", files=["*.txt"], tokenizer="bpe", vocabulary=270)
    first = prepare(call, FakeContext(folder))
    nothing_is_made(monkeypatch, "train_bpe", "bpe_tokenizer")
    os.utime(folder / "03.txt", (0, 0))
    (folder / "11.txt").rename(folder / "11b.txt")
    assert prepare(call, FakeContext(folder)) == first
    other_excerpts = {**call, "data": {**call["data"], "valid_tokens": 150}}
    again = prepare(other_excerpts, FakeContext(folder))
    assert again["sha256"] == first["sha256"]
    assert again["bytes_per_token"] != first["bytes_per_token"]


def test_a_lost_or_damaged_token_file_is_made_again_with_the_kept_tokenizer(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = config(source="text", files=["*.txt"], tokenizer="bpe", vocabulary=270)
    first = prepare(call, FakeContext(folder))
    nothing_is_made(monkeypatch, "train_bpe")
    path = folder / "cache" / f"tokens-{first['sha256']}.bin"
    path.unlink()
    assert prepare(call, FakeContext(folder)) == first
    path.write_bytes(bytes(path.stat().st_size))
    assert prepare(call, FakeContext(folder)) == first
    assert run(call, FakeContext(folder, first))["val_loss"] > 0


def test_a_damaged_tokenizer_is_trained_again(folder: Path) -> None:
    call = config(source="text", files=["*.txt"], tokenizer="bpe", vocabulary=270)
    first = prepare(call, FakeContext(folder))
    for path in (folder / "cache").glob("tok*"):
        path.write_bytes(b"damaged")
    assert prepare(call, FakeContext(folder)) == first


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "03.txt").write_text(text(3).replace("loss", "sols", 1), encoding="utf-8"),
        lambda folder: (folder / "00.txt").rename(folder / "99.txt"),
        lambda folder: (folder / "zz.txt").write_text("more"),
    ],
    ids=["one word", "another order", "one file more"],
)
def test_another_text_is_another_pin(change: Callable[[Path], object], folder: Path) -> None:
    call = config(source="text", files=["*.txt"])
    first = prepare(call, FakeContext(folder))
    change(folder)
    assert prepare(call, FakeContext(folder))["sha256"] != first["sha256"]


def test_a_resumed_run_finds_its_files_from_another_folder(folder: Path, tmp_path_factory: Any) -> None:
    call = config(source="text", files=["*.txt"])
    first = prepare(call, FakeContext(folder))
    elsewhere = FakeContext(folder, first)
    elsewhere.started_in = tmp_path_factory.mktemp("elsewhere")
    assert prepare(call, elsewhere) == first


def test_shards_are_taken_as_they_are(folder: Path, gpt2: list[str]) -> None:
    stream = np.random.default_rng(0).integers(50257, size=5000)
    write_shard(folder / "train_1.bin", stream[:2500])
    write_shard(folder / "train_2.bin", stream[2500:4000])
    write_shard(folder / "val_0.bin", stream[4000:])
    data = {**SHORT, "source": "bin", "files": ["train_*.bin"], "valid_files": ["val_*.bin"]}
    call = {"model": MODEL, "train": TRAIN, "data": {**data, "tokenizer": "gpt2", "tokenizer_files": gpt2}}
    pin = prepare(call, FakeContext(folder))
    assert tokens(folder, pin).tolist() == stream.tolist()
    assert (pin["train_tokens"], pin["valid_tokens"], pin["vocabulary"]) == (4000, 1000, 50257)
    assert pin["bytes_per_token"] == pytest.approx(2.0, abs=0.05), "nearly all of its tokens are pairs of bytes"
    assert set(run(call, FakeContext(folder, pin))) == {"val_loss", "val_bits_per_byte", "train_loss"}


def test_the_end_of_the_shards_is_held_out_unless_files_are_named(folder: Path) -> None:
    write_shard(folder / "a.bin", np.arange(1500))
    write_shard(folder / "b.bin", np.arange(1500, 2000))
    call = config(source="bin", files=["*.bin"], tokenizer="ids", vocabulary=2000)
    call["data"]["valid_fraction"] = 0.5
    pin = prepare(call, FakeContext(folder))
    assert tokens(folder, pin).tolist() == list(range(2000))
    assert (pin["train_tokens"], pin["valid_tokens"]) == (1000, 1000)


def test_bits_a_byte_are_left_out_where_the_bytes_are_unknown_and_cannot_be_the_objective(folder: Path) -> None:
    write_shard(folder / "a.bin", np.arange(9000) % 300)
    call = config(source="bin", files=["a.bin"], tokenizer="ids", vocabulary=300)
    pin = prepare(call, FakeContext(folder))
    assert pin["bytes_per_token"] is None
    assert set(run(call, FakeContext(folder, pin))) == {"val_loss", "train_loss"}
    assert "val_bits_per_byte cannot be known" in str(refusal(folder, call, metric="val_bits_per_byte"))


def test_a_mixture_keeps_its_parts_apart_and_holds_out_by_weight(folder: Path) -> None:
    write_shard(folder / "a.bin", np.full(9000, 7))
    sources = [
        {"source": "text", "files": ["*.txt"], "weight": 1.0},
        {"source": "bin", "files": ["a.bin"], "weight": 3.0},
    ]
    call = config(source="mixture", mixture=sources)
    pin = prepare(call, FakeContext(folder))
    first, second = pin["parts"]
    content = tokens(folder, pin)
    begin, end = first["train_tokens"], first["train_tokens"] + second["train_tokens"]
    assert set(content[begin:end].tolist()) == {7}
    assert 7 not in content[:begin]
    assert (content[pin["train_tokens"] :] == 7).mean() == pytest.approx(0.75, abs=0.001)
    assert second["valid_tokens"] == 1800, "all that is held out of the part that has the least for its weight"
    assert (first["weight"], second["weight"]) == (1.0, 3.0)
    assert run(call, FakeContext(folder, pin))["val_loss"] > 0
    assert refused_trial(folder, pin, call, mixture=[{**sources[0], "weight": 2.0}, sources[1]]) == "data.mixture"


def test_other_weights_hold_out_other_shares(folder: Path) -> None:
    held_out = []
    for weight in (1.0, 2.0):
        sources = [{"source": "text", "files": ["0*.txt"], "weight": weight}, {"source": "text", "files": ["1*.txt"]}]
        pin = prepare(config(source="mixture", mixture=sources, valid_fraction=0.6), FakeContext(folder))
        held_out.append([part["valid_tokens"] for part in pin["parts"]])
    assert held_out[0][0] == held_out[0][1]
    assert held_out[1][0] == pytest.approx(2 * held_out[1][1], abs=1)


def test_a_source_of_a_mixture_may_be_the_standard_library(folder: Path) -> None:
    sources = [{"source": "text", "files": ["*.txt"]}, {"source": "stdlib"}]
    pin = prepare(config(source="mixture", mixture=sources), FakeContext(folder))
    assert [part["source"] for part in pin["parts"]] == ["text", "stdlib"]
    assert pin["version"].startswith("cpython")
    assert pin["parts"][0]["valid_tokens"] == pin["parts"][1]["valid_tokens"]


def test_held_out_shares_never_exceed_what_there_is() -> None:
    assert shares([10, 10], [1.0, 1.0]) == [10, 10]
    assert shares([7, 1000, 50], [1.0, 2.0, 0.5]) == [7, 14, 4]
    assert shares([0, 5], [1.0, 1.0]) == [0, 0]
    assert shares([3, 1], [0.1, 1 / 30]) == [3, 1]


def refused_trial(folder: Path, pin: Mapping[str, Any], call: dict[str, Any], **data: Any) -> str | None:
    """The key that makes a trial with other data settings impossible; None when it is possible."""
    try:
        run({**call, "data": {**call["data"], **data}}, FakeContext(folder, pin))
    except WorkloadError as error:
        return error.where
    return None


def test_a_trial_with_other_data_is_refused(folder: Path) -> None:
    call = config(source="text", files=["*.txt"], tokenizer="bpe", vocabulary=270)
    pin = prepare(call, FakeContext(folder))
    changes: dict[str, Any] = {"files": ["0*.txt"], "vocabulary": 280, "valid_span": 40, "valid_tokens": 100}
    assert [refused_trial(folder, pin, call, **{name: value}) for name, value in changes.items()] == [
        f"data.{name}" for name in changes
    ]
    bytes_call = config(source="text", files=["*.txt"])
    bytes_pin = prepare(bytes_call, FakeContext(folder))
    assert refused_trial(folder, bytes_pin, bytes_call, valid_span=40) is None


def test_too_few_or_too_long_documents_are_refused_with_what_to_do(folder: Path) -> None:
    for name in list(folder.glob("*.txt"))[2:]:
        name.unlink()
    error = refusal(folder, config(source="text", files=["*.txt"]))
    assert error.problem == "too little text is held out"
    assert "2 documents, which are held out whole" in str(error.got)
    assert "data.valid_fraction" in str(error.fix)


def test_a_training_text_shorter_than_a_sequence_is_refused(folder: Path) -> None:
    (folder / "short.txt").write_text("short")
    data = {**SHORT, "source": "text", "files": ["short.txt"], "valid_files": ["0*.txt"]}
    assert "shorter than a sequence" in str(refusal(folder, {"train": TRAIN, "data": data}))
    sources = [
        {"source": "text", "files": ["0*.txt"]},
        {"source": "text", "files": ["short.txt"], "valid_files": ["1*.txt"]},
    ]
    assert refusal(folder, config(source="mixture", mixture=sources)).where == "data.mixture.1"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"source": "text", "files": ["gone/*.txt"]}, "no file matches"),
        ({"source": "text", "files": ["empty.txt"]}, "a file of the text is empty"),
        ({"source": "text", "files": ["em*.txt"]}, "no text in these files"),
        ({"source": "text", "files": ["latin.txt"], "tokenizer": "bpe"}, "not UTF-8"),
        ({"source": "text", "files": ["*.txt"], "tokenizer": "gpt2", "tokenizer_files": ["a", "b"]}, "GPT-2"),
        ({"source": "text", "files": ["0*.txt"], "tokenizer": "bpe", "vocabulary": 4096}, "lower data.vocabulary"),
        ({"source": "bin", "files": ["cut.bin"]}, "truncated"),
        ({"source": "bin", "files": ["magic.bin"]}, "magic number"),
        ({"source": "bin", "files": ["version.bin"]}, "another version"),
        ({"source": "bin", "files": ["good.bin"]}, "beyond the vocabulary"),
        ({"source": "bin", "files": ["good.bin"], "tokenizer": "ids", "vocabulary": 299}, "id 299"),
        ({"source": "bin", "files": ["empty.txt"]}, "shard is empty"),
    ],
)
def test_what_is_wrong_with_the_data_is_said_before_anything_is_trained(
    data: dict[str, Any], words: str, folder: Path
) -> None:
    (folder / "empty.txt").touch()
    (folder / "latin.txt").write_bytes("Müller".encode("latin-1"))
    write_shard(folder / "good.bin", np.arange(9000) % 300)
    good = (folder / "good.bin").read_bytes()
    (folder / "cut.bin").write_bytes(good[:-1])
    (folder / "magic.bin").write_bytes(b"\0" + good[1:])
    (folder / "version.bin").write_bytes(good[:4] + b"\2" + good[5:])
    error = refusal(folder, config(**data))
    assert words in str(error)
    assert error.where and (error.fix or error.expected)


def test_told_to_stop_it_stops_and_leaves_nothing(folder: Path) -> None:
    context = FakeContext(folder)
    context.stop = True
    for how in ({}, {"tokenizer": "bpe", "vocabulary": 270}):
        with pytest.raises(WorkloadError, match="interrupted"):
            prepare(config(source="text", files=["*.txt"], **how), context)
    assert list((folder / "cache").iterdir()) == []
