"""What a workload tells the coordinator about itself, without importing torch.

Every workload folder has a ``spec.py`` with one object ``SPEC`` that follows :class:`WorkloadSpec`;
the registry finds it by name. The code that really trains lives beside it and is named by ``entry``
and ``prepare`` as ``module:function``, imported only in worker processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from flopwise.errors import Problem
from flopwise.target import Target
from flopwise.trial import Fidelity


class WorkloadSpec(Protocol):
    """The torch-free side of a workload.

    Attributes:
        name: Registry name.
        config_model: Pydantic model (``extra="forbid"``) of the whole config; its defaults are the
            documented default config. None when any mapping will do (``function``).
        entry: ``module:function`` called as ``run(config, context)`` in the worker; returns the final
            metrics as a mapping.
        prepare: ``module:function`` called once per study as ``prepare(config, context)``; returns the
            data pin (JSON mapping). None when there is no data.
        prepared: Keys of the config that ``prepare`` goes by. What they say is the same in every evaluation
            of a study, so they cannot vary in its space. Empty when there is no data.
        preload: Modules the keeper imports before it forks.
        warm: ``module:function`` the keeper calls once before it forks, or None.
        metrics: Names of the final metrics; empty when unknown beforehand.
        needs_stop: Whether ``evaluation.stop`` must be given.
        validates: Metrics that it reports in rows of the learning curve every ``evaluation.validate_every``
            steps; None when it validates as it likes, if at all.
        checkpoints: Keys of the config that say when it saves its training (``end`` for once, at the end) and
            the path of a checkpoint to go on from; None when it does neither.
    """

    name: str
    config_model: Any
    entry: str
    prepare: str | None
    prepared: tuple[str, ...]
    preload: tuple[str, ...]
    warm: str | None
    metrics: tuple[str, ...]
    needs_stop: bool
    validates: tuple[str, ...] | None
    checkpoints: tuple[str, str] | None

    def check(self, config: Mapping[str, Any], stop: Fidelity) -> list[Problem]:
        """Problems that types alone do not show (divisibility, a stop that buys no step).

        ``config`` is nested and has passed ``config_model``; keys in problems are dotted and start
        with a key of the config (``model.n_head``) or with ``evaluation.stop``.
        """
        ...

    def uses_accelerator(self, config: Mapping[str, Any]) -> bool:
        """Whether an evaluation may use an accelerator; True when it cannot be told beforehand.

        ``config`` is the baseline's, nested, every default filled in.
        """
        ...

    def steps(self, config: Mapping[str, Any], stop: Fidelity) -> int | None:
        """Optimizer steps that ``stop`` buys; None when it cannot be told beforehand."""
        ...

    def flops(self, config: Mapping[str, Any], stop: Fidelity) -> float | None:
        """Training FLOPs of one evaluation; None when it cannot be told beforehand."""
        ...


class Context(Protocol):
    """What a running attempt can see and say (the worker implements it).

    Attributes:
        seed: Seed of everything random in the attempt.
        fidelity: How much to train.
        folder: The attempt's own folder.
        cache: Folder for prepared data, shared by all attempts of a machine.
        data: Pin of the prepared data.
        threads: Size of every thread pool.
        validate_every: Steps between validations; None for none but the last. Only for workloads that
            say ``validates``.
        count_validation: Whether their time counts as training.
        target: What the training runs to; None for nothing.
        reached_target: A reported row has reached the hardest target declared: nothing more is asked for.
    """

    seed: int
    fidelity: Fidelity
    folder: Path
    cache: Path
    data: Mapping[str, Any]
    threads: int
    validate_every: int | None
    count_validation: bool
    target: Target | None
    reached_target: bool

    def report(self, step: int, **values: float) -> None:
        """A row of the learning curve; cheap, may be called every step."""
        ...

    def progress(self, text: str, done: float = 0.0, total: float = 0.0) -> None:
        """A line for the user while something long runs."""
        ...

    def note(self, **facts: Any) -> None:
        """Facts for summary and report (JSON values), for example ``tokens=…, flops=…``."""
        ...

    def should_stop(self) -> bool:
        """True once the study asked this attempt to end, or it has reached its target; return soon after."""
        ...
