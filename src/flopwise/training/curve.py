"""The learning curve: losses come in, rows go out, and nothing that is not finite goes unnoticed."""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol

import torch
from torch import Tensor

from flopwise.errors import NonFinite
from flopwise.training.devices import Device

ROWS = 200
"""About how many rows of the learning curve a training reports."""
TAIL, MOST = 0.1, 10_000
"""The final training loss is the mean over this last share of the steps, and at most so many."""
LATE = 16
"""Steps whose losses are read together on an accelerator: reading waits for it, and it would idle."""


class Reporter(Protocol):
    """Who hears the rows."""

    def report(self, step: int, **values: float) -> None:
        """A row of the learning curve."""
        ...


def check_finite(numbers: Tensor, step: int) -> None:
    """Insist on numbers that a training can go on with.

    Args:
        numbers: Loss and length of the gradient.
        step: From 0.

    Raises:
        NonFinite: If one is not finite.
    """
    for name, value in zip(("loss", "gradient's length"), numbers.tolist(), strict=True):
        if not math.isfinite(value):
            raise NonFinite(
                f"the {name} is {value} in step {step + 1}",
                expected="a finite number",
                fix="lower train.lr, lengthen train.warmup_fraction, or set train.clip",
            )


class Curve:
    """Collects losses; reports every step, or when there are very many their means and the longest gradients.

    Args:
        reporter: Hears the rows.
        steps: How many there will be; None when the clock decides.
        device: Where the losses are; on the CPU they are read at once.
        first: The first loss of all, where it is known from a checkpoint.

    Attributes:
        first: The first loss; NaN before.
    """

    def __init__(self, reporter: Reporter, steps: int | None, device: Device, first: float = math.nan) -> None:
        self._reporter = reporter
        self._every = 1 if steps is None else math.ceil(steps / ROWS)
        self._clocked = steps is None
        self._together = 1 if device.name == "cpu" else LATE
        self._unread: list[tuple[int, Tensor, float, float]] = []
        self._reported = -math.inf
        self._waiting: list[float] = []
        self._longest = 0.0
        self._row: tuple[int, float] | None = None
        self.first = first
        self._count = 0
        self._recent: deque[float] = deque(maxlen=MOST)

    def add(self, step: int, numbers: Tensor, lr: float, progress: float) -> None:
        """One step: loss and length of the gradient, maybe still being computed.

        Raises:
            NonFinite: If one that is read now is not finite.
        """
        self._unread.append((step, numbers, lr, progress))
        if len(self._unread) >= self._together:
            self.read()

    def read(self) -> None:
        """Read what is not read yet; waits for the device."""
        if not self._unread:
            return
        for (step, _, lr, progress), numbers in zip(
            self._unread, torch.stack([each[1] for each in self._unread]).cpu(), strict=True
        ):
            check_finite(numbers, step - 1)
            self._take(step, float(numbers[0]), float(numbers[1]), lr, progress)
        self._unread = []

    def _take(self, step: int, loss: float, length: float, lr: float, progress: float) -> None:
        if step == 1:
            self.first = loss
        self._count = step
        self._recent.append(loss)
        self._waiting.append(loss)
        self._longest = max(self._longest, length)
        self._row = (step, lr)
        due = progress - self._reported >= 1 / ROWS if self._clocked else step % self._every == 0
        if due:
            self._reported = progress
            self._flush()

    def close(self) -> None:
        """Read and report what is left."""
        self.read()
        if self._waiting:
            self._flush()

    def tail(self) -> float:
        """Mean over the last tenth of the steps."""
        last = list(self._recent)[-max(1, math.ceil(TAIL * self._count)) :]
        return sum(last) / len(last) if last else math.nan

    def _flush(self) -> None:
        assert self._row is not None
        step, lr = self._row
        mean = sum(self._waiting) / len(self._waiting)
        self._reporter.report(step, train_loss=mean, lr=lr, grad_norm=self._longest)
        self._waiting, self._longest = [], 0.0
