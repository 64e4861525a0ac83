"""The held-out loss: always over the same tokens, whatever the model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from flopwise.errors import NonFinite, WorkloadError
from flopwise.training.datasets import Tokens
from flopwise.training.devices import Device


@dataclass(frozen=True)
class Window:
    """Consecutive held-out targets that the model sees as one sequence.

    Args:
        start: Position of the first input; the first target is the next token.
        length: Targets.
    """

    start: int
    length: int


def excerpts(available: int, count: int, span: int) -> list[Window]:
    """Excerpts spread evenly over the held-out text, together exactly ``count`` targets.

    Args:
        available: Held-out tokens.
        count: Targets wanted.
        span: Targets of one excerpt (the last ones may be shorter).

    Raises:
        WorkloadError: If the held-out text is too short.

    Example:
        >>> excerpts(available=101, count=20, span=10)
        [Window(start=0, length=10), Window(start=50, length=10)]
    """
    spare = available - 1 - count
    if spare < 0:
        raise WorkloadError(
            "too little text is held out",
            expected=f"at least {count + 1} tokens",
            got=str(available),
            where="data.valid_tokens",
            fix="lower data.valid_tokens or raise data.valid_fraction",
        )
    n = math.ceil(count / span)
    ends = [(i + 1) * count // n for i in range(n)]
    begins = [0, *ends[:-1]]
    return [Window(a + i * spare // n, b - a) for i, (a, b) in enumerate(zip(begins, ends, strict=True))]


def windows(excerpt: Window, sequence_length: int) -> Iterator[Window]:
    """An excerpt cut into sequences; the last one may be shorter, no target is left out."""
    end = excerpt.start + excerpt.length
    for start in range(excerpt.start, end, sequence_length):
        yield Window(start, min(sequence_length, end - start))


class HeldOut:
    """A fixed set of held-out targets, cut into batches.

    Args:
        tokens: The held-out text.
        count: Targets to take the loss over.
        span: Targets of one excerpt.
        sequence_length: Longest sequence the model sees.
        batch_size: Sequences computed at a time.

    Raises:
        WorkloadError: If the held-out text is too short.
    """

    def __init__(self, tokens: Tokens, count: int, span: int, sequence_length: int, batch_size: int) -> None:
        self.count = count
        cut = [w for e in excerpts(len(tokens), count, span) for w in windows(e, sequence_length)]
        by_length: dict[int, list[Window]] = {}
        for window in cut:
            by_length.setdefault(window.length, []).append(window)
        self._batches = [
            _gather(tokens, group[i : i + batch_size])
            for group in by_length.values()
            for i in range(0, len(group), batch_size)
        ]

    @torch.no_grad()
    def loss(self, model: nn.Module, device: Device) -> float:
        """Mean loss in nats a token. ``model(inputs, targets)`` returns the sum over targets.

        Raises:
            NonFinite: If it is not a finite number.
        """
        was_training = model.training
        model.eval()
        with device.precision():
            total = math.fsum(float(model(x.to(device.name), y.to(device.name))) for x, y in self._batches)
        model.train(was_training)
        if not math.isfinite(total):
            raise NonFinite(f"the held-out loss is {total}", fix="lower train.lr")
        return total / self.count


def bits_per_byte(loss: float, bytes_per_token: float) -> float:
    """Loss in nats a token as bits a byte of text, comparable across tokenizers.

    Example:
        >>> round(bits_per_byte(math.log(256), bytes_per_token=1.0), 6)
        8.0
    """
    return loss / math.log(2) / bytes_per_token


def _gather(tokens: Tokens, group: list[Window]) -> tuple[Tensor, Tensor]:
    """Inputs and targets of windows of one length, as int64 of shape ``(windows, length)``."""
    starts = np.array([window.start for window in group])
    both = torch.from_numpy(tokens[starts[:, None] + np.arange(group[0].length + 1)].astype(np.int64))
    return both[:, :-1], both[:, 1:]
