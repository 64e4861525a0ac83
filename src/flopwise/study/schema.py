"""The study file as pydantic models: which keys there are, their types, defaults and limits.

What a key means together with others, and what the workload, the searcher and the policies say about
theirs, is in :mod:`flopwise.study.check`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StrictBool, StrictFloat, StrictStr

from flopwise.space import Categorical, Float, Int, Parameter
from flopwise.study.fields import (
    AllowedValues,
    Amount,
    BoolOrAuto,
    Bytes,
    Choices,
    Count,
    CountOrAuto,
    CountOrMeasured,
    EnvName,
    ExpressionText,
    Flops,
    Memory,
    Money,
    Name,
    ParameterKey,
    PositiveSeconds,
    Quantity,
    Seconds,
    SeedsOrAuto,
    SizeOrSwitch,
    TimeOrSwitch,
    Whole,
    WholeOrAuto,
)

MOST_PARAMETERS = 200
MOST_TIERS = 32
MOST_LOOKS = 8
MOST_ALSO = 16
MOST_POLICIES = 64
MOST_CONSTRAINTS = 100
MOST_DERIVED = 100
MOST_GROUPS = 32
MOST_LEVELS = 16


class Section(BaseModel):
    """Root of all sections: an unknown key is an error, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


MetricName = Annotated[StrictStr, Field(min_length=1, max_length=64)]

When = Annotated[
    dict[ParameterKey, AllowedValues],
    Field(description="Other keys, and the values they must have for this one to matter."),
]


Levels = Annotated[list[StrictFloat], Field(max_length=MOST_LEVELS)]


class FloatParameter(Section):
    """A real number in [low, high]."""

    type: Literal["float"]
    low: StrictFloat = Field(description="Smallest value.")
    high: StrictFloat = Field(description="Largest value.")
    scale: Literal["linear", "log"] = Field("linear", description="`log` searches orders of magnitude evenly.")
    when: When = {}

    def parameter(self) -> Parameter:
        return Float(self.low, self.high, self.scale)


class IntParameter(Section):
    """A whole number in [low, high]."""

    type: Literal["int"]
    low: Whole = Field(description="Smallest value.")
    high: Whole = Field(description="Largest value; must be low + k * step.")
    scale: Literal["linear", "log"] = Field("linear", description="`log` gives small values more room.")
    step: Count = Field(1, description="Distance between neighbours.")
    when: When = {}

    def parameter(self) -> Parameter:
        return Int(self.low, self.high, self.scale, self.step)


class CategoricalParameter(Section):
    """One of several values without an order."""

    type: Literal["categorical"]
    choices: Choices = Field(description="At least two different numbers, texts or booleans.")
    when: When = {}

    def parameter(self) -> Parameter:
        return Categorical(tuple(self.choices))


class BoolParameter(Section):
    """true or false."""

    type: Literal["bool"]
    when: When = {}

    def parameter(self) -> Parameter:
        return Categorical((False, True))


ParameterSection = Annotated[
    FloatParameter | IntParameter | CategoricalParameter | BoolParameter, Discriminator("type")
]


class TargetSection(BaseModel):
    """A metric and the value it is to reach, under the metric's name, beside these keys."""

    model_config = ConfigDict(extra="allow", frozen=True)

    direction: Literal["minimize", "maximize"] = Field("minimize", description="Which way the metric is better.")
    fallback: Levels = Field([], description="Easier targets, tried in this order when nothing reaches the first.")
    tighten: Levels = Field([], description="Harder targets, tried in this order when all get there equally fast.")


class ObjectiveSection(Section):
    """What the study minimises or maximises."""

    metric: Annotated[StrictStr, Field(min_length=1, max_length=64)] = Field(
        description="A final value that every evaluation reports."
    )
    direction: Literal["minimize", "maximize"] = Field("minimize", description="Which way is better.")
    target: TargetSection | None = Field(None, description="What seconds_to_target is the time to.")


