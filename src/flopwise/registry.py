"""Names that a study file may use, and the classes behind them, loaded when used.

A family member is ``name -> "module:attribute"``; nothing is imported until :func:`load`, so naming
a searcher costs no import of its library. Plugins add members through entry points in the group
``flopwise.<family>`` (for example ``flopwise.searchers``); a built-in name wins over a plugin's.
"""

from __future__ import annotations

import difflib
import importlib
from functools import lru_cache
from typing import Any

from flopwise.errors import InputError

BUILTIN: dict[str, dict[str, str]] = {
    "searchers": {
        "random": "flopwise.searchers.random:RandomSearch",
        "cmaes": "flopwise.searchers.cmaes:CmaEs",
        "tpe": "flopwise.searchers.tpe:Tpe",
        "nsga2": "flopwise.searchers.nsga2:Nsga2",
        "qmc": "flopwise.searchers.qmc:QuasiRandom",
        "grid": "flopwise.searchers.grid:Grid",
        "fixed": "flopwise.searchers.fixed:Fixed",
        "staged": "flopwise.searchers.staged:Staged",
    },
    "executors": {
        "local": "flopwise.executors.local:LocalExecutor",
        "inline": "flopwise.executors.inline:InlineExecutor",
        "simulated": "flopwise.executors.simulated:SimulatedExecutor",
        "ray": "flopwise.executors.cluster.executor:RayExecutor",
    },
    "policies": {
        "non_finite": "flopwise.policies.non_finite:NonFinite",
        "crash_rate": "flopwise.policies.crash_rate:CrashRate",
        "crash_loop": "flopwise.policies.crash_loop:CrashLoop",
        "time_drift": "flopwise.policies.time_drift:TimeDrift",
        "patience": "flopwise.policies.patience:Patience",
        "flat": "flopwise.policies.flat:Flat",
        "throughput": "flopwise.policies.throughput:Throughput",
        "proxy_agreement": "flopwise.policies.proxy_agreement:ProxyAgreement",
    },
    "workloads": {
        "function": "flopwise.workloads.function.spec:SPEC",
        "language_model": "flopwise.workloads.language_model.spec:SPEC",
        "command": "flopwise.workloads.command.spec:SPEC",
    },
    "analyses": {
        "importance": "flopwise.report.importance:importance",
    },
    "plots": {
        "history": "flopwise.report.plots.history:history",
        "spend": "flopwise.report.plots.spend:spend",
        "curves": "flopwise.report.plots.curves:curves",
        "frontier": "flopwise.report.plots.frontier:frontier",
        "clocks": "flopwise.report.plots.clocks:clocks",
        "survival": "flopwise.report.plots.survival:survival",
        "importance": "flopwise.report.plots.importance:importance",
        "slice": "flopwise.report.plots.slices:slices",
        "parallel": "flopwise.report.plots.parallel:parallel",
    },
    "pages": {
        "html": "flopwise.report.page:write_page",
    },
    "exports": {
        "csv": "flopwise.report.exports.csv:write",
        "jsonl": "flopwise.report.exports.jsonl:write",
        "optuna": "flopwise.report.exports.optuna:write",
    },
}


def names(family: str) -> list[str]:
    """All names of a family, built-in first."""
    plugins = [point.name for point in _plugins(family)]
    return list(BUILTIN[family]) + [name for name in plugins if name not in BUILTIN[family]]


def load(family: str, name: str) -> Any:
    """The class or object behind a name.

    Args:
        family: A key of ``BUILTIN``, such as ``searchers``.
        name: A member's name as the study file spells it.

    Raises:
        InputError: If there is no such name; says the nearest one.
    """
    target = BUILTIN[family].get(name)
    if target is not None:
        return resolve(target)
    for point in _plugins(family):
        if point.name == name:
            return point.load()
    raise InputError(
        f"no {name!r} among the {family}",
        expected="one of " + ", ".join(names(family)),
        fix=did_you_mean(name, names(family)),
    )


def resolve(target: str) -> Any:
    """Import ``"module:attribute"`` and return the attribute (dots inside it are followed)."""
    module, _, path = target.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


def did_you_mean(name: str, valid: list[str]) -> str | None:
    """``"did you mean 'x'?"`` for the nearest valid name, or None when nothing is near."""
    near = difflib.get_close_matches(name, valid, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else None


@lru_cache
def _plugins(family: str) -> Any:
    """Entry points of a family. What finds them is imported late: built-in members are loaded without it."""
    return resolve("importlib.metadata:entry_points")(group=f"flopwise.{family}")
