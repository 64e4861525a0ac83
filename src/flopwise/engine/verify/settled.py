"""Which trial of a staged search answers what, and whether each question that was not asked to its end may so end."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scipy.special import stdtrit

from flopwise.engine.verify.difference import Difference, compare
from flopwise.engine.verify.parts import NEVER, Trial
from flopwise.engine.verify.run import Run

CLOSE = 1e-9
Place = tuple[str, int, int]
"""Question, row of its grid, context."""


def check_settled(run: Run) -> Iterator[Difference]:
    """Every question that was not asked to its end, and none that had to be."""
    if run.study["search"]["method"] != "staged":
        return
    expected = list(_expected_settled(run))
    for place, (record, event) in enumerate(run.settled):
        if place >= len(expected):
            yield Difference(record.where, "question", "one that goes on", str(event.question))
            continue
        found = {
            "question": event.question,
            "dropped": event.dropped,
            "skipped": event.skipped,
            "numbers": event.numbers,
        }
        yield from compare(record.where, expected[place], found, "", CLOSE)
    if len(expected) > len(run.settled):
        yield Difference("events", "QuestionSettled", str(len(expected)), str(len(run.settled)))


def asked(run: Run) -> dict[str, Mapping[str, Any]]:
    """The questions of a staged search by name."""
    found: dict[str, Mapping[str, Any]] = run.study["search"]["options"]["questions"]
    return found


def _size(question: Mapping[str, Any]) -> tuple[int, int]:
    """Rows and contexts."""
    return math.prod(len(values) for values in question["grid"].values()), max(1, len(question["configs"]))


def _built_on(question: Mapping[str, Any]) -> dict[str, str]:
    return {key: value["best_of"] for key, value in question["base"].items() if isinstance(value, dict)}


def places(run: Run) -> tuple[list[Place], dict[str, int]]:
    """What every trial of the first stage answers, in order; and how many there are before a question is cut."""
    questions, found, cuts = asked(run), list[Place](), dict[str, int]()
    gone = {event.question: set(event.dropped) for _, event in run.settled}
    groups: list[list[str]] = [[]]
    for name, question in questions.items():
        if any(source in groups[-1] for source in _built_on(question).values()):
            groups.append([])
        groups[-1].append(name)
    for group in groups:
        heads = {name: _head(name, questions) for name in group}
        for name in group:
            found += itertools.product([name], range(_size(questions[name])[0]), range(heads[name]))
        start = len(found)
        for name in group:
            rows, contexts = _size(questions[name])
            if heads[name] < contexts:
                cuts[name] = start
                left = [row for row in range(rows) if row not in gone.get(name, ())]
                found += itertools.product([name], left, range(heads[name], contexts))
    return found, cuts


def _head(name: str, questions: Mapping[str, Mapping[str, Any]]) -> int:
    """Contexts before a question may be cut short: three quarters of four and more, if nobody asks which is best."""
    rows, contexts = _size(questions[name])
    set_here = {key for config in questions[name]["configs"] for key in config}
    wanted = {key for other in questions.values() for key, source in _built_on(other).items() if source == name}
    return contexts if contexts < 4 or rows < 2 or wanted & set_here else -(-3 * contexts // 4)


def _expected_settled(run: Run) -> Iterator[dict[str, Any]]:
    found, cuts = places(run)
    trials = run.by_phase("search")
    known = {event.question for _, event in run.settled}
    for name in cuts:
        if len(trials) > cuts[name] or name in known:
            yield from _one(run, name, found[: cuts[name]], trials)
    yield from _fine(run, len(found), trials)


def _one(run: Run, name: str, found: Sequence[Place], trials: Sequence[Trial]) -> Iterator[dict[str, Any]]:
    rows, contexts = _size(asked(run)[name])
    table: list[list[float]] = [[] for _ in range(rows)]
    for (question, row, _), trial in zip(found, trials, strict=False):
        if question == name:
            loss = told(trial)
            table[row].append(math.inf if loss is None or loss >= NEVER else loss)
    count = len(table[0])
    if not all(math.isfinite(loss) for row in table for loss in row) or count < 2:
        return
    best = min(range(rows), key=lambda row: math.fsum(table[row]))
    critical = float(stdtrit(count - 1, 1 - 0.01 / (rows - 1)))
    worse = []
    for row in (row for row in range(rows) if row != best):
        gaps = [theirs - mine for theirs, mine in zip(table[row], table[best], strict=True)]
        mean = math.fsum(gaps) / count
        worse.append({"row": row, "mean": mean, "lower": mean - critical * statistics.stdev(gaps) / math.sqrt(count)})
    if all(each["lower"] > 0 for each in worse):
        dropped = [each["row"] for each in worse]
        numbers = {"best": best, "contexts": count, "worse": worse}
        skipped = len(dropped) * (contexts - count)
        yield {"question": name, "dropped": dropped, "skipped": skipped, "numbers": numbers}


def told(trial: Trial) -> float | None:
    """A trial's loss by the target that the study begins with: a search knows no other."""
    level, trial.aim.level = trial.aim.level, None
    try:
        return trial.loss()
    finally:
        trial.aim.level = level


def _fine(run: Run, before: int, trials: Sequence[Trial]) -> Iterator[dict[str, Any]]:
    """The second stage ends at its half where none of that is among the best few."""
    event = next((event for _, event in run.settled if event.question is None), None)
    second = trials[before:]
    ended = any(raised.action == "end_search" for raised in run.raised)
    if not second or (event is None and (ended or not {"choose", "decide"} & run.phases.keys())):
        return
    total = len(second) + (event.skipped if event else 0)
    half, top = -(-total // 2), run.study["search"]["options"]["refine"]["top"]
    if total < 12 or not all(trial.finished for trial in second[:half]):
        return
    ranked = sorted((loss, n) for n, trial in enumerate(trials[: before + half]) if (loss := told(trial)) is not None)
    own = [place for place, (_, n) in enumerate(ranked, start=1) if n >= before]
    if not own or own[0] > top:
        numbers = {"tried": half, "top": top, "best_place": own[0] if own else None}
        yield {"question": None, "dropped": [], "skipped": total - half, "numbers": numbers}
