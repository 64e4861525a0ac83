from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from flopwise.errors import WorkloadError
from flopwise.training import token_files
from flopwise.training.datasets import open_dataset
from flopwise.training.token_files import TokenFile, is_whole, put, recall, remember, store, token_path, was_checked

PIN = {
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


def test_pieces_become_one_file_of_the_asked_type(tmp_path: Path) -> None:
    with TokenFile(tmp_path / "cache", "uint16") as file:
        file.write(np.array([1, 2], dtype=np.int64))
        file.write(np.array([65535], dtype=np.uint32))
        assert file.tokens == 3
        digest = file.keep()
    content = token_path(tmp_path / "cache", digest).read_bytes()
    assert np.frombuffer(content, dtype="<u2").tolist() == [1, 2, 65535]
    assert hashlib.sha256(content).hexdigest() == digest


def test_a_file_that_is_not_kept_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), TokenFile(tmp_path, "uint8") as file:
        file.write(np.zeros(10, dtype=np.uint8))
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_what_was_remembered_is_recalled_and_nothing_else(tmp_path: Path) -> None:
    remember(tmp_path, "abc", {"tokens": 3, "lengths": [1, 2]})
    assert recall(tmp_path, "abc") == {"tokens": 3, "lengths": [1, 2]}
    assert recall(tmp_path, "abd") is None


@pytest.mark.parametrize("damage", [lambda text: text[:-9], lambda text: text.replace(b"3", b"4", 1), lambda _: b"[]"])
def test_a_damaged_memory_is_no_memory(damage: object, tmp_path: Path) -> None:
    remember(tmp_path, "abc", {"tokens": 3})
    path = tmp_path / "prepared-abc.json"
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    assert recall(tmp_path, "abc") is None


def test_writing_leaves_no_litter(tmp_path: Path) -> None:
    put(tmp_path / "cache", "a.json", b"1")
    put(tmp_path / "cache", "a.json", b"2")
    assert [(p.name, p.read_bytes()) for p in (tmp_path / "cache").iterdir()] == [("a.json", b"2")]


def test_a_large_file_is_hashed_once_a_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_files, "LARGE", 100)
    digest = store(tmp_path, bytes(range(100)))
    path = token_path(tmp_path, digest)
    assert was_checked(path, digest)
    monkeypatch.setattr(token_files, "_hashed", lambda path: pytest.fail("hashed again"))
    assert open_dataset(tmp_path, {**PIN, "sha256": digest}).train[79] == 79


def test_a_large_file_that_was_touched_is_hashed_again_and_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_files, "LARGE", 100)
    digest = store(tmp_path, bytes(range(100)))
    path = token_path(tmp_path, digest)
    before = path.stat()
    path.write_bytes(bytes(100))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not was_checked(path, digest)
    with pytest.raises(WorkloadError, match="sha256"):
        open_dataset(tmp_path, {**PIN, "sha256": digest})
    assert not is_whole(path, digest)


def test_a_small_file_is_always_hashed(tmp_path: Path) -> None:
    digest = store(tmp_path, bytes(range(100)))
    assert not was_checked(token_path(tmp_path, digest), digest)
    assert is_whole(token_path(tmp_path, digest), digest)
    assert not is_whole(tmp_path / "tokens-gone.bin", "gone")
