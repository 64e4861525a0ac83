"""A process forked ahead of need goes through the motions, and nobody notices."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
import torch

from flopwise.worker import limits
from flopwise.worker.rehearsal import rehearse


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_rehearsal_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    handler, draw, descriptors = signal.getsignal(signal.SIGTERM), random.getstate(), open_descriptors()
    rehearse()
    assert list(tmp_path.iterdir()) == [] and capfd.readouterr() == ("", "")
    assert (signal.getsignal(signal.SIGTERM), random.getstate()) == (handler, draw)
    assert open_descriptors() == descriptors


def test_pools_are_sized_again_after_somebody_else_did() -> None:
    before = torch.get_num_threads()
    try:
        for size in (2, 1, 1):
            limits.apply(size)
            assert torch.get_num_threads() == size
        torch.set_num_threads(2)
        limits.apply(1)
        assert torch.get_num_threads() == 1
    finally:
        limits.apply(before)
