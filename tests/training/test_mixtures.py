from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flopwise.errors import WorkloadError
from flopwise.training.datasets import Dataset, Part, Pin, batch_at, mixed_batch_at, open_dataset, store

LEFT = Part("text", 3.0, 1000, 10, 2, 1, 2, 0, 1010, "a")
RIGHT = Part("bin", 1.0, 50, 10, 1, 0, 1, 0, 60, "b")
TOKENS = np.concatenate([np.arange(1000), 10_000 + np.arange(50)]).astype(np.uint16)


def batches(parts: tuple[Part, ...], steps: int = 400) -> np.ndarray:
    return np.concatenate([mixed_batch_at(TOKENS, parts, 5, step, 10, 8) for step in range(steps)])


def test_every_sequence_lies_inside_one_part() -> None:
    assert (np.diff(batches((LEFT, RIGHT)), axis=1) == 1).all()


def test_parts_are_met_as_often_as_their_weights_say_whatever_their_sizes() -> None:
    share = float((batches((LEFT, RIGHT))[:, 0] >= 10_000).mean())
    assert share == pytest.approx(0.25, abs=0.03)
    share = float((batches((LEFT, replace(RIGHT, weight=9.0)))[:, 0] >= 10_000).mean())
    assert share == pytest.approx(0.75, abs=0.03)


def test_first_and_last_tokens_of_every_part_are_met() -> None:
    seen = set(batches((LEFT, RIGHT), steps=1500).ravel().tolist())
    assert {0, 999, 10_000, 10_049} <= seen


def test_a_mixed_batch_is_a_function_of_seed_and_step_alone() -> None:
    first = mixed_batch_at(TOKENS, (LEFT, RIGHT), 1, 7, 6, 8)
    assert first.shape == (6, 9)
    assert first.dtype == np.int64
    assert (first == mixed_batch_at(TOKENS, (LEFT, RIGHT), 1, 7, 6, 8)).all()
    assert not (first == mixed_batch_at(TOKENS, (LEFT, RIGHT), 1, 8, 6, 8)).all()
    assert not (first == mixed_batch_at(TOKENS, (LEFT, RIGHT), 2, 7, 6, 8)).all()


def test_the_mixed_batches_of_a_seed_never_change() -> None:
    starts = mixed_batch_at(TOKENS, (LEFT, RIGHT), 0, 0, 6, 8)[:, 0]
    assert starts.tolist() == [181, 640, 10023, 910, 924, 893]


def test_a_part_shorter_than_a_sequence_is_refused() -> None:
    with pytest.raises(WorkloadError, match="shorter than a sequence"):
        mixed_batch_at(TOKENS, (LEFT, RIGHT), 0, 0, 1, 50)


def test_a_pin_keeps_its_parts_and_the_dataset_mixes_them(tmp_path: Path) -> None:
    tokens = np.concatenate([TOKENS, np.zeros(20, dtype=np.uint16)])
    pin = Pin(
        sha256=store(tmp_path, tokens.tobytes()),
        tokens=1070,
        train_tokens=1050,
        valid_tokens=20,
        vocabulary=65536,
        bytes_per_token=None,
        dtype="uint16",
        source="mixture",
        version="",
        tokenizer="ids",
        documents=3,
        valid_documents=1,
        valid_fraction=0.05,
        split_seed=0,
        started_in="/data",
        parts=(LEFT, RIGHT),
        settings={"tokenizer": "ids"},
    )
    mixed = open_dataset(tmp_path, pin.to_json())
    assert mixed.pin == pin
    assert (mixed.batch(0, 3, 4, 8) == mixed_batch_at(TOKENS, pin.parts, 0, 3, 4, 8)).all()
    single = Dataset(mixed.train, mixed.valid, replace(pin, parts=(LEFT,)))
    assert (single.batch(0, 3, 4, 8) == batch_at(mixed.train, 0, 3, 4, 8)).all()


def test_a_pin_without_anything_new_has_the_keys_it_always_had() -> None:
    data = Pin("s", 2, 1, 1, 256, 1.0, "uint8", "stdlib", "cpython", "byte", 2, 1, 0.05, 0).to_json()
    assert list(data) == [
        *("sha256", "tokens", "train_tokens", "valid_tokens", "vocabulary", "bytes_per_token", "dtype"),
        *("source", "version", "tokenizer", "documents", "valid_documents", "valid_fraction", "split_seed"),
    ]
    assert Pin.from_json(data).to_json() == data
