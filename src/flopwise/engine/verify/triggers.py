"""A verdict's triggers and what more would settle it, derived again from records, curves and the plan."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from flopwise.engine.verify.comparison import CLOSE
from flopwise.engine.verify.difference import Difference, compare
from flopwise.engine.verify.run import Run, Trial
from flopwise.events import Measured, VerdictReached
from flopwise.registry import load
from flopwise.space import Categorical, Float, Int
from flopwise.study import full_config, space_of

GENERATIONS, WITHOUT, ROWS = 3, 8, 5


def broken(event: VerdictReached) -> bool:
    """Whether a trigger that a GO needs does not hold."""
    return any(each["vetoes"] and each["holds"] is False for each in event.triggers)


def check_triggers(run: Run, where: str, event: VerdictReached, numbers: Mapping[str, Any]) -> Iterator[Difference]:
    """Every trigger's answer and numbers; sentences are for people."""
    found = [{key: value for key, value in each.items() if key != "evidence"} for each in event.triggers]
    winner = run.trials[event.winner if event.winner is not None else -1]
    recent = _recent(run)
    expected = [
        {"name": "stability", "vetoes": True, **_stability(recent)},
        {"name": "persistence", "vetoes": False, **_persistence(run, winner, recent, numbers)},
        {"name": "curves", "vetoes": True, **_curves(run, winner)},
        {"name": "inside", "vetoes": False, **_inside(run, winner)},
    ]
    yield from compare(where, expected, found, "triggers", CLOSE)
    yield from compare(where, _more(run, numbers), event.more, "more", CLOSE)


