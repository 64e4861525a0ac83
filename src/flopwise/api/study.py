"""A study without a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from flopwise.api.asking import Asking
from flopwise.api.done import Done, HasDone, conclude
from flopwise.engine.assemble import plan, run
from flopwise.engine.request import ASKED, Request
from flopwise.engine.signals import Signals
from flopwise.errors import InputError
from flopwise.executors.ask_tell import AskTellExecutor
from flopwise.executors.objective import encode_objective, identify_objective
from flopwise.registry import load, names
from flopwise.report.view import View, choose_view
from flopwise.study import Study as CheckedStudy
from flopwise.study import study_from_canonical, study_from_mapping

POPULATION = 8
"""Candidates a generation when only ``evaluations`` is given."""

ASK_TELL = "ask_tell"
"""What the journal says of a run whose attempts are in a loop of the user's own."""

OWN_LOOP = {
    "execution": {"slots", "price_per_hour", "retries"},
    "evaluation": {"stop", "seeds", "timeout"},
}
"""Keys that mean something where flopwise starts no process; others are refused."""


class Study(HasDone):
    """A study of a Python function, of a loop of your own, or of any workload, without a file.

    Args:
        name: Becomes the run folder ``runs/NAME``.
        space: Key to ``flopwise.Float``, ``Int``, ``Categorical``, or a mapping as in a study file.
        objective: ``f(config, context)`` or ``f(config)``; returns a mapping with the metric, or the
            metric alone. None when ``workload`` is not ``function``, and for :meth:`asking`.
        metric: Name of the metric.
        direction: ``minimize`` or ``maximize``.
        target: With the metric ``seconds_to_target``: what is to be reached, such as ``{"val_loss": 5.0}``.
        search: Searcher by name, or a mapping with its options.
        seed: The study's seed.
        evaluations: Trials of the search (whole generations for searchers that need them).
        slots: Evaluations at once; None for one a core (of :meth:`asking`: for one).
        runs: Folder that holds the runs.
        **sections: Any other section of a study file: ``base``, ``constraints``, ``derived``, ``groups``,
            ``evaluation``, ``tiers``, ``limits``, ``execution``, ``policies``, ``calibration``, ``confirm``,
            ``workload``, ``after``.

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
        target: Mapping[str, Any] | None = None,
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
            "objective": {"metric": metric, "direction": direction, **({"target": target} if target else {})},
            "search": {"seed": seed, **method},
            **sections,
        }
        if slots is not None:
            content["execution"] = {**sections.get("execution", {}), "slots": slots}
        if evaluations is not None:
            content.setdefault("tiers", {"default": _tier(method["method"], evaluations)})
        self._checked: CheckedStudy = study_from_mapping(content)
        self._content = content
        self._objective = objective
        self._runs = Path(runs)
        self._done: Done | None = None

    @property
    def done(self) -> Done:
        """How the last :meth:`run` or :meth:`asking` of this object ended.

        Raises:
            InputError: Before there was one.
        """
        if self._done is None:
            raise InputError(
                f"study {self._checked.name} has not run yet",
                fix="call run() first; flopwise.load_run(folder) looks at a run of another process",
            )
        return self._done

    def plan(self) -> dict[str, Any]:
        """Measure the baseline and price every tier; returns the plan as JSON."""
        return dict(plan(self._checked, self._request(self._view(quiet=True))).summary["plan"])

    def run(
        self, *, tier: str | None = None, anyway: bool = False, quiet: bool = False, accept: str | None = None
    ) -> Done:
        """Search, confirm, judge. An unfinished run of this same study is resumed.

        Args:
            tier: Which tier to spend; None for the first.
            anyway: Spend it even where the plan says that nothing can be told apart.
            quiet: Show nothing.
            accept: Policy whose pause is as it should be; a paused run does not go on without.

        Raises:
            RunError: If the plan says that nothing can be told apart, and ``anyway`` is not set.
            FlopwiseError: When the run cannot go on; a pause or a verdict is not an error.
        """
        view = self._view(quiet)
        self._done = conclude(run(self._checked, replace(self._request(view, tier, anyway), accept=accept)), view)
        return self._done

    def asking(
        self, *, tier: str | None = None, anyway: bool = False, quiet: bool = False, accept: str | None = None
    ) -> Asking:
        """The same study for a training loop of your own: it asks for trials and tells their results.

            with study.asking() as asking:
                while trial := asking.ask():
                    asking.tell(trial, loss=train(trial.config, seed=trial.seed))

        An unfinished run of this same study is resumed.

        Args:
            tier: Which tier to spend; None for the first.
            anyway: Spend it even where the plan says that nothing can be told apart.
            quiet: Show nothing.
            accept: Policy whose pause is as it should be; a paused run does not go on without.

        Raises:
            InputError: If the study has a function, another workload, or a setting that means nothing here.
        """
        self._check_own_loop()
        view = self._view(quiet, live=False)
        execution = self._checked.canonical["execution"]
        own = {**execution, "executor": ASK_TELL, "slots": execution["slots"] or 1, "threads": 1}
        study = replace(study_from_canonical({**self._checked.canonical, "execution": own}), source="python")
        executor, signals = AskTellExecutor(own["slots"]), Signals()
        request = replace(self._request(view, tier, anyway), objective_id=ASKED, executor=executor, signals=signals)
        request = replace(request, accept=accept)

        def session() -> Done:
            self._done = conclude(run(study, request), view)
            return self._done

        return Asking(session, executor, partial(signals.ask, "the loop was left"))

    def _check_own_loop(self) -> None:
        workload = self._checked.canonical["workload"]
        if self._objective is not None or workload != "function":
            given = "an objective" if self._objective is not None else f"workload {workload}"
            raise InputError(
                "asking() is for a loop of your own",
                expected="a Study with neither objective nor workload",
                got=given,
                fix="call run() instead, or leave it out",
            )
        for section, known in OWN_LOOP.items():
            unknown = sorted(set(self._content.get(section) or {}) - known)
            if unknown:
                raise InputError(
                    f"{section}.{unknown[0]} means nothing where a loop of your own does the work",
                    expected=f"of {section} only " + ", ".join(sorted(known)),
                    fix="leave it out",
                )

    def _view(self, quiet: bool, *, live: bool = True) -> View:
        return choose_view(Console(), quiet=quiet, runs=self._runs, live=live)

    def _request(self, view: View, tier: str | None = None, anyway: bool = False) -> Request:
        encoded = identity = None
        if self._objective is not None:
            encoded = encode_objective(self._objective)
            identity = identify_objective(self._objective)
        return Request(
            runs=self._runs,
            view=view,
            command="the notebook's cell" if Console().is_jupyter else f"python {sys.argv[0]}",
            tier=tier,
            anyway=lambda _: anyway,
            may_ask=True,
            objective=encoded,
            objective_id=identity or "",
        )


def _tier(method: str, evaluations: int) -> dict[str, int]:
    if method not in names("searchers") or not load("searchers", method).generational:
        return {"trials": evaluations}
    return {"population": POPULATION, "generations": max(1, round(evaluations / POPULATION))}
