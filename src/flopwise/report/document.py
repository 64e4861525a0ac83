"""The report in sections: the verdict first, then everything behind it, each number from the summary."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from flopwise.budget.plan import Plan
from flopwise.report import probes, rows
from flopwise.report.answers import answers
from flopwise.report.blocks import Block, Mono, as_markdown, bullets, code, say
from flopwise.report.grid import Grid
from flopwise.report.headline import Summary, headline, price_line
from flopwise.report.judged import looks, others, triggers
from flopwise.report.offer import offer_command, offer_sentences
from flopwise.report.packing import packing_grid, packing_sentences
from flopwise.report.pause import evidence_lines
from flopwise.report.slot_use import slot_grid, slot_sentences
from flopwise.report.stragglers import straggler_sentences
from flopwise.report.target import target_blocks
from flopwise.report.text import cell, number, percent, sparkline
from flopwise.report.training import training_command, training_note

BEST_TRIALS = 10

ANY_ROOM = 1_000_000
"""Pages scroll: every knob gets its column."""

Section = Iterator[Block]
"""Blocks of one section; none when there is nothing to say."""


def render_markdown(summary: Summary) -> str:
    """The report of a run.

    Args:
        summary: From :func:`flopwise.report.summary.summarise`.
    """
    parts = [f"# {cell(summary['name'])}: {cell(standing_word(summary))}"]
    for name, blocks in sections(summary).items():
        parts += [f"## {name}"] if name else []
        parts += [as_markdown(block) for block in blocks]
    return "\n\n".join(parts) + "\n"


def standing_word(summary: Summary) -> str:
    """The verdict, or the state before there is one."""
    verdict = summary["verdict"]
    return str(verdict["verdict"] if verdict else summary["state"])


def sections(summary: Summary) -> dict[str, list[Block]]:
    """Title to blocks, in reading order; the first, without a title, is the verdict. Empty ones are left out."""
    written = {
        "": _verdict(summary),
        "Winner and baseline": _winner(summary),
        "Time to the target": target_blocks(summary),
        "Questions": answers(summary),
        "Before the search": _calibrated(summary),
        "Other metrics": others(summary),
        "Looks": looks(summary),
        "Triggers": triggers(summary),
        "Larger tier": _larger(summary),
        "Best so far": _best(summary),
        "Trials": _trials(summary),
        "Decisions": _decisions(summary),
        "Amended": _amended(summary),
        "Warnings": _warnings(summary),
        "Failures": _failures(summary),
        "Packing": _packing(summary),
        "Slots": _slots(summary),
        "Spent": _spent(summary),
        "Planned and taken": _planned(summary),
        "The same again": _again(summary),
    }
    blocks = {name: list(section) for name, section in written.items()}
    return {name: found for name, found in blocks.items() if found}


def _verdict(summary: Summary) -> Section:
    if "simulated" in summary["machine"]:
        yield say("Simulated: times, failures and, unless the workload itself was run, values are made up.")
    yield say(f"{headline(summary)}.", strong=True)
    if summary["verdict"]:
        yield bullets(summary["verdict"]["reasons"])
    yield say(f"Price: {price_line(summary)}.")


def _winner(summary: Summary) -> Section:
    knobs, losses = rows.knobs(summary), rows.losses(summary)
    if knobs is None or losses is None:
        return
    winner, baseline = summary["winner"], summary["baseline"]
    yield say(
        f"Trial {winner['of']} against the baseline, both run again on seeds that no choice was made by "
        f"(trials {_numbers(winner)} and {_numbers(baseline)})."
    )
    yield knobs
    yield losses
    yield from _interval(summary["verdict"]["numbers"])
    yield say("The winner's values in full, to be put into a study's ", Mono("base"), ":")
    yield code(_nested(_lines(winner)), "yaml")
    command = training_command(summary)
    if command:
        yield say(training_note(summary))
        yield code([command], "sh")


def _numbers(decided: Mapping[str, Any]) -> str:
    """Trial numbers, joined: each look at the decision has a trial of its own."""
    return "+".join(str(number_) for number_ in decided.get("trials", [decided["number"]]))


def _interval(numbers: Mapping[str, Any]) -> Section:
    if numbers.get("mean_improvement") is None or numbers.get("lower") is None:
        return
    share = f" ({percent(numbers['relative'])} of the baseline)" if numbers.get("relative") is not None else ""
    yield say(
        f"Mean improvement {number(numbers['mean_improvement'])}{share}; one-sided 95% bounds "
        f"{number(numbers['lower'])} and {number(numbers['upper'])}, paired by seed, n = {numbers['n']}; "
        f"asked for: {number(numbers['threshold'])}."
    )


def _larger(summary: Summary) -> Section:
    yield from (say(sentence) for sentence in offer_sentences(summary))
    if offer_command(summary):
        yield code([offer_command(summary)], "sh")


def _best(summary: Summary) -> Section:
    if not summary["best_so_far"]:
        return
    values = [row["value"] for row in summary["best_so_far"]]
    yield say(
        "The best value of calibration and search against what all attempts had cost by then: ",
        Mono(sparkline(values)),
    )
    yield rows.best_so_far(summary)


def _trials(summary: Summary) -> Section:
    grid = rows.trials(summary, BEST_TRIALS, ANY_ROOM, best_first=True)
    if not grid.rows:
        return
    count = sum(trial["phase"] in ("calibrate", "search") for trial in summary["trials"])
    if count > BEST_TRIALS:
        yield say(
            f"The best {BEST_TRIALS} of {count:,}, on the search's own seeds; all are in ", Mono("report.json"), "."
        )
    yield grid


def _calibrated(summary: Summary) -> Section:
    """What was measured before the search beyond the baseline; nothing where it was not."""
    recorded = summary["plan"] or {}
    plan = Plan.from_json(recorded) if recorded.get("probed") else None
    if plan is None or (plan.probed.signal is None and not plan.probed.knobs and not plan.unfit):
        return
    yield bullets([*probes.alarms(plan), *(f"{name}: {text}" for name, text in probes.facts(plan, summary))])
    if plan.probed.knobs:
        yield probes.knob_grid(plan.probed.knobs)
    if plan.probed.rungs:
        yield probes.ladder_grid(plan.probed.rungs)


def _decisions(summary: Summary) -> Section:
    """What policies and limits did to the study, and why."""
    for raised in summary["policies"]:
        yield say(f"{raised['policy']} ({raised['action']}): {raised['cause']}.")
        lines = list(evidence_lines(raised["evidence"]))
        if lines:
            yield bullets(lines)


def _amended(summary: Summary) -> Section:
    if summary["amended"]:
        rows_ = [(change["key"], _short(change["before"]), _short(change["after"])) for change in summary["amended"]]
        yield say("Changed while the run was under way, with ", Mono("flopwise amend"), ".")
        yield Grid.of(["key", "before", "after"], rows_)


def _short(value: Any) -> str:
    return "none" if value is None else json.dumps(value)


def _warnings(summary: Summary) -> Section:
    sentences = [*(summary["plan"] or {}).get("warnings", ())]
    if sentences:
        yield bullets(sentences)
    if summary["warnings"]:
        yield rows.warnings(summary)


def _failures(summary: Summary) -> Section:
    if summary["failures"]:
        yield say(Mono("flopwise logs RUN ATTEMPT"), " prints what an attempt wrote.")
        yield rows.failures(summary)


def _packing(summary: Summary) -> Section:
    packing = summary["packing"]
    if packing is None:
        return
    yield bullets(packing_sentences(packing))
    if packing["pairs"]:
        yield packing_grid(packing)


def _slots(summary: Summary) -> Section:
    sentences = [*slot_sentences(summary), *straggler_sentences(summary["stragglers"])]
    if sentences:
        yield bullets(sentences)
    if any(row["attempts"] for row in summary["slot_use"]):
        yield slot_grid(summary["slot_use"])


def _spent(summary: Summary) -> Section:
    account = summary["spend"]
    yield rows.spend(summary)
    if account["total_price"] > 0:
        idle = percent(account["idle_price"] / account["total_price"])
        yield say(f"Idle is what the machine cost while no attempt was charged for it: {idle} of the price.")


def _planned(summary: Summary) -> Section:
    grid = rows.plan_against_spend(summary)
    if grid is not None:
        yield say(f"Tier {summary['tier']}, search and confirmation, without the calibration before it.")
        yield grid


def _again(summary: Summary) -> Section:
    if summary["command"]:
        yield say("In the folder that the study was started in:")
        yield code([summary["command"]], "sh")
    versions = ", ".join(f"{name} {version}" for name, version in sorted(summary["versions"].items()))
    machine = ", ".join(f"{key} {value}" for key, value in summary["machine"].items() if not _nested_value(value))
    facts = [
        ("study", summary["study_hash"]),
        ("run", summary["run_id"]),
        ("created", summary["created"]),
        ("search seed", str(summary["seed"])),
        *([("baseline", _origin(summary["after"]))] if summary["after"] else []),
        ("versions", versions),
        ("machine", machine),
        ("slots", str(len(summary["slots"]))),
        *((f"data {key}", str(value)) for key, value in summary["data"].items()),
    ]
    yield Grid.of(["pin", "value"], facts)


def _origin(after: Mapping[str, Any] | str) -> str:
    """Where a baseline comes from that another run has found."""
    if isinstance(after, str):
        return f"the winner of {after}"
    return f"trial {after['trial']}, the winner of {after['run']} (run {after['run_id']}, study {after['study_hash']})"


def _nested_value(value: Any) -> bool:
    return isinstance(value, dict | list)


def _lines(trial: Mapping[str, Any]) -> dict[str, str]:
    """Dotted key to what stands behind it in YAML: JSON, which YAML reads. Computed values say so."""
    searched = {key: json.dumps(value) for key, value in trial["config"].items()}
    return {**searched, **{key: f"{json.dumps(value)}  # derived" for key, value in trial["derived"].items()}}


def _nested(lines: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """Dotted keys as nested YAML."""
    groups: dict[str, Any] = {}
    for key, text in lines.items():
        head, _, rest = key.partition(".")
        if rest:
            groups.setdefault(head, {})[rest] = text
        else:
            groups[head] = text
    for head, inner in groups.items():
        name = head if re.fullmatch(r"[A-Za-z_][\w-]*", head) else json.dumps(head)
        if isinstance(inner, dict):
            yield f"{'  ' * depth}{name}:"
            yield from _nested(inner, depth + 1)
        else:
            yield f"{'  ' * depth}{name}: {inner}"
