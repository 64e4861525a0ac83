"""The Python way in, for people who arrive with a function in hand.

    import flopwise

    def train(config, context):
        return {"loss": (config["x"] - 3) ** 2}

    done = flopwise.Study(
        name="parabola", space={"x": flopwise.Float(-10, 10)}, objective=train, search="cmaes", evaluations=40
    ).run()
    print(done.verdict, done.best)

No ``if __name__ == "__main__"`` is needed: attempts run in processes forked from a small server that
never imports the calling script.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from flopwise.engine.assemble import plan, run
from flopwise.engine.request import Finish, Request
from flopwise.executors.objective import encode_objective, identify_objective
from flopwise.registry import load, names
from flopwise.report.view import choose_view
from flopwise.study import Study as CheckedStudy
from flopwise.study import study_from_mapping

POPULATION = 8
"""Candidates a generation when only ``evaluations`` is given."""


@dataclass(frozen=True)
class Done:
    """How a study ended.

    Attributes:
        reason: finished, planned, declined, paused, interrupted or failed.
        folder: The run folder, with report.md and report.json.
        summary: report.json as a dict.
    """

    reason: str
    folder: Path
    summary: dict[str, Any]

    @property
    def verdict(self) -> str | None:
        """GO, NO-GO, INCONCLUSIVE, or None before the end."""
        verdict = self.summary["verdict"]
        return None if verdict is None else str(verdict["verdict"])

    @property
    def trials(self) -> list[dict[str, Any]]:
        """Every trial: number, phase, config, value, outcome, seconds."""
        return list(self.summary["trials"])

    @property
    def best(self) -> dict[str, Any] | None:
        """The confirmed winner where there is a verdict, else the best trial of the search so far.

        Values before confirmation are those the search saw, and as optimistic as every best of many.
        """
        if self.summary["winner"] is not None:
            return dict(self.summary["winner"])
        sign = -1.0 if self.summary["objective"]["direction"] == "maximize" else 1.0
        finished = [t for t in self.trials if t["phase"] == "search" and t["value"] is not None]
        return min(finished, key=lambda trial: (sign * trial["value"], trial["number"]), default=None)


class Study:
    """A study of a Python function, or of any workload, without a file.

    Args:
        name: Becomes the run folder ``runs/NAME``.
        space: Key to ``flopwise.Float``, ``Int``, ``Categorical``, or a mapping as in a study file.
        objective: ``f(config, context)`` or ``f(config)``; returns a mapping with the metric, or the
            metric alone. None when ``workload`` is not ``function``.
        metric: Name of the metric.
        direction: ``minimize`` or ``maximize``.
        search: Searcher by name, or a mapping with its options.
        seed: The study's seed.
        evaluations: Trials of the search (whole generations for searchers that need them).
        slots: Evaluations at once; None for one a core.
        runs: Folder that holds the runs.
        **sections: Any other section of a study file: ``base``, ``constraints``, ``derived``, ``groups``,
            ``evaluation``, ``tiers``, ``limits``, ``execution``, ``policies``, ``calibration``, ``confirm``,
            ``workload``.

    Raises:
        StudyError: With every mistake at once; nothing is written.
    """

    def __init__(
        self,
        *,
        name: str,
        space: Mapping[str, Any],
        objective: Callable[..., Any] | None = None,
        metric: str = "loss",
        direction: str = "minimize",
        search: str | Mapping[str, Any] = "random",
        seed: int = 0,
        evaluations: int | None = None,
        slots: int | None = None,
        runs: str | Path = "runs",
        **sections: Any,
    ) -> None:
        method = {"method": search} if isinstance(search, str) else dict(search)
        content: dict[str, Any] = {
            "name": name,
            "workload": "function",
            "space": dict(space),
            "objective": {"metric": metric, "direction": direction},
            "search": {"seed": seed, **method},
            **sections,
        }
        if slots is not None:
            content["execution"] = {**sections.get("execution", {}), "slots": slots}
        if evaluations is not None:
            content.setdefault("tiers", {"default": _tier(method["method"], evaluations)})
        self._checked: CheckedStudy = study_from_mapping(content)
        self._objective = objective
        self._runs = Path(runs)

    def plan(self) -> dict[str, Any]:
        """Measure the baseline and price every tier; returns the plan as JSON."""
        return dict(_done(plan(self._checked, self._request(quiet=True))).summary["plan"])

    def run(self, *, tier: str | None = None, quiet: bool = False) -> Done:
        """Search, confirm, judge. An unfinished run of this same study is resumed.

        Raises:
            FlopwiseError: When the run cannot go on; a pause or a verdict is not an error.
        """
        return _done(run(self._checked, self._request(tier=tier, quiet=quiet)))

    def _request(self, *, tier: str | None = None, quiet: bool) -> Request:
        encoded = identity = None
        if self._objective is not None:
            encoded = encode_objective(self._objective)
            identity = identify_objective(self._objective)
        return Request(
            runs=self._runs,
            view=choose_view(Console(), quiet=quiet, runs=self._runs),
            command=f"python {sys.argv[0]}",
            tier=tier,
            may_ask=True,
            objective=encoded,
            objective_id=identity or "",
        )


def _done(finish: Finish) -> Done:
    return Done(finish.reason, finish.folder, finish.summary)


def _tier(method: str, evaluations: int) -> dict[str, int]:
    if method not in names("searchers") or not load("searchers", method).generational:
        return {"trials": evaluations}
    return {"population": POPULATION, "generations": max(1, round(evaluations / POPULATION))}
