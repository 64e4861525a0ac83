"""Validation inside a training: every few steps, on a stopped clock, until a target is reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from flopwise.target import TRAIN_S
from flopwise.training.stopwatch import Stopwatch


class Reporter(Protocol):
    """Who hears of every validation."""

    def report(self, step: int, **values: float) -> None:
        """A row of the learning curve."""
        ...


@dataclass(frozen=True)
class Validation:
    """When to validate, and when the training may end.

    Args:
        every: Steps between validations; the untrained model and the last step are validated, too.
        measure: The held-out values of the model as it is.
        reached: Whether such values are good enough to end.
        counted: Whether the time of validations counts as training; that of the untrained model never does.
    """

    every: int
    measure: Callable[[], Mapping[str, float]]
    reached: Callable[[Mapping[str, float]], bool] = lambda _: False
    counted: bool = False


class Validator:
    """Validates as a training goes.

    Args:
        validation: What to do; None for nothing.
        watch: Of the training; stopped meanwhile.
        reporter: Hears every validation, with the seconds of training until then.

    Attributes:
        values: Of the last validation; empty before.
        reached: The target is.
    """

    def __init__(self, validation: Validation | None, watch: Stopwatch, reporter: Reporter) -> None:
        self._validation = validation
        self._watch = watch
        self._reporter = reporter
        self._last_step = -1
        self.values: Mapping[str, float] = {}
        self.reached = False

    def stepped(self, step: int) -> None:
        """So many steps are done (0: none yet)."""
        if self._validation is not None and self.due(step):
            self._validate(self._validation, step)

    def due(self, step: int) -> bool:
        """Whether it validates after so many steps; never after the first alone, whose time is mostly warm-up."""
        return self._validation is not None and step != 1 and step % self._validation.every == 0

    def close(self, step: int) -> None:
        """The training is over."""
        if self._validation is not None and self._last_step != step:
            self._validate(self._validation, step)

    def _validate(self, validation: Validation, step: int) -> None:
        counted = validation.counted and step > 0
        if not counted:
            self._watch.pause()
        self.values, self._last_step = dict(validation.measure()), step
        if not counted:
            self._watch.resume()
        self.reached = validation.reached(self.values)
        self._reporter.report(step, **self.values, **{TRAIN_S: self._watch.train_s(step)})
