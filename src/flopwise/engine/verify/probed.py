"""Do the figures follow from what was evaluated between baseline and search: signal, knobs, rungs, recommendation?

By textbook sums over cells, not by the statistics the engine uses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.special import fdtri

from flopwise.engine.verify.probes import (
    FEW,
    MOST_SPREAD,
    evaluation_seeds,
    knob_configs,
    spread_of,
    stops_of,
    switched_on,
    text,
)
from flopwise.engine.verify.ranks import agreement
from flopwise.engine.verify.run import PROBING, Run, Trial
from flopwise.seeds import derive
from flopwise.study import baseline_config, space_of

QUARTER = 0.25
"""Of the largest search, and of every limit."""

ENOUGH = 0.5
"""Share of the variance that has to be real."""

RELIABLE = 0.75
"""Share that a number of seeds is recommended for."""

UNKNOWN = ("icc", "lower", "upper", "config_sd", "noise_sd", "seed_sd")


def expected_probed(run: Run, seconds: float, slots: int, noise: float | None) -> dict[str, Any]:
    """What the plan says of signal, knobs, rungs, and what was left out.

    Args:
        run: As it was when the plan was made.
        seconds: Mean device-seconds of the baseline.
        slots: Evaluations at once.
        noise: Standard deviation between the baseline's seeds.
    """
    study = run.study
    known = {_name(t.event.config, t.event.stop, t.event.seeds): t for t in run.by_phase(*PROBING)}
    spread = spread_of(study) if known else []
    seeds, own = evaluation_seeds(study), study["evaluation"]["stop"]

    def at(stop: Mapping[str, float]) -> dict[str, Any] | None:
        found = [known.get(_name(config, stop, seeds)) for config, _ in spread]
        return _figures(stop, [t for t in found if t is not None and t.finished], study)

    rungs = []
    for stop in stops_of(study) if known else ():
        rung = at(stop)
        if rung is None:
            break
        rungs.append(rung)
    knobs = _knobs(run, known, noise)
    signal = at(own)
    most = room(study, seconds, slots, _trained(run.trials[0]))
    left = [] if signal else [{"what": "signal", "evaluations": max(_first_size(study, most), 4) * len(seeds)}]
    tries = len({text(config) for _, config, _ in knob_configs(study)})
    left += [{"what": "knobs", "evaluations": tries}] if not knobs and tries else []
    proxy = _proxy(study, known, [config for config, _ in spread], seconds)
    return {"signal": signal, "knobs": knobs, "rungs": rungs, "left_out": left, "proxy": proxy}


def _proxy(
    study: Mapping[str, Any], known: Mapping[str, Trial], configs: Sequence[Mapping[str, Any]], full_s: float
) -> dict[str, Any] | None:
    """Both stops side by side, where the study has a cheap one."""
    section, seeds = study.get("proxy"), evaluation_seeds(study)
    if section is None:
        return None
    stops = section["stop"], study["evaluation"]["stop"]
    both = [[known.get(_name(config, stop, seeds)) for stop in stops] for config in configs]
    there = [(a, b) for a, b in both if a is not None and b is not None and a.finished and b.finished]
    if not there:
        return None
    losses = [(cheap.loss(), full.loss()) for cheap, full in there]
    pairs = [(cheap, full) for cheap, full in losses if cheap is not None and full is not None]
    ends = [end.device_s for cheap, _ in there for end in cheap.ends if end is not None]
    each_s = math.fsum(ends) / len(ends)
    return {
        "stop": section["stop"],
        "agreement": agreement(pairs, section["recheck"], derive(study["search"]["seed"], "agreement")),
        "seconds": each_s,
        "saved": 1 - each_s / full_s if full_s > 0 else 0.0,
        "pause_below": section["pause_below"],
    }


def room(study: Mapping[str, Any], seconds: float, slots: int, flops: float) -> int:
    """Evaluations that may be spent before the search."""
    sizes = [t.get("trials") or t["population"] * t["generations"] for t in study["tiers"].values()]
    limits, hourly = study["limits"], study["execution"]["price_per_hour"]
    amounts = [max(sizes) * study["evaluation"]["seeds"], limits["evaluations"]]
    if seconds > 0:
        amounts.append(None if limits["device_hours"] is None else limits["device_hours"] * 3600 / seconds)
        amounts.append(None if limits["wall_clock"] is None else limits["wall_clock"] * slots / seconds)
        paid = limits["price"] is not None and hourly > 0
        amounts.append(limits["price"] * 3600 / hourly * slots / seconds if paid else None)
    if flops and limits.get("flops") is not None:
        amounts.append(limits["flops"] / flops)
    return int(QUARTER * min(amount for amount in amounts if amount is not None))


def _trained(baseline: Trial) -> float:
    """Mean training FLOPs of the baseline's evaluations; 0 when unknown."""
    known = [end.train_flops for end in baseline.ends if end is not None and end.train_flops is not None]
    return math.fsum(known) / len(known) if known else 0.0


