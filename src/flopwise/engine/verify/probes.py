"""What was evaluated between baseline and search: were the trials those that had to be?"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from flopwise.engine.verify.difference import Difference, compare, show
from flopwise.engine.verify.run import PROBING, Run
from flopwise.events import StudyRevised
from flopwise.registry import load
from flopwise.searchers.constrained import Constrained
from flopwise.seeds import derive
from flopwise.space import Space
from flopwise.study import baseline_config, full_config, rules_of, space_of
from flopwise.trial import Fidelity

MOST_SPREAD = 8
"""Spread configs where the study names no number."""

LOOKED_AT = 4
"""Proposals looked at for each of them."""

FEW = 20
"""Steps below which a ladder begins with a stop that buys so many."""


def check_probes(run: Run) -> Iterator[Difference]:
    """Configs, points, stops and seeds of all probing trials."""
    spreads: dict[str, list[tuple[dict[str, Any], list[float]]]] = {}
    for trial in run.by_phase(*PROBING):
        where, event, study = trial.proposed.where, trial.event, trial.study
        seeds = evaluation_seeds(study)
        if event.phase == "knobs":
            yield from compare(where, seeds[:1], event.seeds, "seeds")
            yield from compare(where, None, event.point, "point")
            yield from _one_knob(where, study, event.config)
            continue
        yield from compare(where, seeds, event.seeds, "seeds")
        if text(study) not in spreads:
            spreads[text(study)] = spread_of(study)
        points = {text(config): point for config, point in spreads[text(study)]}
        if event.phase == "proxy" and text(event.config) == text(baseline_config(study)) and event.point is None:
            pass
        elif text(event.config) not in points:
            yield Difference(where, "config", "one of the configs spread over the space", show(event.config))
        else:
            yield from compare(where, points[text(event.config)], event.point, "point")
        one = {"signal": study["evaluation"], "proxy": study.get("proxy", {})}.get(event.phase)
        stops = stops_of(study) if one is None else [one.get("stop", {})]
        if not any(not list(compare("", stop, event.stop)) for stop in stops):
            yield Difference(where, "stop", "one of " + ", ".join(map(show, stops[:8])), show(event.stop))


def check_announced(run: Run) -> Iterator[Difference]:
    """What a probing phase said it would do when it began is what it did."""
    for record, started in run.probing:
        upto = next((r.number for r, _ in run.probing if r.number > record.number), math.inf)
        mine = [t for t in run.by_phase(started.phase) if record.number < t.proposed.number < upto]
        counted = {"trials": len(mine), "evaluations": sum(len(t.event.seeds) for t in mine)}
        said = {key: started.detail.get(key, 0) for key in counted}
        least = all(said[key] >= count for key, count in counted.items())
        going_on = least and run.tier is None and upto == math.inf
        revised = any(isinstance(r.event, StudyRevised) and record.number < r.number < upto for r in run.records)
        if not (going_on or revised or _cut_short(run)):
            yield from compare(record.where, counted, said, "detail")
        if mine:
            yield from compare(record.where, mine[0].event.stop, started.detail.get("stop"), "detail.stop")
        if started.phase == "knobs":
            study = run.study_at(record.number)
            yield from compare(record.where, len(study["space"]), started.detail.get("knobs"), "detail.knobs")


def _cut_short(run: Run) -> bool:
    """Whether a limit ended the probing."""
    return any(raised.action == "end_probing" for raised in run.raised)


def text(value: Any) -> str:
    """A config as text: equal for equal ones, in which 1 is not true."""
    return json.dumps(value, sort_keys=True)


def evaluation_seeds(study: Mapping[str, Any]) -> list[int]:
    """The seeds that spread configs share."""
    count = max(2, study["evaluation"]["seeds"])
    return [derive(study["search"]["seed"], "evaluation", index) for index in range(count)]


def spread_of(study: Mapping[str, Any]) -> list[tuple[dict[str, Any], list[float]]]:
    """Different configs over the space with their points, in order."""
    space, rules, search = space_of(study), rules_of(study), study["search"]
    count = max(MOST_SPREAD, study["calibration"].get("signal") or 0)
    fixed = search["method"] == "fixed"
    kind = load("searchers", "fixed" if fixed else "qmc")
    options = kind.Options(**(search["options"] if fixed else {}))

    def make(seed: int) -> Any:
        return kind(space, seed, options, centre=baseline_config(study), population=None)

    searcher = Constrained(make, derive(search["seed"], "signal"), space, rules.allows)
    most = min(LOOKED_AT * count, kind.size(space, options)) if fixed else LOOKED_AT * count
    found: dict[str, tuple[dict[str, Any], list[float]]] = {}
    for proposal in (searcher.ask([number])[0] for number in range(1, most + 1)):
        found.setdefault(text(dict(proposal.config)), (dict(proposal.config), list(proposal.point)))
        if len(found) == count:
            break
    return list(found.values())


def _one_knob(where: str, study: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Difference]:
    """A config that tries a knob differs from the baseline in it, and in what has to be set for it to matter."""
    if not any(not list(compare("", tried, config)) for _, tried, _ in knob_configs(study)):
        yield Difference(where, "config", "the baseline with one knob at an end of its range", show(config))


def knob_configs(study: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Knob, config that tries it, and whether the baseline's own score can be compared with."""
    space, rules, base = space_of(study), rules_of(study), baseline_config(study)
    for key in space.keys:
        for config, alone in _tries(space, base, key):
            if rules.allows(config):
                yield key, config, alone


