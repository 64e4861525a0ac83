"""Told trials in Optuna's terms: what its samplers look at when they draw the next one.

Optuna sees a float as its coordinate in [0, 1] (so a log scale is already straight), an int as an int,
and a categorical as the position of its choice: choices such as 1 and true are equal to Python, and
Optuna would mix them up.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from flopwise import seeds
from flopwise.space import Categorical, Float, Parameter, Space
from flopwise.trial import Told

STUDY = "told"


class History:
    """Told trials as an Optuna study in memory, each at the place that its number gives it.

    What has not been told yet is a running trial without params there, which the samplers leave out;
    so a trial that finishes late is put in its place instead of building the study again.

    Args:
        space: What configs are made of.
        failed: What a failed trial is to Optuna: ``PRUNED`` ranks below every result, ``FAIL`` is left out.

    Attributes:
        configs: :func:`identity` of every config told.
        results: How many told trials did not fail.
    """

    def __init__(self, space: Space, failed: TrialState = TrialState.PRUNED) -> None:
        self._space = space
        self._failed = failed
        self._distributions = distributions(space)
        self._storage = InMemoryStorage()
        self._ids: list[int] = []
        self._told: set[int] = set()
        self.configs: set[str] = set()
        self.results = 0
        with quiet():
            self._study = self._storage.create_new_study([StudyDirection.MINIMIZE], STUDY)

    def add(self, told: Told) -> None:
        """Take one finished trial.

        Raises:
            ValueError: If it was told before, or is no search trial.
        """
        if told.number < 1 or told.number in self._told:
            raise ValueError(f"told trial {told.number}, expected search trials (from 1 on), each of them once")
        while len(self._ids) < told.number:
            self._ids.append(self._storage.create_new_trial(self._study))
        trial = self._ids[told.number - 1]
        for key, value in params(self._space, told.point).items():
            distribution = self._distributions[key]
            self._storage.set_trial_param(trial, key, distribution.to_internal_repr(value), distribution)
        if told.loss is None:
            self._storage.set_trial_state_values(trial, self._failed)
        else:
            self.results += 1
            self._storage.set_trial_state_values(trial, TrialState.COMPLETE, [told.loss])
        self._told.add(told.number)
        self.configs.add(identity(self._space.decode(told.point)))

    def draw(self, sampler: BaseSampler, *, together: bool = True) -> tuple[float, ...]:
        """What a sampler draws next, as a point of the unit cube. Nothing is remembered of it.

        Args:
            sampler: Fresh, with a seed of its own.
            together: Whether it may draw parameters jointly; what it leaves out is drawn one by one.
        """
        study = optuna.load_study(study_name=STUDY, storage=self._storage, sampler=sampler)
        trial = create_trial(state=TrialState.RUNNING)
        drawn = sampler.sample_relative(study, trial, self._distributions) if together else {}
        for key, distribution in self._distributions.items():
            if key not in drawn:
                drawn[key] = sampler.sample_independent(study, trial, key, distribution)
        return point(self._space, drawn)


def identity(config: Mapping[str, Any]) -> str:
    """Equal for equal configs; 1 and true are not."""
    return repr(sorted(config.items()))


def first_new(
    space: Space, points: Iterable[tuple[float, ...]], known: Container[str]
) -> tuple[tuple[float, ...], dict[str, Any]]:
    """The first of some points whose config is not known yet, which would only give its result again.

    Args:
        space: What configs are made of.
        points: Draws, one at least.
        known: :func:`identity` of the known configs.

    Returns:
        Point and config; the last ones when all are known.
    """
    for drawn in points:
        config = space.decode(drawn)
        if identity(config) not in known:
            break
    return drawn, config


def even(space: Space, seed: int, count: int) -> Iterator[tuple[float, ...]]:
    """Uniform draws from the unit cube."""
    stream = seeds.stream(seed, "even")
    for _ in range(count):
        yield tuple(stream.random() for _ in range(len(space)))


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna says nothing inside; outside, the user's own logging and warnings are as they were."""
    logger = logging.getLogger("optuna")
    level = logger.level
    logger.setLevel(max(level, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        logger.setLevel(level)


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Key to distribution, in the order of the sorted keys: the order in which Optuna samples."""
    return {key: _distribution(space.parameters[key]) for key in sorted(space.keys)}


def params(space: Space, point: Sequence[float]) -> dict[str, Any]:
    """A point of the unit cube as Optuna's params."""
    coordinates = zip(space.parameters.items(), point, strict=True)
    return {key: _param(parameter, float(unit)) for (key, parameter), unit in coordinates}


def point(space: Space, params: Mapping[str, Any]) -> tuple[float, ...]:
    """Optuna's params as a point of the unit cube, which encodes and decodes to the same config."""
    return tuple(_unit(parameter, params[key]) for key, parameter in space.parameters.items())


def _distribution(parameter: Parameter) -> BaseDistribution:
    if isinstance(parameter, Float):
        return FloatDistribution(0.0, 1.0)
    if isinstance(parameter, Categorical):
        return CategoricalDistribution(tuple(range(len(parameter.choices))))
    return IntDistribution(parameter.low, parameter.high, log=parameter.scale == "log", step=parameter.step)


def _param(parameter: Parameter, unit: float) -> float | int:
    if isinstance(parameter, Float):
        return unit
    if isinstance(parameter, Categorical):
        return min(int(unit * len(parameter.choices)), len(parameter.choices) - 1)
    return parameter.decode(unit)


def _unit(parameter: Parameter, value: Any) -> float:
    if isinstance(parameter, Float):
        return float(value)
    if isinstance(parameter, Categorical):
        return (int(value) + 0.5) / len(parameter.choices)
    return parameter.encode(int(value))
