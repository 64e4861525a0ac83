from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flopwise.errors import WorkloadError
from flopwise.training.datasets import Pin, batch_at, open_dataset, split, store

TOKENS = np.arange(100, dtype=np.uint8)


def pin(sha256: str, **changes: object) -> dict[str, object]:
    data: dict[str, object] = {
        "sha256": sha256,
        "tokens": 100,
        "train_tokens": 80,
        "valid_tokens": 20,
        "vocabulary": 256,
        "bytes_per_token": 1.0,
        "dtype": "uint8",
        "source": "test",
        "version": "1",
        "tokenizer": "byte",
        "documents": 2,
        "valid_documents": 1,
        "valid_fraction": 0.2,
        "split_seed": 0,
    }
    return {**data, **changes}


def test_what_was_stored_is_what_is_opened(tmp_path: Path) -> None:
    sha256 = store(tmp_path / "cache", TOKENS.tobytes())
    dataset = open_dataset(tmp_path / "cache", pin(sha256))
    assert dataset.train.tolist() == list(range(80))
    assert dataset.valid.tolist() == list(range(80, 100))
    assert dataset.pin.to_json() == pin(sha256)


def test_storing_twice_leaves_one_file_and_no_litter(tmp_path: Path) -> None:
    first = store(tmp_path, TOKENS.tobytes())
    inode = (tmp_path / f"tokens-{first}.bin").stat().st_ino
    assert store(tmp_path, TOKENS.tobytes()) == first
    assert [p.name for p in tmp_path.iterdir()] == [f"tokens-{first}.bin"]
    assert (tmp_path / f"tokens-{first}.bin").stat().st_ino == inode


def test_storing_mends_a_damaged_file(tmp_path: Path) -> None:
    sha256 = store(tmp_path, TOKENS.tobytes())
    (tmp_path / f"tokens-{sha256}.bin").write_bytes(bytes(100))
    store(tmp_path, TOKENS.tobytes())
    assert open_dataset(tmp_path, pin(sha256)).train[5] == 5


def test_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    sha256 = store(tmp_path, TOKENS.tobytes())
    damaged = bytearray(TOKENS.tobytes())
    damaged[50] ^= 1
    (tmp_path / f"tokens-{sha256}.bin").write_bytes(damaged)
    with pytest.raises(WorkloadError, match="sha256"):
        open_dataset(tmp_path, pin(sha256))


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    sha256 = store(tmp_path, TOKENS.tobytes())
    (tmp_path / f"tokens-{sha256}.bin").write_bytes(TOKENS.tobytes()[:-1])
    with pytest.raises(WorkloadError, match="99 bytes"):
        open_dataset(tmp_path, pin(sha256))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match=r"tokens-beef\.bin"):
        open_dataset(tmp_path, pin("beef"))


def test_a_foreign_pin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="colour"):
        open_dataset(tmp_path, pin("x", colour="red"))
    with pytest.raises(WorkloadError, match="no data"):
        Pin.from_json({})


def test_a_split_keeps_every_document_whole_and_fills_its_share() -> None:
    lengths = [10] * 50 + [700]
    train, valid = split(lengths, fraction=0.1, seed=3)
    assert sorted(train + valid) == list(range(51))
    assert 50 not in valid
    assert sum(lengths[i] for i in valid) == 120
    assert split(lengths, 0.1, seed=3) == (train, valid)
    assert split(lengths, 0.1, seed=4) != (train, valid)


def test_a_batch_is_a_function_of_seed_and_step_alone() -> None:
    tokens = np.arange(10_000, dtype=np.uint16)
    batch = batch_at(tokens, seed=1, step=5, batch_size=3, sequence_length=8)
    assert batch.shape == (3, 9)
    assert batch.dtype == np.int64
    assert (np.diff(batch, axis=1) == 1).all()
    assert (batch == batch_at(tokens, 1, 5, 3, 8)).all()
    assert not (batch == batch_at(tokens, 1, 6, 3, 8)).all()
    assert not (batch == batch_at(tokens, 2, 5, 3, 8)).all()


def test_batches_reach_the_first_and_the_last_token() -> None:
    seen = {int(t) for step in range(200) for t in batch_at(TOKENS, 0, step, 4, 9).ravel()}
    assert seen == set(range(100))


def test_the_batches_of_a_seed_never_change() -> None:
    tokens = np.arange(1000, dtype=np.uint16)
    assert batch_at(tokens, seed=0, step=0, batch_size=4, sequence_length=1)[:, 0].tolist() == [784, 250, 284, 53]


def test_a_text_shorter_than_a_sequence_is_refused() -> None:
    with pytest.raises(WorkloadError, match="shorter than a sequence"):
        batch_at(TOKENS, 0, 0, 1, 100)