def switched_on(space: Space, base: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """What has to be set for a knob to matter; None where that is not possible."""
    if key in space.active(base):
        return {}
    needed = {}
    for other, allowed in space.conditions.needs(key).items():
        if other in space.parameters and text(base[other]) not in map(text, allowed):
            needed[other] = next((v for v in allowed if space.parameters[other].contains(v)), base[other])
    return needed if key in space.active({**base, **needed}) else None


def _tries(space: Space, base: Mapping[str, Any], key: str) -> Iterator[tuple[dict[str, Any], bool]]:
    parameter, needed = space.parameters[key], switched_on(space, base, key)
    if needed is None:
        return
    alone, start = not needed, {**base, **needed}
    choices = getattr(parameter, "choices", None)
    if choices is not None:
        others = [choice for choice in choices if text(choice) != text(base[key])][:4]
        values = others if alone else [base[key], *others]
    else:
        values = [end for end in (parameter.decode(0.0), parameter.decode(1.0)) if not alone or end != base[key]]
    for value in values:
        config = {**start, key: value}
        active = space.active(config)
        yield {k: v if k in active else space.conditions.fallback(k) for k, v in config.items()}, alone


def stops_of(study: Mapping[str, Any]) -> list[dict[str, float]]:
    """The rungs that a ladder can have."""
    if not study["evaluation"]["stop"]:
        return []
    ((unit, amount),) = study["evaluation"]["stop"].items()
    spec, config = load("workloads", study["workload"]), full_config(study, baseline_config(study))

    def steps(stop: float) -> int | None:
        bought: int | None = spec.steps(config, Fidelity(unit, stop))
        return bought

    bought = steps(amount)
    if bought is not None and bought < FEW:
        low, high = 0.0, amount
        while (steps(high) or 0) < FEW:
            low, high = high, high * 2.0
        low = high / 2.0
        while high - low > 0.01 * high:
            middle = (low + high) / 2.0
            low, high = (low, middle) if (steps(middle) or 0) >= FEW else (middle, high)
        first = _two_digits(unit, high)
    else:
        first = amount * 4.0
    return [{unit: _two_digits(unit, first * 4.0**rung)} for rung in range(64)]


def _two_digits(unit: str, amount: float) -> float:
    place = 10.0 ** (math.floor(math.log10(amount)) - 1)
    nice = float(f"{math.ceil(amount / place - 1e-6) * place:.2g}")
    return float(math.ceil(nice)) if unit in ("steps", "tokens") else nice
