"""What has finished, put together by trial while it comes in: a policy's question costs the same at any length."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields
from typing import Any, overload

from flopwise.policies.pace import Timing
from flopwise.trial import Outcome, Phase


@dataclass(frozen=True, slots=True)
class Finished:
    """One evaluation (one seed of one trial) that has ended for good, after all retries.

    Args:
        number: Trial number.
        phase: What the trial is for.
        generation: From 1; None without generations and outside the search.
        loss: Smaller is better; None when it failed.
        outcome: How its last attempt ended.
        timing: When its last attempt ran; None when unknown.
        config: What was evaluated: the keys of the space.
        work: How much more work it is than the baseline, as far as the workload can tell; None when it cannot.
        seed_index: Which of its trial's seeds.
    """

    number: int
    phase: Phase
    generation: int | None
    loss: float | None
    outcome: Outcome
    timing: Timing | None = None
    config: Mapping[str, Any] = field(default_factory=dict, hash=False)
    work: float | None = None
    seed_index: int = 0

    @property
    def failed(self) -> bool:
        """Whether it gave no loss for any other reason than being pruned."""
        return self.loss is None and self.outcome is not Outcome.PRUNED


RECENT = 10_000
"""Evaluations that policies look at again and again: the widest look of `throughput`."""

WAVES = 3
"""And so many on every slot: two of them are its narrowest look, after one that it leaves out."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A trial of which all seeds have ended.

    Args:
        number: Trial number.
        generation: From 1; None without generations.
        loss: Mean over its evaluations; infinite when one failed.
        last: Index of the last of them among all evaluations.
        best: Place of the best trial of the search up to this one, the first of equals.
    """

    number: int
    generation: int | None
    loss: float
    last: int = -1
    best: int = 0


class Evaluations(Sequence[Finished]):
    """Finished evaluations in order; only ever appended to. Old ones are kept as text, in a third of the memory.

    Args:
        seeds: Evaluations of one search trial.
        finished: The first ones.
        slots: How many run at a time.

    Attributes:
        searched: Trials of the search of which all seeds have ended, in the order of their last seed's end.
        baseline: The calibrated trial as far as it has been evaluated; None before.
        calibrated_s: Seconds of its evaluations that ended ok.

    Example:
        >>> ends = [Finished(number, Phase.SEARCH, None, 3.0 - number, Outcome.OK) for number in (1, 2)]
        >>> [(trial.number, trial.best) for trial in Evaluations(1, ends).searched]
        [(1, 0), (2, 1)]
    """

    def __init__(self, seeds: int = 1, finished: Iterable[Finished] = (), slots: int = 1) -> None:
        self._seeds = seeds
        self._recent = max(RECENT, WAVES * slots)
        self._finished: list[Finished | bytes] = []
        self._begun: dict[int, list[float]] = {}
        self._calibrated: dict[int, float] = {}
        self.calibrated_s: list[float] = []
        self.searched: list[Scored] = []
        self.baseline: Scored | None = None
        for evaluation in finished:
            self.append(evaluation)

    def __len__(self) -> int:
        return len(self._finished)

    @overload
    def __getitem__(self, index: int) -> Finished: ...
    @overload
    def __getitem__(self, index: slice) -> list[Finished]: ...
    def __getitem__(self, index: int | slice) -> Finished | list[Finished]:
        found = self._finished[index]
        if isinstance(found, list):
            return [each if isinstance(each, Finished) else _unpacked(each) for each in found]
        return _unpacked(found)

    def append(self, evaluation: Finished) -> None:
        """Add the next one."""
        self._finished.append(evaluation)
        if len(self) > self._recent:
            self._finished[-self._recent - 1] = _packed(self[-self._recent - 1])
        loss = math.inf if evaluation.loss is None else evaluation.loss
        if evaluation.phase is Phase.CALIBRATE:
            self._calibrate(evaluation, loss)
        elif evaluation.phase is Phase.SEARCH:
            losses = self._begun.setdefault(evaluation.number, [])
            losses.append(loss)
            if len(losses) == self._seeds:
                self._score(evaluation, _mean(self._begun.pop(evaluation.number)))

    def baseline_loss(self, seeds: int) -> float | None:
        """The baseline's mean loss over its first seeds, which every trial of the search shares; None before."""
        shared = [self._calibrated[index] for index in range(seeds) if index in self._calibrated]
        return _mean(shared) if len(shared) == seeds and math.inf not in shared else None

    def _calibrate(self, evaluation: Finished, loss: float) -> None:
        self._calibrated[evaluation.seed_index] = loss
        self.baseline = Scored(evaluation.number, None, _mean(list(self._calibrated.values())), len(self) - 1)
        if evaluation.timing is not None and evaluation.outcome is Outcome.OK:
            self.calibrated_s.append(evaluation.timing.seconds)

    def _score(self, last: Finished, loss: float) -> None:
        place, searched = len(self.searched), self.searched
        best = searched[-1].best if searched and searched[searched[-1].best].loss <= loss else place
        searched.append(Scored(last.number, last.generation, loss, len(self) - 1, best))


def _packed(evaluation: Finished) -> bytes:
    """An evaluation as the JSON of its fields, in order."""
    values = [getattr(evaluation, field.name) for field in fields(Finished)]
    return json.dumps(values, separators=(",", ":"), default=_plain).encode()


def _plain(value: Any) -> Any:
    return astuple(value) if isinstance(value, Timing) else dict(value)


def _unpacked(evaluation: Finished | bytes) -> Finished:
    """Inverse of :func:`_packed`."""
    if isinstance(evaluation, Finished):
        return evaluation
    values = dict(zip((field.name for field in fields(Finished)), json.loads(evaluation), strict=True))
    timing = None if values["timing"] is None else Timing(*values["timing"])
    return Finished(
        **{**values, "phase": Phase(values["phase"]), "outcome": Outcome(values["outcome"]), "timing": timing}
    )


def _mean(losses: Sequence[float]) -> float:
    return sum(losses) / len(losses)
