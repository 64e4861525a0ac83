"""The study file as pydantic models: which keys there are, their types, defaults and limits.

What a key means together with others, and what the workload, the searcher and the policies say about
theirs, is in :mod:`flopwise.study.check`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictFloat,
    StrictStr,
)
from pydantic_core import PydanticCustomError

from flopwise import paths, units
from flopwise.errors import InputError
from flopwise.space import Categorical, Float, Int, Parameter

PARAMETER_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
"""What a key of the space looks like."""
FORBIDDEN_ENV = re.compile(r"PATH|LD_.*|PYTHON.*|FLOPWISE.*")
"""Environment variables that decide what code runs; an attempt never gets them from outside."""

MOST_PARAMETERS = 200
MOST_CHOICES = 100
MOST_TIERS = 32
MOST_POLICIES = 64


def _refuse(message: str) -> PydanticCustomError:
    return PydanticCustomError("flopwise", "{message}", {"message": message})


def _with(parse: Callable[[object], float]) -> BeforeValidator:
    """A validator that reads a number with a unit."""

    def read(value: object) -> float:
        try:
            return parse(value)
        except InputError as error:
            raise _refuse(f"{error.problem}; expected {error.expected}, got {error.got}") from None

    return BeforeValidator(read)


def _whole(value: object) -> object:
    """A float without a fraction (``1e3``) is a whole number; a boolean is not."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _refuse(f"expected a whole number, got {value!r:.60}")
    return value


def _auto(value: object) -> object:
    return None if value == "auto" else value


def _env_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", name):
        raise _refuse(f"expected the name of an environment variable, got {name!r:.60}")
    if FORBIDDEN_ENV.fullmatch(name):
        raise _refuse(f"{name} decides what code an attempt runs and cannot be passed on")
    return name


def _run_name(name: str) -> str:
    if not paths.NAME.fullmatch(name):
        raise _refuse(
            f"expected 1 to 64 letters, digits, '_', '.' or '-', the first a letter or digit "
            f"(it becomes a folder's name), got {name!r:.60}"
        )
    return name


def _parameter_key(key: str) -> str:
    if len(key) > 128 or not PARAMETER_KEY.fullmatch(key):
        raise _refuse(f"expected a dotted key such as train.lr, got {key!r:.60}")
    return key


def _scalars(choices: list[Any]) -> list[Any]:
    for choice in choices:
        if not isinstance(choice, bool | int | float | str):
            raise _refuse(f"choices are numbers, texts, true or false, got {choice!r:.60}")
    return choices


Whole = Annotated[int, BeforeValidator(_whole)]
Count = Annotated[Whole, Field(ge=1)]
Amount = Annotated[StrictFloat, Field(ge=0)]
Seconds = Annotated[float, _with(units.parse_seconds)]
PositiveSeconds = Annotated[Seconds, Field(gt=0)]
Money = Annotated[float, _with(units.parse_money)]
Name = Annotated[StrictStr, BeforeValidator(lambda value: _run_name(value) if isinstance(value, str) else value)]
EnvName = Annotated[StrictStr, BeforeValidator(lambda value: _env_name(value) if isinstance(value, str) else value)]
ParameterKey = Annotated[StrictStr, BeforeValidator(_parameter_key)]


class Section(BaseModel):
    """Root of all sections: an unknown key is an error, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FloatParameter(Section):
    """A real number in [low, high]."""

    type: Literal["float"]
    low: StrictFloat = Field(description="Smallest value.")
    high: StrictFloat = Field(description="Largest value.")
    scale: Literal["linear", "log"] = Field("linear", description="`log` searches orders of magnitude evenly.")

    def parameter(self) -> Parameter:
        return Float(self.low, self.high, self.scale)


class IntParameter(Section):
    """A whole number in [low, high]."""

    type: Literal["int"]
    low: Whole = Field(description="Smallest value.")
    high: Whole = Field(description="Largest value; must be low + k * step.")
    scale: Literal["linear", "log"] = Field("linear", description="`log` gives small values more room.")
    step: Count = Field(1, description="Distance between neighbours.")

    def parameter(self) -> Parameter:
        return Int(self.low, self.high, self.scale, self.step)


class CategoricalParameter(Section):
    """One of several values without an order."""

    type: Literal["categorical"]
    choices: Annotated[list[Any], AfterValidator(_scalars), Field(max_length=MOST_CHOICES)] = Field(
        description="At least two different numbers, texts or booleans."
    )

    def parameter(self) -> Parameter:
        return Categorical(tuple(self.choices))


class BoolParameter(Section):
    """true or false."""

    type: Literal["bool"]

    def parameter(self) -> Parameter:
        return Categorical((False, True))


ParameterSection = Annotated[
    FloatParameter | IntParameter | CategoricalParameter | BoolParameter, Discriminator("type")
]


class ObjectiveSection(Section):
    """What the study minimises or maximises."""

    metric: Annotated[StrictStr, Field(min_length=1, max_length=64)] = Field(
        description="A final value that every evaluation reports."
    )
    direction: Literal["minimize", "maximize"] = Field("minimize", description="Which way is better.")


class StopSection(Section):
    """How much training one evaluation buys: exactly one of these."""

    flops: Annotated[float, _with(units.parse_flops), Field(gt=0)] | None = Field(None, description="Training FLOPs.")
    tokens: Annotated[float, _with(units.parse_count), Field(ge=1)] | None = Field(None, description="Training tokens.")
    steps: Annotated[float, _with(units.parse_count), Field(ge=1, multiple_of=1)] | None = Field(
        None, description="Optimizer steps."
    )
    seconds: PositiveSeconds | None = Field(None, description="Wall-clock seconds of training.")


class EvaluationSection(Section):
    """How one config is evaluated."""

    stop: StopSection | None = Field(None, description="How much training one evaluation buys.")
    seeds: Count = Field(1, description="Seeds per trial; its loss is their mean.")
    timeout: PositiveSeconds | None = Field(None, description="Longest wall time of one evaluation.")


class SearchSection(BaseModel):
    """How configs are proposed; keys other than these two are the searcher's own options."""

    model_config = ConfigDict(extra="allow", frozen=True)

    method: StrictStr = Field("random", description="Name of the searcher.")
    seed: Annotated[Whole, Field(ge=0, lt=2**32)] = Field(0, description="Every random stream derives from it.")


