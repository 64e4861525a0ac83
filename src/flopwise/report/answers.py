"""The questions of a staged search and their answers, in sentences and tables, from the summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flopwise.questions import same
from flopwise.report.blocks import Block, bullets, say
from flopwise.report.grid import Column, Grid, gives, right
from flopwise.report.headline import Summary, counted
from flopwise.report.text import BLANK, knob, number, percent, short_keys
from flopwise.units import format_seconds

WORDS = {
    True: {"better": "faster", "worse": "slower", "open": "not told apart"},
    False: {"better": "better", "worse": "worse", "open": "not told apart"},
}
"""By whether the study is about time."""

MARKS = {"better": "best", "worse": "failed", "open": ""}


def answers(summary: Summary) -> Iterator[Block]:
    """Every question with its answer."""
    if not summary["questions"]:
        return
    yield say(
        "Each row holds an option against a reference, in pairs that differ in nothing else. Positive is better; "
        "brackets are two-sided 95% intervals, each by itself. Losses at equal time and at equal steps are those at "
        "which the first of a pair ended."
    )
    for question in summary["questions"]:
        ask = f": {question['ask']}" if question["ask"] else ""
        yield say(f"{question['name']}{ask}", strong=True)
        if question["contrasts"]:
            yield contrast_grid(question["contrasts"], summary)
        notes = list(_notes(question, summary))
        if notes:
            yield bullets(notes)


def contrast_grid(contrasts: Sequence[Mapping[str, Any]], summary: Summary) -> Grid:
    """A row a contrast."""
    titles = [main_title(summary), "loss at equal time", "at equal steps"]
    columns: list[str | Column] = [gives("option"), gives("against"), right("pairs"), *map(right, titles), "answer"]
    return Grid.of(columns, [_row(each, summary) for each in contrasts], [MARKS[each["answer"]] for each in contrasts])


def answer_grid(summary: Summary) -> Grid:
    """For a terminal: the answers alone."""
    columns: list[str | Column] = ["", gives("option (not reference)"), right(main_title(summary)), "answer"]
    rows, marks = [], []
    for question in summary["questions"]:
        for each in question["contrasts"]:
            rows.append((question["name"], between(each), interval(each["objective"]), word(each, summary)))
            marks.append(MARKS[each["answer"]])
    return Grid.of(columns, rows, marks)


def between(contrast: Mapping[str, Any]) -> str:
    """What differs: ``lr 0.03 (not 0.01)``."""
    option, reference = contrast["option"], contrast["reference"]
    names = short_keys(option)
    return ", ".join(
        f"{names[key]} {knob(value)} (not {knob(reference[key])})"
        for key, value in option.items()
        if not same(value, reference[key])
    )


def main_title(summary: Summary) -> str:
    """What the study is about, as a column's title."""
    timed = summary["timed"]
    return f"s saved to {timed['target']:g}" if timed else f"{summary['objective']['metric']}, better by"


def word(contrast: Mapping[str, Any], summary: Summary) -> str:
    """What the answer is called."""
    if contrast["objective"]["mean"] is None:
        return "not known"
    return WORDS[summary["timed"] is not None][contrast["answer"]]


def setting(values: Mapping[str, Any]) -> str:
    """What an option sets: ``lr 0.01, project_every 7``."""
    names = short_keys(values)
    return ", ".join(f"{names[key]} {knob(value)}" for key, value in values.items())


def interval(gain: Mapping[str, Any]) -> str:
    """A mean difference with its interval.

    Example:
        >>> interval({"mean": 1.5, "lower": 1.0, "upper": 2.0}), interval({"mean": None, "lower": None, "upper": None})
        ('1.500 [1.000, 2.000]', '–')
    """
    if gain["mean"] is None:
        return BLANK
    if gain["lower"] is None:
        return f"{number(gain['mean'])} [?]"
    return f"{number(gain['mean'])} [{number(gain['lower'])}, {number(gain['upper'])}]"


def _row(contrast: Mapping[str, Any], summary: Summary) -> tuple[str, ...]:
    gains = (interval(contrast[name]) for name in ("objective", "equal_seconds", "equal_step"))
    pairs = str(contrast["pairs"])
    return setting(contrast["option"]), setting(contrast["reference"]), pairs, *gains, word(contrast, summary)


def _notes(question: Mapping[str, Any], summary: Summary) -> Iterator[str]:
    """What is known of the pairs beyond their differences."""
    if question["settled"]:
        skipped = counted(question["settled"]["skipped"], "config")
        yield f"Settled early: {question['settled']['reason']}; {skipped} not run."
    if question["best"] is not None:
        trial = next(each for each in summary["trials"] if each["number"] == question["best"])
        value = number(trial["value"]) if trial["value"] is not None else "target not reached"
        yield f"Best of them: trial {trial['number']} ({setting(trial['config'])}), {value}."
    contrasts = question["contrasts"]
    yield from _censored(contrasts)
    yield from _left_out(contrasts)
    yield from _resting(contrasts)


def _censored(contrasts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for each in contrasts:
        if each["horizon"] is not None:
            first, second = each["reached"]
            of = each["pairs"] - each["disturbed"]
            yield (
                f"{setting(each['option'])}: {second} of {of} reached the target, of the reference {first}; times "
                f"count up to the {format_seconds(each['horizon'])} that every one of them was watched."
            )
        if each["chance"] is not None:
            yield f"{setting(each['option'])}: by chance as far apart in {percent(each['chance'])} of all cases."


def _left_out(contrasts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    said = {
        "failed": "one of the two failed",
        "missing": "one of the two was not run",
        "disturbed": "a slot was used by others, for all that is about seconds",
    }
    for name, why in said.items():
        count = sum(each[name] for each in contrasts)
        if count:
            yield f"Left out: {counted(count, 'pair')} ({why})."


def _resting(contrasts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Where the intervals come from, if not from the pairs themselves."""
    gains = [each[name] for each in contrasts for name in ("objective", "equal_seconds", "equal_step")]
    if any(gain["rests_on"] == "repeats" for gain in gains):
        df = {gain["df"] for gain in gains if gain["rests_on"] == "repeats"}
        many = " to ".join(str(each) for each in sorted({min(df), max(df)}))
        yield (
            "Too few seeds of the same settings: intervals rest on how much configs that ran on several seeds differ "
            f"between them ({many} degrees of freedom), taken to be the same for all."
        )
    if any(gain["n"] and gain["lower"] is None for gain in gains):
        yield "Where there is no interval, nothing is known of the noise."
