"""What a staged search's questions came to: each of their contrasts in seconds, at equal time and at equal steps.

Everything is read from the learning curves in the journal, for the target in force.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flopwise.contention import is_contended
from flopwise.journal.replay import RunState, TrialState
from flopwise.objective import Objective
from flopwise.questions import Contrast, contrasts, sequence
from flopwise.registry import resolve
from flopwise.stats.censored import Duration, horizon, restricted
from flopwise.stats.contrasts import (
    Axis,
    Gain,
    Repeats,
    Watched,
    common,
    gain,
    pooled,
    turned_round,
    value_at,
)
from flopwise.target import points
from flopwise.trial import Fidelity, Outcome, Phase

STAGED = "staged"

BASELINE = "flopwise.study:baseline_config"
"""Loaded for staged searches: what reads studies takes longer to import than all that a status needs."""

CHANCE = 0.05
"""Of a contrast of censored times that rests on its own pairs, see :func:`_answer`."""

Pair = tuple[Watched, Watched]
"""Reference and option on the same seed."""

AXES: tuple[Axis, Axis] = ("seconds", "step")


def questions(state: RunState) -> list[dict[str, Any]]:
    """Every question with its answers, as ``report.json`` has them; none of a search that is not staged."""
    if state.study["search"]["method"] != STAGED:
        return []
    asked = state.study["search"]["options"]["questions"]
    reader = _Reader(state)
    return [_question(name, question, reader) for name, question in asked.items()]


def _question(name: str, question: Mapping[str, Any], reader: _Reader) -> dict[str, Any]:
    trials = reader.trials_of(name)
    return {
        "name": name,
        "ask": question["ask"],
        "trials": [trial.trial.number for trial in trials],
        "best": reader.best(trials),
        "settled": reader.settled(name),
        "contrasts": [_contrast(each, name, reader) for each in contrasts(question, reader.centre)],
    }


@dataclass(frozen=True)
class Pairs:
    """The pairs of a contrast, those of one block together.

    Args:
        blocks: Pairs of trainings that both ended ok.
        failed: Pairs of which one failed.
        missing: Pairs of which one has not ended, or was never run.
    """

    blocks: tuple[tuple[Pair, ...], ...]
    failed: int
    missing: int

    @property
    def timed(self) -> list[list[Pair]]:
        """Those whose seconds mean something."""
        return [[pair for pair in block if all(each.timed for each in pair)] for block in self.blocks]

    @property
    def disturbed(self) -> int:
        """How many have seconds that mean nothing."""
        return sum(map(len, self.blocks)) - sum(map(len, self.timed))


def _contrast(contrast: Contrast, name: str, reader: _Reader) -> dict[str, Any]:
    pairs = reader.pairs(name, contrast)
    runs = [each for block in pairs.timed for pair in block for each in pair]
    until = horizon([run.duration for run in runs if run.duration is not None])
    main, chance = _main(pairs, until, reader), None
    if until is not None and main.rests_on == "pairs":
        chance = turned_round([each for block in _differences(pairs.timed, until) for each in block])
    return {
        "reference": dict(contrast.reference),
        "option": dict(contrast.option),
        "pairs": sum(map(len, pairs.blocks)),
        "failed": pairs.failed,
        "missing": pairs.missing,
        "disturbed": pairs.disturbed,
        "reached": _reached(pairs.timed) if reader.objective.target else None,
        "horizon": until,
        "chance": chance,
        "answer": _answer(main, until, chance),
        "objective": asdict(main),
        **{f"equal_{axis}": _at_equal(pairs, axis, reader) for axis in AXES},
    }


def _main(pairs: Pairs, until: float | None, reader: _Reader) -> Gain:
    """The objective's own difference; of times, restricted to the moment up to which every one was watched.

    Where nobody had got there by then nothing is known, and of differences that are all the same no interval.
    """
    if reader.objective.target is None:
        return gain(_differences(pairs.blocks, None), reader.repeats("objective"))
    found = gain(_differences(pairs.timed, until), reader.repeats("objective"))
    runs = [each for block in pairs.timed for pair in block for each in pair]
    if until is not None and all(_place(run, until) == until for run in runs):
        return Gain(found.n)
    unknown = until is not None and found.rests_on == "pairs" and not found.sd
    return Gain(found.n, found.mean) if unknown else found


def _differences(blocks: Iterable[Sequence[Pair]], until: float | None) -> list[list[float]]:
    return [[_place(first, until) - _place(second, until) for first, second in block] for block in blocks]


def _place(run: Watched, until: float | None) -> float:
    if run.duration is not None:
        return restricted(run.duration, until)
    assert run.loss is not None
    return run.loss


def _reached(blocks: Iterable[Sequence[Pair]]) -> list[int]:
    """Trainings of reference and option that reached the target, of the pairs that are compared."""
    pairs = [pair for block in blocks for pair in block]
    return [sum(pair[side].duration is not None and pair[side].duration.reached for pair in pairs) for side in (0, 1)]  # type: ignore[union-attr]


def _answer(main: Gain, until: float | None, chance: float | None) -> str:
    """``better``, ``worse`` or ``open``.

    Cutting times at a horizon makes differences exactly 0, and an interval that rests on their own spread too narrow;
    then they must be hard to get by chance as well. What is cut varies less than what is not, so an interval that
    rests on repeats is too wide, if anything.
    """
    if main.lower is None or main.upper is None or main.lower <= 0 <= main.upper:
        return "open"
    if chance is not None and chance > CHANCE:
        return "open"
    return "better" if main.lower > 0 else "worse"


def _at_equal(pairs: Pairs, axis: Axis, reader: _Reader) -> dict[str, Any]:
    """The difference in loss where the first of each pair ended."""
    blocks, places = [], []
    for block in pairs.timed if axis == "seconds" else pairs.blocks:
        blocks.append([difference for pair in block if (difference := reader.apart(pair, axis)) is not None])
        places += [where for pair in block if (where := common([each.curve for each in pair], axis)) is not None]
    found = gain(blocks, reader.repeats(axis))
    return {**asdict(found), "from": min(places, default=None), "to": max(places, default=None)}


class _Reader:
    """A run as the questions look at it.

    Args:
        state: The whole run.
    """

    def __init__(self, state: RunState) -> None:
        self._state = state
        self.objective: Objective = state.objective
        self._told_by = Objective.from_json(state.study["objective"])
        self.centre: Mapping[str, Any] = resolve(BASELINE)(state.study)
        target = self.objective.target
        self._metric = target.metric if target else self.objective.metric
        self._sign = target.sign if target else self.objective.sign
        dropped = {each.question: each.dropped for each in state.settled if each.question}
        order = sequence(state.study["search"]["options"]["questions"], dropped)
        searched = iter(state.by_phase(Phase.SEARCH))
        self._trials = {(c.question, c.row, c.context): t for c, t in zip(order, searched, strict=False)}
        self._repeats: dict[str, Repeats | None] = {}

    def trials_of(self, name: str) -> list[TrialState]:
        """A question's trials, as far as they have been proposed."""
        return [trial for (question, _, _), trial in self._trials.items() if question == name]

    def best(self, trials: Sequence[TrialState]) -> int | None:
        """The one whose values later questions take: the best by what the searcher was told."""
        ranked = [(loss, t.trial.number) for t in trials if (loss := t.loss(self._told_by)) is not None]
        return min(ranked)[1] if ranked else None

    def settled(self, name: str) -> dict[str, Any] | None:
        """How a question ended early; None where it did not."""
        found = next((each for each in self._state.settled if each.question == name), None)
        return None if found is None else {"skipped": found.skipped, "reason": found.reason}

    def pairs(self, name: str, contrast: Contrast) -> Pairs:
        """Every pair of a contrast, on every seed."""
        blocks, failed, missing = [], 0, 0
        for cells in contrast.pairs:
            trials = [self._trials.get((name, *cell)) for cell in cells]
            block = []
            for index in range(self._state.study["evaluation"]["seeds"]):
                ends = [None if trial is None else trial.final(index) for trial in trials]
                if any(end is None for end in ends):
                    missing += 1
                elif any(end is not None and end.outcome != Outcome.OK for end in ends):
                    failed += 1
                else:
                    first, second = (self.watched(trial, index) for trial in trials if trial is not None)
                    block.append((first, second))
            blocks.append(tuple(block))
        return Pairs(tuple(blocks), failed, missing)

    def watched(self, trial: TrialState, index: int) -> Watched:
        """The training that counts for a seed, which ended ok."""
        attempt = trial.last_counted(index)
        assert attempt is not None and attempt.ended is not None
        end, loss = attempt.ended, trial.losses(self.objective)[index]
        curve, timed = points(attempt.rows, self._metric), not is_contended(end.contention)
        if self.objective.target is None or loss is None:
            return Watched(curve, loss, None, timed)
        reached = self.objective.reached(loss)
        seconds = loss if reached else float(end.info["last_validation"][1])
        return Watched(curve, None, Duration(seconds, reached), timed)

    def apart(self, pair: Pair, axis: Axis) -> float | None:
        """How much better the option's loss is where the first of the two ended; None without curves."""
        where = common([each.curve for each in pair], axis)
        if where is None:
            return None
        first, second = (value_at(each.curve, where, axis) for each in pair)
        return self._sign * (first - second)

    def repeats(self, what: str) -> Repeats | None:
        """How much one config's results differ between seeds: of the objective, or of the loss at equal ``what``."""
        if what not in self._repeats:
            read: Callable[[list[Watched]], list[float]] = self._places if what == "objective" else self._along(what)
            self._repeats[what] = pooled(read(seeds) for seeds in self._repeated())
        return self._repeats[what]

    def _repeated(self) -> Iterator[list[Watched]]:
        """Every trial of the full length that ended ok on several seeds."""
        full = Fidelity.from_json(self._state.study["evaluation"]["stop"])
        for _, trial in sorted(self._state.trials.items()):
            ends = trial.finals()
            ok = all(end is not None and end.outcome == Outcome.OK for end in ends)
            if trial.trial.fidelity == full and len(ends) > 1 and ok:
                yield [self.watched(trial, index) for index in range(len(ends))]

    def _places(self, seeds: list[Watched]) -> list[float]:
        """Results, where all of them are values."""
        if self.objective.target is None:
            return [each.loss for each in seeds if each.loss is not None]
        whole = all(each.timed and each.duration is not None and each.duration.reached for each in seeds)
        return [each.duration.seconds for each in seeds if each.duration is not None] if whole else []

    def _along(self, axis: Any) -> Callable[[list[Watched]], list[float]]:
        def read(seeds: list[Watched]) -> list[float]:
            curves = [each.curve for each in seeds]
            where = common(curves, axis)
            if where is None or (axis == "seconds" and not all(each.timed for each in seeds)):
                return []
            return [value_at(curve, where, axis) for curve in curves]

        return read
