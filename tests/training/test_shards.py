from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flopwise.errors import WorkloadError
from flopwise.training.shards import check_ids, open_shard, write_shard

TOKENS = np.array([50256, 0, 1, 65535, 7], dtype=np.uint16)


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "train_000001.bin"
    write_shard(path, TOKENS)
    return path


def test_a_shard_has_the_published_layout(shard: Path) -> None:
    content = shard.read_bytes()
    header = np.frombuffer(content[:1024], dtype="<i4")
    assert header[:3].tolist() == [20240520, 1, 5]
    assert not header[3:].any()
    assert np.frombuffer(content[1024:], dtype="<u2").tolist() == TOKENS.tolist()
    assert open_shard(shard).tolist() == TOKENS.tolist()


def broken(path: Path, numbers: list[int], tokens: int = 5) -> Path:
    header = np.zeros(256, dtype="<i4")
    header[: len(numbers)] = numbers
    path.write_bytes(header.tobytes() + bytes(2 * tokens))
    return path


@pytest.mark.parametrize(
    ("numbers", "tokens", "words"),
    [
        ([20240521, 1, 5], 5, "magic number 20240520"),
        ([20240520, 2, 5], 5, "version 1"),
        ([20240520, 1, 5], 4, "truncated"),
        ([20240520, 1, 5], 6, "longer than its header"),
        ([20240520, 1, 0], 0, "empty"),
        ([20240520, 1, -3], 5, "empty"),
    ],
)
def test_what_is_no_whole_shard_is_refused(numbers: list[int], tokens: int, words: str, tmp_path: Path) -> None:
    path = broken(tmp_path / "a.bin", numbers, tokens)
    with pytest.raises(WorkloadError, match=words) as caught:
        open_shard(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize(("size", "words"), [(0, "is empty"), (11, "within its header"), (1023, "within its header")])
def test_a_file_shorter_than_a_header_is_refused(size: int, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(size))
    with pytest.raises(WorkloadError, match=words):
        open_shard(tmp_path / "a.bin")


def test_an_odd_byte_at_the_end_is_refused(shard: Path) -> None:
    shard.write_bytes(shard.read_bytes() + b"\1")
    with pytest.raises(WorkloadError, match="1035 bytes"):
        open_shard(shard)


def test_the_first_token_beyond_the_vocabulary_is_named(shard: Path) -> None:
    check_ids(shard, open_shard(shard), 65536)
    with pytest.raises(WorkloadError, match=r"id 65535[\s\S]*token 3, offset 1030"):
        check_ids(shard, open_shard(shard), 50257)


def test_tokens_are_looked_at_beyond_the_first_chunk(shard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flopwise.training.shards.CHUNK", 2)
    with pytest.raises(WorkloadError, match="token 3,"):
        check_ids(shard, open_shard(shard), 50257)
