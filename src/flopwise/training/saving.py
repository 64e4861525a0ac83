"""Saving inside a training: every few steps and at its end, on a stopped clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flopwise.training.checkpoint import Progress
from flopwise.training.stopwatch import Stopwatch


@dataclass(frozen=True)
class Saving:
    """When to save, besides at the end.

    Args:
        every: Steps between checkpoints; None for the end alone.
        save: Writes one, in place of the one before.
    """

    every: int | None
    save: Callable[[Progress], None]


class Saver:
    """Saves as a training goes, on a stopped clock.

    Args:
        saving: What to do; None for nothing.
        watch: Of the training.
        begun: Where the training began.
    """

    def __init__(self, saving: Saving | None, watch: Stopwatch, begun: Progress) -> None:
        self._saving = saving
        self._watch = watch
        self._last_step = begun.step

    def due(self, step: int) -> bool:
        """Whether it saves after so many steps."""
        every = self._saving.every if self._saving else None
        return every is not None and step % every == 0

    def stepped(self, step: int, tokens: int, first_loss: float) -> None:
        """So many steps are done, and their losses are known to be finite."""
        if self.due(step):
            self._save(step, tokens, first_loss)

    def close(self, step: int, tokens: int, first_loss: float) -> None:
        """The training is over, or was stopped."""
        if self._last_step != step:
            self._save(step, tokens, first_loss)

    def _save(self, step: int, tokens: int, first_loss: float) -> None:
        if self._saving is None:
            return
        self._watch.pause()
        self._saving.save(Progress(step, tokens, self._watch.train_s(step), first_loss))
        self._watch.resume()
        self._last_step = step