class StopSection(Section):
    """How much training one evaluation buys: exactly one of these."""

    flops: Annotated[Flops, Field(gt=0)] | None = Field(None, description="Training FLOPs.")
    tokens: Annotated[Quantity, Field(ge=1)] | None = Field(None, description="Training tokens.")
    steps: Annotated[Quantity, Field(ge=1, multiple_of=1)] | None = Field(None, description="Optimizer steps.")
    seconds: PositiveSeconds | None = Field(None, description="Wall-clock seconds of training.")


class EvaluationSection(Section):
    """How one config is evaluated."""

    stop: StopSection | None = Field(None, description="How much training one evaluation buys.")
    seeds: Count = Field(1, description="Seeds per trial; its loss is their mean.")
    timeout: PositiveSeconds | None = Field(None, description="Longest wall time of one evaluation.")
    progress_timeout: PositiveSeconds | None = Field(
        None, description="Longest time that an evaluation may go without reporting a measurement."
    )
    validate_every: Count | None = Field(None, description="Steps between validations; none for the last step alone.")
    count_validation: StrictBool | None = Field(
        None, description="Whether the time of validations counts as training; none for false."
    )


class SearchSection(BaseModel):
    """How configs are proposed; keys other than these five are the searcher's own options."""

    model_config = ConfigDict(extra="allow", frozen=True)

    method: StrictStr = Field("random", description="Name of the searcher.")
    seed: Annotated[Whole, Field(ge=0, lt=2**32)] = Field(0, description="Every random stream derives from it.")
    asynchronous: StrictBool = Field(
        False, description="Whether a free slot gets the next trial at once, instead of waiting for a generation's end."
    )
    groups: list[StrictStr] | None = Field(
        None, description="Groups that are searched; the rest stays at the baseline."
    )
    freeze: list[StrictStr] = Field([], description="Keys and groups that stay at the baseline.")


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
    flops: Annotated[Flops, Field(gt=0)] | None = Field(None, description="Training FLOPs of all attempts together.")


class ExecutionSection(Section):
    """Where and how attempts run."""

    executor: StrictStr = Field("local", description="Name of the executor.")
    options: dict[str, Any] = Field({}, description="The executor's own options.")
    slots: CountOrAuto = Field(None, description="Attempts at a time, or `auto`.")
    threads: CountOrMeasured = Field(
        1, description="Threads and cores of one attempt; `auto` measures which number, with how many slots, is best."
    )
    memory: Memory | None = Field(None, description="Memory of one attempt's processes; none for no limit.")
    accelerators: WholeOrAuto = Field(
        None, description="Accelerators of one attempt, or `auto`: one if there are any and the workload can use it."
    )
    exclusive: BoolOrAuto = Field(
        None, description="Whether an attempt has its physical cores alone, or `auto`: if the metric is a duration."
    )
    wait: Seconds | None = Field(None, description="Longest wait for cores that other studies hold; none for ever.")
    price_per_hour: Money = Field(0.0, description="Price of the whole machine for one hour.")
    grace: Seconds = Field(60.0, description="Time running attempts get to finish when the study is stopped.")
    retries: Annotated[Whole, Field(ge=0)] = Field(
        2, description="New attempts after one was killed or ran out of memory."
    )
    output_limit: Annotated[Bytes, Field(ge=4096)] | None = Field(
        None, description="Most that is kept of an attempt's stdout, and of its stderr; none for 16 MiB."
    )
    pass_env: list[EnvName] = Field([], description="Environment variables passed to attempts; never recorded.")


class CalibrationSection(Section):
    """What is measured before the search: time, noise, and whether there is anything to find."""

    seeds: Annotated[Whole, Field(ge=2)] | None = Field(
        None, description="Seeds of the baseline; 3, or evaluation.seeds if more."
    )
    signal: SizeOrSwitch = Field(
        None, description="Spread configs on shared seeds; `auto`: 4 to 8 where the largest tier is worth it."
    )
    knobs: BoolOrAuto = Field(
        None, description="Whether every knob is tried at both ends; `auto`: where the largest tier is worth it."
    )
    ladder: TimeOrSwitch = Field(
        None, description="Device time for finding a larger budget where this one tells nothing apart."
    )


