from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from flopwise.errors import NonFinite, WorkloadError
from flopwise.training.devices import Device
from flopwise.training.evaluate import HeldOut, bits_per_byte, excerpts, windows

CPU = Device("cpu")
TOKENS = (np.arange(5000) * 37 % 7).astype(np.uint8)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_excerpts_hold_exactly_the_count_and_never_overlap(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 500))
    available = data.draw(st.integers(count + 1, 2000))
    span = data.draw(st.integers(2, 300))
    found = excerpts(available, count, span)
    targets = [i for e in found for i in range(e.start + 1, e.start + e.length + 1)]
    assert len(targets) == len(set(targets)) == count
    assert targets == sorted(targets)
    assert targets[-1] < available
    assert all(e.length <= span for e in found)


def test_too_little_held_out_text_is_refused() -> None:
    with pytest.raises(WorkloadError, match="at least 101 tokens"):
        excerpts(available=100, count=100, span=10)


def test_windows_leave_no_target_out() -> None:
    (excerpt,) = excerpts(available=101, count=100, span=100)
    cut = list(windows(excerpt, sequence_length=32))
    assert [(w.start, w.length) for w in cut] == [(0, 32), (32, 32), (64, 32), (96, 4)]


def test_loss_is_the_mean_over_all_targets_whatever_the_batches(bigram: nn.Module) -> None:
    losses = [
        HeldOut(TOKENS, count=1000, span=100, sequence_length=length, batch_size=size).loss(bigram, CPU)
        for length, size in ((100, 1), (100, 64), (7, 3), (1, 50))
    ]
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-6)


def test_loss_matches_a_plain_sum(bigram: nn.Module) -> None:
    held_out = HeldOut(TOKENS, count=4999, span=5000, sequence_length=64, batch_size=8)
    text = torch.from_numpy(TOKENS.astype(np.int64))
    expected = float(bigram(text[None, :-1], text[None, 1:]).detach()) / 4999
    assert held_out.loss(bigram, CPU) == pytest.approx(expected, rel=1e-5)


def test_evaluation_leaves_the_model_as_it_was(bigram: nn.Module) -> None:
    bigram.train()
    HeldOut(TOKENS, 100, 50, 10, 4).loss(bigram, CPU)
    assert bigram.training
    assert all(p.grad is None for p in bigram.parameters())


def test_a_loss_that_is_not_finite_is_refused() -> None:
    class Broken(nn.Module):
        def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
            return torch.tensor(math.nan)

    with pytest.raises(NonFinite, match="nan"):
        HeldOut(TOKENS, 100, 50, 10, 4).loss(Broken(), CPU)


def test_bits_per_byte_counts_bytes_not_tokens() -> None:
    assert bits_per_byte(math.log(2), 1.0) == pytest.approx(1.0)
    assert bits_per_byte(4 * math.log(2), 4.0) == pytest.approx(1.0)
