"""Seconds of training: without validation, and with a first step that costs what the others do.

The first step of a training compiles, allocates and picks kernels; how long that takes says nothing about a
config, and on an accelerator it may be longer than the training. So of n steps that took T₁ … Tₙ seconds from
the start, (Tₙ − T₁) · n / (n − 1) are training, and the rest of T₁ is *warm-up*, which is reported apart.
"""

from __future__ import annotations

from flopwise.clock import Clock
from flopwise.training.checkpoint import START, Progress
from flopwise.training.devices import Device


class Stopwatch:
    """Runs from its making; every reading waits for the device.

    Args:
        clock: What it reads.
        device: Whose work is timed.
        begun: Where the training began: steps and seconds of a checkpoint are counted in, once.

    Example:
        >>> from flopwise.clock import SimulatedClock
        >>> clock = SimulatedClock()
        >>> watch = Stopwatch(clock, Device("cpu"))
        >>> for step in range(1, 5):
        ...     clock.advance(60.0 if step == 1 else 2.0)
        ...     watch.stepped(step)
        >>> watch.train_s(4), watch.warmup_s(4)
        (8.0, 58.0)
    """

    def __init__(self, clock: Clock, device: Device, begun: Progress = START) -> None:
        self._clock = clock
        self._device = device
        self._begun = begun
        self._paused_s = 0.0
        self._paused_at = 0.0
        self._first_s = 0.0
        device.synchronize()
        self._started = clock.monotonic()

    def elapsed_s(self) -> float:
        """Seconds trained so far, pauses left out; does not wait for the device."""
        return self._begun.train_s + self._own_s()

    def stepped(self, step: int) -> None:
        """A step is done; the first one of this process is timed."""
        if step == self._begun.step + 1:
            self._device.synchronize()
            self._first_s = self._own_s()

    def pause(self) -> None:
        """What comes now does not count."""
        self._device.synchronize()
        self._paused_at = self._clock.monotonic()

    def resume(self) -> None:
        """From here on time counts again."""
        self._device.synchronize()
        self._paused_s += self._clock.monotonic() - self._paused_at

    def train_s(self, step: int) -> float:
        """Seconds that all steps up to this one took, the first one counted like an average one of the others."""
        self._device.synchronize()
        own = step - self._begun.step
        if own < 2:
            return self.elapsed_s() if own else self._begun.train_s
        return self._begun.train_s + (self._own_s() - self._first_s) * own / (own - 1)

    def warmup_s(self, step: int) -> float:
        """What the first step took beyond that."""
        return self.elapsed_s() - self.train_s(step) if step > self._begun.step + 1 else 0.0

    def _own_s(self) -> float:
        return self._clock.monotonic() - self._started - self._paused_s