def _first_size(study: Mapping[str, Any], most: int) -> int:
    wish, proxy = study["calibration"].get("signal", False), MOST_SPREAD if study.get("proxy") else 0
    if wish is not None or proxy:
        return max(int(wish or 0), proxy)
    size = min(MOST_SPREAD, most // max(2, study["evaluation"]["seeds"]))
    return size if size >= 4 else 0


def _figures(stop: Mapping[str, float], trials: Sequence[Trial], study: Mapping[str, Any]) -> dict[str, Any] | None:
    if not trials:
        return None
    rows = [trial.losses() for trial in trials]
    whole = [[loss for loss in row if loss is not None] for row in rows if None not in row]
    ends = [end for trial in trials for end in trial.ends if end is not None]
    found = anova(whole) if len(whole) > 2 else dict.fromkeys(UNKNOWN)
    count, icc = study["evaluation"]["seeds"], found["icc"]
    share = None if icc is None else _of_mean(icc, count)
    return {
        "stop": dict(stop),
        "configs": len(whole),
        "failed": len(rows) - len(whole),
        "seeds": max(2, count),
        **found,
        "icc_trial": share,
        "usable": share is not None and share >= ENOUGH and (found["lower"] or 0.0) > 0,
        "seconds": math.fsum(end.device_s for end in ends) / len(ends),
    }


def anova(table: Sequence[Sequence[float]]) -> dict[str, float | None]:
    """Two-way analysis of variance by uncorrected sums of squares about a provisional mean."""
    n, k = len(table), len(table[0])
    origin = math.fsum(x for row in table for x in row) / (n * k)
    cells = [[x - origin for x in row] for row in table]
    correction = math.fsum(x for row in cells for x in row) ** 2 / (n * k)
    between = math.fsum(math.fsum(row) ** 2 for row in cells) / k - correction
    columns = math.fsum(math.fsum(column) ** 2 for column in zip(*cells, strict=True)) / n - correction
    left = math.fsum(
        (x - math.fsum(row) / k - math.fsum(c[j] for c in cells) / n) ** 2 for row in cells for j, x in enumerate(row)
    )
    tiny = (1e-13 * max(abs(x) for row in table for x in row)) ** 2
    squares = (between / (n - 1), columns / (k - 1), left / ((n - 1) * (k - 1)))
    rows, seeds, error = (0.0 if square <= tiny else square for square in squares)
    icc, lower, upper = _interval(rows, error, n, k)
    return {
        "icc": icc,
        "lower": lower,
        "upper": upper,
        "config_sd": math.sqrt(max(0.0, rows - error) / k),
        "noise_sd": math.sqrt(error),
        "seed_sd": math.sqrt(max(0.0, seeds - error) / n),
    }


def _interval(rows: float, error: float, n: int, k: int) -> tuple[float | None, float | None, float | None]:
    if error == 0.0:
        return (1.0, 1.0, 1.0) if rows > 0 else (None, None, None)
    f, over, under = rows / error, n - 1, (n - 1) * (k - 1)
    low, high = f / float(fdtri(over, under, 0.95)), f * float(fdtri(under, over, 0.95))
    return (f - 1) / (f + k - 1), (low - 1) / (low + k - 1), (high - 1) / (high + k - 1)


def _of_mean(icc: float, seeds: int) -> float:
    rest = 1 + (seeds - 1) * icc
    return seeds * icc / rest if rest > 0 else -1.0


def _knobs(run: Run, known: Mapping[str, Trial], noise: float | None) -> list[dict[str, Any]]:
    study = run.study
    seed, stop, base = evaluation_seeds(study)[:1], study["evaluation"]["stop"], baseline_config(study)
    tried: dict[str, list[tuple[Any, float | None, bool]]] = {key: [] for key in space_of(study).keys}
    for key, config, alone in knob_configs(study):
        trial = known.get(_name(config, stop, seed))
        loss = trial.losses()[0] if trial is not None and trial.finished else None
        if text(config) == text(base):
            loss = run.trials[0].losses()[0]
        tried[key].append((config[key], loss, alone))
    if not any(loss is not None for rows in tried.values() for _, loss, _ in rows):
        return []
    return [_knob(key, rows, run.trials[0].losses()[0], noise, study, base) for key, rows in tried.items()]


def _knob(
    key: str,
    rows: Sequence[tuple[Any, float | None, bool]],
    reference: float | None,
    noise: float | None,
    study: Mapping[str, Any],
    base: Mapping[str, Any],
) -> dict[str, Any]:
    switched = switched_on(space_of(study), base, key)
    alone = key in space_of(study).active(base)
    compared = reference if alone else None
    known = [loss for loss in (*(loss for _, loss, _ in rows), compared) if loss is not None]
    span = max(known) - min(known) if len(known) > 1 else None
    noises = span / noise if span is not None and noise else None
    failed = any(loss is None for _, loss, _ in rows)
    weak = noises is not None and noises < 0.1
    return {
        "key": key,
        "says": "unknown" if span is None else "dead" if span == 0 and not failed else "weak" if weak else "acts",
        "values": [value for value, _, _ in rows],
        "losses": [loss for _, loss, _ in rows],
        "baseline_loss": compared,
        "span": span,
        "noises": noises,
        "switched": switched or {},
    }


def fitness(study: Mapping[str, Any], steps: int | None, probed: Mapping[str, Any]) -> dict[str, Any]:
    """Why the search should not be spent, and what is recommended instead."""
    signal, reasons = probed["signal"], []
    if study["calibration"].get("signal", False) is not False:
        reasons += ["few_steps"] if steps is not None and steps < FEW else []
        reasons += ["drowned"] if signal and signal["configs"] > 2 and not signal["usable"] else []
    return {"unfit": reasons, "advice": _advice(study, reasons, signal, probed["rungs"]) if reasons else None}


def _advice(study: Mapping[str, Any], reasons: Sequence[str], signal: Any, rungs: Any) -> dict[str, Any] | None:
    count, found = study["evaluation"]["seeds"], []
    icc = signal["icc"] if signal else None
    if "few_steps" not in reasons and icc is not None and icc >= 0.2:
        needed = math.ceil(RELIABLE / (1 - RELIABLE) * (1 - icc) / icc - 1e-9) if icc < 1 else 1
        seeds = max(needed, 1, count + 1)
        found += [{"stop": None, "seeds": seeds, "times": seeds / count}] if seeds <= 10 else []
    for rung in rungs:
        if rung["usable"]:
            own = next(iter(study["evaluation"]["stop"].values()))
            found.append({"stop": rung["stop"], "seeds": None, "times": next(iter(rung["stop"].values())) / own})
            break
    return min(found, key=lambda each: each["times"]) if found else None


def _name(config: Mapping[str, Any], stop: Mapping[str, float], seeds: Sequence[int]) -> str:
    return text([config, {unit: float(amount) for unit, amount in stop.items()}, list(seeds)])