class ProxySection(Section):
    """A cheaper stop that the search goes by, as long as it ranks configs as the full one does."""

    stop: StopSection = Field(description="How much training an evaluation of the search buys.")
    recheck: Count = Field(2, description="Best trials of each generation that are evaluated at the full stop.")
    pause_below: Annotated[StrictFloat, Field(ge=-1, le=1)] = Field(
        0.5, description="Rank correlation below which the study is paused."
    )


class AlsoSection(Section):
    """Another metric of the confirmation: reported, or a constraint that a GO needs."""

    direction: Literal["minimize", "maximize"] = Field("minimize", description="Which way is better.")
    worse: Amount | None = Field(
        None, description="Share of the baseline's by which the winner may be worse; a GO needs that to be sure."
    )
    limit: StrictFloat | None = Field(
        None, description="Value that the winner's mean must not be beyond; a GO needs that to be sure."
    )


class ConfirmSection(Section):
    """How the winner is confirmed on fresh seeds."""

    top: Count = Field(3, description="Best trials that are evaluated again.")
    seeds: SeedsOrAuto = Field(
        None, description="Fresh seeds for winner and baseline; `auto` takes them from the measured noise."
    )
    looks: Annotated[Whole, Field(ge=1, le=MOST_LOOKS)] = Field(
        4, description="How often the decision is looked at while its seeds come in; 1: only at the end."
    )
    min_improvement: Amount = Field(0.01, description="Smallest improvement worth a GO, as a share of the baseline.")
    also: Annotated[dict[MetricName, AlsoSection], Field(max_length=MOST_ALSO)] = Field(
        {}, description="Other metrics that every evaluation reports."
    )


class AfterSection(Section):
    """The run that a study comes after, as found out when it was started."""

    run: Annotated[StrictStr, Field(min_length=1)] = Field(description="As the study named it.")
    run_id: StrictStr = Field(description="Random id of that run.")
    study_hash: StrictStr = Field(description="sha256 of its study's canonical form.")
    trial: Whole = Field(description="Number of its winner.")
    config: dict[str, Any] = Field(description="Dotted key to the winner's value, as far as it is used here.")
    clipped: dict[str, list[Any]] = Field({}, description="Key to the winner's value and the nearest one in the space.")


class StudyFile(Section):
    """A whole study file."""

    name: Name = Field(description="Name of the study; the run's folder is named after it.")
    workload: StrictStr = Field(description="What is trained.")
    after: Annotated[StrictStr, Field(min_length=1, max_length=1024)] | AfterSection | None = Field(
        None, description="A run that has to have ended in GO; its winner is the baseline here."
    )
    base: dict[str, Any] = Field(
        {}, description="The baseline: the workload's config where it differs from its defaults."
    )
    space: Annotated[dict[ParameterKey, ParameterSection], Field(min_length=1, max_length=MOST_PARAMETERS)] = Field(
        description="Dotted key of the workload's config to what it may be."
    )
    constraints: Annotated[list[ExpressionText], Field(max_length=MOST_CONSTRAINTS)] = Field(
        [], description="Comparisons that every config has to satisfy, such as `model.n_embd % model.n_head == 0`."
    )
    derived: Annotated[dict[ParameterKey, ExpressionText], Field(max_length=MOST_DERIVED)] = Field(
        {}, description="Key of the workload's config to the expression it is computed from."
    )
    groups: Annotated[dict[Name, list[StrictStr]], Field(max_length=MOST_GROUPS)] = Field(
        {}, description="Name to keys of the space that may be searched or frozen together."
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
    calibration: CalibrationSection = CalibrationSection()
    proxy: ProxySection | None = Field(None, description="A cheaper stop for the search.")
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
