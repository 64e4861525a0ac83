"""The canonical form of a study: JSON values, every default filled in, and what is read from it.

The journal keeps this form and nothing else of the study; its hash is the study's identity. Keys of
the space are sorted, so two files that differ in order only are the same study.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from flopwise.errors import SpaceError
from flopwise.space import Categorical, Float, Int, Parameter, Space, centre

CALIBRATION_PARTS = ("workload", "base", "objective", "evaluation")
"""Sections that the times and the noise of the baseline depend on as a whole."""


def space_of(canonical: Mapping[str, Any]) -> Space:
    """The search space; coordinates are in the order of the sorted keys."""
    parameters = _parameters(canonical)
    when = {key: canonical["space"][key].get("when", {}) for key in parameters}
    if not any(when.values()):
        return Space(parameters)
    others = {other for conditions in when.values() for other in conditions if other not in parameters}
    baseline = {**baseline_config(canonical), **{key: lookup(canonical["base"], key) for key in others}}
    return Space(parameters, when, baseline)


def baseline_config(canonical: Mapping[str, Any]) -> dict[str, Any]:
    """What the baseline has for every key of the space; the parameter's centre where the base has nothing.

    Example:
        >>> study = {"base": {"train": {"lr": 0.1}}, "space": {
        ...     "train.lr": {"type": "float", "low": 0, "high": 1, "scale": "linear"}, "on": {"type": "bool"}}}
        >>> baseline_config(study)
        {'on': False, 'train.lr': 0.1}
    """
    parameters = _parameters(canonical)
    found = {key: lookup(canonical["base"], key) for key in parameters}
    return {key: centre(parameters[key]) if value is None else value for key, value in found.items()}


def with_keys(base: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """A deep copy of a nested config with dotted keys set; sections are made where they lack.

    Example:
        >>> with_keys({"train": {"lr": 0.1, "steps": 9}}, {"train.lr": 0.2})
        {'train': {'lr': 0.2, 'steps': 9}}
    """
    full: dict[str, Any] = copy.deepcopy(dict(base))
    for key, value in config.items():
        *sections, leaf = key.split(".")
        here = full
        for section in sections:
            if not isinstance(here.get(section), dict):
                here[section] = {}
            here = here[section]
        here[leaf] = value
    return full


def lookup(nested: Any, key: str) -> Any:
    """The value at a dotted key; None where there is nothing."""
    for part in key.split("."):
        if not isinstance(nested, Mapping):
            return None
        nested = nested.get(part)
    return nested


def study_hash(canonical: Mapping[str, Any]) -> str:
    """sha256 of the canonical form, hex."""
    return _digest(canonical)


def calibration_key(canonical: Mapping[str, Any], versions: Mapping[str, str], machine: Mapping[str, Any]) -> str:
    """sha256 of everything that calibrated times and noise depend on; equal keys may share a calibration.

    What else is measured before the search is in the journal with its own config, stop and seeds: where it still
    is what the study asks for, it is not measured again.

    Args:
        canonical: The study.
        versions: Package name to version.
        machine: What the slots run on; JSON values.
    """
    parts = {name: canonical[name] for name in CALIBRATION_PARTS}
    fixed = {
        "threads": canonical["execution"]["threads"],
        "calibration": {"seeds": canonical["calibration"]["seeds"]},
        "seed": canonical["search"]["seed"],
        "baseline": baseline_config(canonical),
    }
    execution = canonical["execution"]
    fixed |= {key: execution[key] for key in ("accelerators", "exclusive") if key in execution}
    if fixed["threads"] == "auto":
        at_once = min(most_at_once(canonical), machine.get("cores", math.inf))
        fixed |= {"slots": canonical["execution"]["slots"], "at_once": at_once}
    return _digest({**parts, **fixed, "versions": dict(versions), "machine": dict(machine)})


def most_at_once(canonical: Mapping[str, Any]) -> int:
    """Evaluations that the search of the largest tier can have under way at a time."""
    tiers = [tier.get("population") or tier["trials"] for tier in canonical["tiers"].values()]
    most = int(max(tiers) * canonical["evaluation"]["seeds"])
    limit: int | None = canonical["limits"]["evaluations"]
    return most if limit is None else min(most, limit)


def file_form(canonical: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical form as a study file spells it: options beside their method, false for a policy off."""
    search = canonical["search"]
    policies = {name: False if options is None else options for name, options in canonical["policies"].items()}
    kept = {key: search[key] for key in ("method", "seed", "asynchronous") if key in search}
    flat = {**kept, **search["options"]}
    found = {**copy.deepcopy(dict(canonical)), "search": flat, "policies": policies}
    if "target" in found["objective"]:
        found["objective"]["target"] = _target_form(found["objective"]["target"])
    if "derived" in found:
        found["derived"] = {key: derived["value"] for key, derived in found["derived"].items()}
    return found


def _target_form(target: Mapping[str, Any]) -> dict[str, Any]:
    """The value stands under the metric's name."""
    return {
        target["metric"]: target["value"],
        **{key: target[key] for key in ("direction", "fallback", "tighten") if target[key]},
    }


def fidelity_json(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """``evaluation.stop`` as the journal holds it: the one unit that is given, or nothing."""
    return {unit: amount for unit, amount in (evaluation["stop"] or {}).items() if amount is not None}


def _parameters(canonical: Mapping[str, Any]) -> dict[str, Parameter]:
    return {key: _parameter(canonical["space"][key]) for key in sorted(canonical["space"])}


def _parameter(entry: Mapping[str, Any]) -> Parameter:
    match entry["type"]:
        case "float":
            return Float(entry["low"], entry["high"], entry["scale"])
        case "int":
            return Int(entry["low"], entry["high"], entry["scale"], entry["step"])
        case "bool":
            return Categorical((False, True))
        case "categorical":
            return Categorical(tuple(entry["choices"]))
    raise SpaceError("unknown parameter type", expected="float, int, bool or categorical", got=repr(entry["type"]))


def _digest(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