class TierSection(Section):
    """One size the search may have."""

    population: Annotated[Whole, Field(ge=2)] | None = Field(None, description="Trials a generation.")
    generations: Count | None = Field(None, description="Generations.")
    trials: Count | None = Field(None, description="Trials, for searchers without generations.")


class LimitsSection(Section):
    """What the whole run may spend; whichever is reached first ends the search."""

    evaluations: Count | None = Field(None, description="Evaluations (one seed of one trial each).")
    device_hours: Annotated[StrictFloat, Field(gt=0)] | None = Field(None, description="Hours that devices are busy.")
    wall_clock: PositiveSeconds | None = Field(None, description="Wall time of the run.")
    price: Annotated[Money, Field(gt=0)] | None = Field(None, description="Money.")


class ExecutionSection(Section):
    """Where and how attempts run."""

    executor: StrictStr = Field("local", description="Name of the executor.")
    slots: Annotated[Count | None, BeforeValidator(_auto)] = Field(None, description="Attempts at a time, or `auto`.")
    threads: Count = Field(1, description="Threads and cores of one attempt.")
    price_per_hour: Money = Field(0.0, description="Price of the whole machine for one hour.")
    grace: Seconds = Field(60.0, description="Time running attempts get to finish when the study is stopped.")
    retries: Annotated[Whole, Field(ge=0)] = Field(
        2, description="New attempts after one was killed or ran out of memory."
    )
    pass_env: list[EnvName] = Field([], description="Environment variables passed to attempts; never recorded.")


class CalibrationSection(Section):
    """Evaluations of the baseline that measure time and noise before the search."""

    seeds: Annotated[Whole, Field(ge=2)] = Field(3, description="Seeds of the baseline.")


class ConfirmSection(Section):
    """How the winner is confirmed on fresh seeds."""

    top: Count = Field(3, description="Best trials that are evaluated again.")
    seeds: Annotated[Annotated[Whole, Field(ge=2)] | None, BeforeValidator(_auto)] = Field(
        None, description="Fresh seeds for winner and baseline; `auto` takes them from the measured noise."
    )
    min_improvement: Amount = Field(0.01, description="Smallest improvement worth a GO, as a share of the baseline.")


class StudyFile(Section):
    """A whole study file."""

    name: Name = Field(description="Name of the study; the run's folder is named after it.")
    workload: StrictStr = Field(description="What is trained.")
    base: dict[str, Any] = Field(
        {}, description="The baseline: the workload's config where it differs from its defaults."
    )
    space: Annotated[dict[ParameterKey, ParameterSection], Field(min_length=1, max_length=MOST_PARAMETERS)] = Field(
        description="Dotted key of the workload's config to what it may be."
    )
    objective: ObjectiveSection
    evaluation: EvaluationSection = EvaluationSection()
    search: SearchSection = SearchSection()
    tiers: Annotated[dict[Name, TierSection], Field(min_length=1, max_length=MOST_TIERS)] | None = Field(
        None, description="Sizes of the search, smallest first."
    )
    limits: LimitsSection = LimitsSection()
    execution: ExecutionSection = ExecutionSection()
    policies: Annotated[dict[str, Any], Field(max_length=MOST_POLICIES)] = Field(
        {}, description="Options of a policy, or false to switch it off."
    )
    calibration: CalibrationSection | None = Field(
        None, description="Defaults to 3 seeds, or evaluation.seeds if more."
    )
    confirm: ConfirmSection = ConfirmSection()


def parameter_mapping(parameter: Parameter) -> Mapping[str, Any]:
    """A parameter as a study file spells it, every default filled in.

    Example:
        >>> parameter_mapping(Float(0, 1))
        {'type': 'float', 'low': 0.0, 'high': 1.0, 'scale': 'linear'}
    """
    if isinstance(parameter, Float):
        return {"type": "float", "low": float(parameter.low), "high": float(parameter.high), "scale": parameter.scale}
    if isinstance(parameter, Int):
        span = {"low": parameter.low, "high": parameter.high}
        return {"type": "int", **span, "scale": parameter.scale, "step": parameter.step}
    if parameter.choices == (False, True) and all(isinstance(choice, bool) for choice in parameter.choices):
        return {"type": "bool"}
    return {"type": "categorical", "choices": list(parameter.choices)}
