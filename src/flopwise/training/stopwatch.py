"""Seconds of training: without validation, and with a first step that costs what the others do.

The first step of a training compiles, allocates and picks kernels; how long that takes says nothing about a
config, and on an accelerator it may be longer than the training. So of n steps that took T₁ … Tₙ seconds from
the start, (Tₙ − T₁) · n / (n − 1) are training, and the rest of T₁ is *warm-up*, which is reported apart.
"""

from __future__ import annotations

from flopwise.clock import Clock
from flopwise.training.devices import Device


class Stopwatch:
    """Runs from its making; every reading waits for the device.

    Args:
        clock: What it reads.
        device: Whose work is timed.

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

    def __init__(self, clock: Clock, device: Device) -> None:
        self._clock = clock
        self._device = device
        self._paused_s = 0.0
        self._paused_at = 0.0
        self._first_s = 0.0
        device.synchronize()
        self._started = clock.monotonic()

    def elapsed_s(self) -> float:
        """Seconds since the start, pauses left out; does not wait for the device."""
        return self._clock.monotonic() - self._started - self._paused_s

    def stepped(self, step: int) -> None:
        """A step is done; the first one is timed."""
        if step == 1:
            self._device.synchronize()
            self._first_s = self.elapsed_s()

    def pause(self) -> None:
        """What comes now does not count."""
        self._device.synchronize()
        self._paused_at = self._clock.monotonic()

    def resume(self) -> None:
        """From here on time counts again."""
        self._device.synchronize()
        self._paused_s += self._clock.monotonic() - self._paused_at

    def train_s(self, steps: int) -> float:
        """Seconds that so many steps took, the first one counted like an average one of the others."""
        self._device.synchronize()
        if steps < 2:
            return self.elapsed_s() if steps else 0.0
        return (self.elapsed_s() - self._first_s) * steps / (steps - 1)

    def warmup_s(self, steps: int) -> float:
        """What the first step took beyond that."""
        return self.elapsed_s() - self.train_s(steps) if steps > 1 else 0.0
