"""What becomes of a simulated attempt: how long it takes, how it ends, and what it measures.

Everything here is a pure function of the options' seed and the attempt's name (values: of config and
evaluation seed), so a resumed simulation meets the same fates, and a retry measures what its first attempt
would have.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from flopwise.trial import Outcome

KEEPER_LOST = "keeper_lost"
HANGS = 1000.0
"""An attempt that hangs takes this many times its seconds, unless a time-out ends it."""

BROKEN_AFTER = 0.01
"""Share of its seconds after which an attempt on a broken slot dies."""

_NORMAL = NormalDist()
Rate = Annotated[float, Field(ge=0.0, le=1.0)]


class Failures(BaseModel):
    """Share of attempts that fail in each way."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    error: Rate = Field(0.0, description="The workload raises an error.")
    nan: Rate = Field(0.0, description="The metric is not finite.")
    oom: Rate = Field(0.0, description="Memory runs out.")
    killed: Rate = Field(0.0, description="Ended by SIGKILL from outside.")
    timeout: Rate = Field(0.0, description="Hangs: takes 1000 times as long, or until its time-out.")
    keeper_lost: Rate = Field(0.0, description="The keeper dies half-way through it, and all that runs dies with it.")

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        if sum(self.model_dump().values()) > 1.0:
            raise ValueError("the shares add up to more than 1")
        return self


class Options(BaseModel):
    """``execution.options`` of the executor ``simulated``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(0, description="Every made-up number derives from it.")
    values: Literal["auto", "workload", "surface"] = Field(
        "auto",
        description="`workload`: it is run, in this process; only its time is made up. `surface`: made up. "
        "`auto`: a Python function is run, anything else made up.",
    )
    mean: float = Field(1.0, description="Of the surface: its mean over configs.")
    effect: Annotated[float, Field(ge=0.0)] = Field(0.1, description="Standard deviation between configs.")
    noise: Annotated[float, Field(ge=0.0)] = Field(0.02, description="Standard deviation between a config's seeds.")
    shared_noise: Annotated[float, Field(ge=0.0)] = Field(
        0.0, description="Standard deviation between seeds of what all configs have in common."
    )
    rows: Annotated[int, Field(ge=0, le=1000)] = Field(0, description="Of the surface: rows of a learning curve.")
    seconds: Annotated[float, Field(gt=0.0)] = Field(60.0, description="Median duration of an attempt.")
    spread: Annotated[float, Field(ge=0.0, le=5.0)] = Field(
        0.1, description="Standard deviation of the duration's logarithm."
    )
    failures: Failures = Failures()
    late: Rate = Field(0.0, description="Of attempts lost with their keeper: share whose result comes in later.")
    broken_slots: list[Annotated[int, Field(ge=0)]] = Field([], description="Slots on which every attempt is killed.")
    contended: Rate = Field(0.0, description="Share of attempts that others take time from.")
    contention: Annotated[float, Field(ge=0.0, le=0.99)] = Field(0.5, description="Share of the time that they take.")
    round_s: Annotated[float, Field(ge=0.0)] = Field(
        0.0, description="What ends within so many seconds is heard together, as by a coordinator that was busy."
    )
    durability: Literal["full", "none"] = Field(
        "full", description="`none`: the journal is written but not synced, so a power cut may take a simulation."
    )


@dataclass(frozen=True, slots=True)
class Fate:
    """What is in store for an attempt.

    Args:
        ends_as: An ``Outcome``, or ``keeper_lost``.
        seconds: How long it runs, if nothing ends it before.
        cpu_s: Of them, on a core of its own.
        contention: Share of its time that others take.
        late: Whether its result comes in even if its keeper is lost.
        broken: Whether its slot kills it.
    """

    ends_as: str
    seconds: float
    cpu_s: float
    contention: float
    late: bool
    broken: bool = False


def fate_of(options: Options, attempt: str, slot: int) -> Fate:
    """The fate of an attempt on a slot.

    Example:
        >>> fate_of(Options(seconds=10.0, spread=0.0), "t0001.s0.a1", 0).seconds
        10.0
    """
    kind, length, crowd, late = _uniforms("fate", options.seed, attempt)[:4]
    cpu_s = options.seconds * math.exp(options.spread * _NORMAL.inv_cdf(length))
    contention = options.contention if crowd < options.contended else 0.0
    late_too = late < options.late
    if slot in options.broken_slots:
        return Fate(Outcome.KILLED, BROKEN_AFTER * cpu_s, BROKEN_AFTER * cpu_s, contention, late_too, broken=True)
    ends_as = _pick(options.failures, kind)
    cpu_s *= HANGS if ends_as == Outcome.TIMEOUT else 0.5 if ends_as == KEEPER_LOST else 1.0
    return Fate(ends_as, cpu_s / (1.0 - contention), cpu_s, contention, late_too)


def true_value(options: Options, config: Mapping[str, Any]) -> float:
    """A config's value on the surface without noise: what an experiment tries to find out.

    Args:
        options: Of the simulation.
        config: The workload's full nested config, as a job carries it.
    """
    return options.mean + options.effect * _normal("effect", options.seed, _text(config))


def measured_value(options: Options, config: Mapping[str, Any], seed: int) -> float:
    """What evaluating a config with a seed gives: :func:`true_value`, noise of its own and noise of the seed."""
    value = true_value(options, config)
    if options.noise:
        value += options.noise * _normal("noise", options.seed, seed, _text(config))
    if options.shared_noise:
        value += options.shared_noise * _normal("shared", options.seed, seed)
    return value


def _pick(failures: Failures, uniform: float) -> str:
    """The failure in whose share of [0, 1) the number lies; ``ok`` beyond all of them."""
    for name in Failures.model_fields:
        uniform -= getattr(failures, name)
        if uniform < 0.0:
            return name
    return Outcome.OK


def _normal(*parts: object) -> float:
    return _NORMAL.inv_cdf(_uniforms(*parts)[0])


def _uniforms(*parts: object) -> list[float]:
    """Eight numbers in (0, 1), the same for the same parts on every machine."""
    digest = hashlib.blake2b(":".join(map(str, parts)).encode()).digest()
    return [((word >> 12) + 0.5) / 2.0**52 for word in struct.unpack("<8Q", digest)]


def _text(config: Mapping[str, Any]) -> str:
    return json.dumps(config, sort_keys=True)
