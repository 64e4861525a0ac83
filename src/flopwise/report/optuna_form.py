"""A run in Optuna's words: its space as distributions, and what each config says in them.

Loaded through ``registry`` only, by what needs Optuna.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from optuna import Study, create_study
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from flopwise.space import Categorical, Float, Int, Parameter, Space


class OptunaForm:
    """A space in Optuna's words. Choices that Python takes for equal (1 and true) become JSON texts.

    Args:
        space: Of a study.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._ranges = {key: _distribution(parameter) for key, parameter in space.parameters.items()}

    def __call__(self, config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
        """Params and their distributions: every active knob whose value lies in its range.

        A baseline may lie outside a range, where Optuna allows nothing.
        """
        active = self._space.active(config) & config.keys()
        inside = [key for key, p in self._space.parameters.items() if key in active and p.contains(config[key])]
        params = {key: _param(self._space.parameters[key], config[key]) for key in inside}
        return params, {key: self._ranges[key] for key in inside}


def quiet_study(**settings: Any) -> Study:
    """``optuna.create_study`` that says nothing about it.

    Args:
        **settings: As for ``optuna.create_study``.
    """
    logger = logging.getLogger("optuna")
    level = logger.level
    logger.setLevel(max(level, logging.WARNING))
    try:
        return create_study(**settings)
    finally:
        logger.setLevel(level)


def _distribution(parameter: Parameter) -> BaseDistribution:
    match parameter:
        case Float():
            return FloatDistribution(float(parameter.low), float(parameter.high), log=parameter.scale == "log")
        case Int():
            return IntDistribution(parameter.low, parameter.high, log=parameter.scale == "log", step=parameter.step)
        case Categorical():
            return CategoricalDistribution(tuple(_param(parameter, choice) for choice in parameter.choices))


def _param(parameter: Parameter, value: Any) -> Any:
    if isinstance(parameter, Categorical) and len(set(parameter.choices)) < len(parameter.choices):
        return json.dumps(value)
    return float(value) if isinstance(parameter, Float) else value