def _recent(run: Run) -> list[list[Trial]]:
    assert run.tier is not None
    size = run.study["tiers"][run.tier[1].tier].get("population") or WITHOUT
    trials = run.by_phase("search")
    generations: dict[int, list[Trial]] = defaultdict(list)
    for place, trial in enumerate(trials):
        generations[place // size].append(trial)
    return [[t for t in generations[g] if t.finished] for g in sorted(generations)[-GENERATIONS:]]


def _stability(recent: Sequence[Sequence[Trial]]) -> dict[str, Any]:
    outcomes = [end.outcome for group in recent for trial in group for end in trial.ends if end is not None]
    failed = sum(outcome not in ("ok", "pruned") for outcome in outcomes)
    share = failed / len(outcomes) if outcomes else 0.0
    numbers = {"failed": failed, "evaluations": len(outcomes), "generations": len(recent), "share": share}
    return {"holds": (failed < 2 or share < 0.05) if outcomes else None, "numbers": numbers}


def _persistence(
    run: Run, winner: Trial, recent: Sequence[Sequence[Trial]], numbers: Mapping[str, Any]
) -> dict[str, Any]:
    base, least = run.trials[0].loss(), numbers["threshold"]

    def gain(loss: float | None) -> float | None:
        return None if base is None or loss is None else base - loss

    chosen = [trial for trial in run.by_phase("choose") if trial.event.of == winner.event.number]
    gains = [gain(winner.loss()), gain(chosen[0].loss()) if chosen else None, numbers["mean_improvement"]]
    known = [[loss for trial in group if (loss := trial.loss()) is not None] for group in recent]
    best = [gain(min(losses)) if losses else None for losses in known]
    reached = 0 if least is None else sum(each is not None and each >= least for each in best)
    seen = [each for each in gains if each is not None]
    holds = None
    if least is not None and len(seen) >= 2:
        holds = min(seen) >= least and 2 * reached >= len(best)
    return {"holds": holds, "numbers": {"gains": gains, "generations": best, "reached": reached}}


def _curves(run: Run, winner: Trial) -> dict[str, Any]:
    """Of every evaluation of the winner on fresh seeds, from the rows of the attempt that counts."""
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in run.records:
        if isinstance(record.event, Measured):
            rows[record.event.attempt] += record.event.rows
    trials = [t for t in run.by_phase("choose", "decide") if t.event.of == winner.event.number]
    ends = [end for trial in trials for end in trial.ends if end is not None]
    curves = [curve for end in ends if (curve := _curve(run, rows[end.attempt]))]
    exploded = sum(each["exploded"] for each in curves)
    lengths = sum(each["jumped"] is not None for each in curves)
    jumped = sum(bool(each["jumped"]) for each in curves)
    numbers = {"curves": len(curves), "exploded": exploded, "lengths": lengths, "jumped": jumped}
    return {"holds": exploded == jumped == 0 if curves else None, "numbers": numbers}


def _curve(run: Run, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Whether a curve ends far above its lowest point or its beginning, and whether a gradient was absurdly long."""
    metric = run.study["objective"]["metric"]
    name = next((key for row in rows for key in _names(metric, row.get("values", {}))), "")
    turned = -1.0 if name == metric and run.study["objective"]["direction"] == "maximize" else 1.0
    values = [turned * value for value in _finite(rows, name)]
    if len(values) < 2 * ROWS:
        return None
    means = [sum(values[at : at + ROWS]) / ROWS for at in range(len(values) - ROWS + 1)]
    low, rise = min(means), means[-1] - min(means)
    exploded = (rise > 0.1 * abs(low) and rise > 0.5 * (means[0] - low)) or means[-1] - means[0] > 0.1 * abs(means[0])
    lengths = [length for length in _finite(rows, "grad_norm") if length > 0]
    jumped = max(lengths) > 100.0 * statistics.geometric_mean(lengths) if lengths else None
    return {"exploded": exploded, "jumped": jumped}


def _names(metric: str, values: Mapping[str, Any]) -> list[str]:
    return [metric] if metric in values else [key for key in values if key.endswith("loss")][:1]


def _finite(rows: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    found = [row.get("values", {}).get(name) for row in rows]
    return [v for v in found if isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v)]


def _inside(run: Run, winner: Trial) -> dict[str, Any]:
    space, config = space_of(run.study), winner.event.config
    pressed = []
    for key in space.keys:
        parameter, end = space.parameters[key], None
        if isinstance(parameter, Categorical) or key not in space.active(config):
            continue
        if isinstance(parameter, Float):
            low, high, value = (_scaled(parameter, each) for each in (parameter.low, parameter.high, config[key]))
            unit = (value - low) / (high - low)
            end = "low" if unit <= 0.02 else "high" if unit >= 0.98 else None
        elif (parameter.high - parameter.low) / parameter.step >= 3 and config[key] in (parameter.low, parameter.high):
            end = "low" if config[key] == parameter.low else "high"
        if end is not None:
            widen = _widen(run, config, key, parameter, end)
            pressed.append({"key": key, "value": config[key], "end": end, "widen": widen})
    holds = all(each["widen"] is None for each in pressed)
    return {"holds": holds, "numbers": {"pressed": pressed}}


def _scaled(parameter: Float | Int, value: float) -> float:
    return math.log(value) if parameter.scale == "log" else float(value)


def _widen(run: Run, config: Mapping[str, Any], key: str, parameter: Float | Int, end: str) -> Any:
    """A bound further out by half, a quarter or a tenth of the range: the first that the workload takes."""
    model = load("workloads", run.study["workload"]).config_model
    low, high = _scaled(parameter, parameter.low), _scaled(parameter, parameter.high)
    for share in (0.5, 0.25, 0.1):
        far = low - share * (high - low) if end == "low" else high + share * (high - low)
        value: float = math.exp(far) if parameter.scale == "log" else far
        if isinstance(parameter, Float):
            value = float(f"{value:.3g}")
        else:
            bound = parameter.low if end == "low" else parameter.high
            steps = max(1, round(abs(value - bound) / parameter.step))
            value = bound + (-steps if end == "low" else steps) * parameter.step
        if value < 0 <= parameter.low:
            continue
        try:
            if model is not None:
                model.model_validate(full_config(run.study, {**config, key: value}))
        except (ValidationError, ValueError):
            continue
        return value
    return None


def _more(run: Run, numbers: Mapping[str, Any]) -> dict[str, float]:
    seeds = numbers["n_needed"]
    if seeds is None or run.tier is None:
        return {}
    plan = run.tier[1].plan
    waves, each_s = math.ceil(2 * seeds / plan["slots"]), plan["seconds_per_evaluation"]
    return {
        "seeds": seeds,
        "evaluations": 2 * seeds,
        "device_s": 2 * seeds * each_s,
        "wall_s": waves * each_s,
        "price": plan["price_per_hour"] / 3600.0 * waves * each_s,
    }
