"""Does every knob do anything? Each is tried at both ends of its range with the others at the baseline.

All of it on one seed, the first of the search's, on which the baseline has been evaluated too: a knob that nothing
consumes then gives the same score to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flopwise.conditions import among
from flopwise.space import Categorical, Parameter, Space

WEAK = 0.1
"""A knob that moves the score by less than this many standard deviations of the noise does next to nothing."""

MOST_CHOICES = 4
"""Values of an unordered knob that are tried, besides the baseline's own."""

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Probe:
    """How one knob is tried.

    Args:
        key: Of the knob.
        configs: Differing in that knob alone.
        values: What it has in each of them.
        switched: Other keys that had to be set so that the knob matters, with their values.
        alone: Nothing else differs from the baseline, whose own score can be compared with.
        why: What could not be tried; empty when all could.
    """

    key: str
    configs: tuple[dict[str, Any], ...]
    values: tuple[Any, ...]
    switched: dict[str, Any]
    alone: bool
    why: str = ""


@dataclass(frozen=True)
class Tried:
    """What came of one config.

    Args:
        loss: None when it failed.
        outcome: How it ended.
    """

    loss: float | None
    outcome: str = "ok"


@dataclass(frozen=True)
class Knob:
    """What is known of one knob.

    Args:
        key: Dotted.
        says: ``acts``; ``dead``: bit-equal scores everywhere; ``weak``: far less than the noise; ``unknown``: too few
            of its values could be evaluated.
        values: That were tried.
        losses: With each of them; None where it failed.
        baseline_loss: With the baseline's value on the same seed; None where the baseline is no comparison.
        span: Largest loss minus smallest, the baseline's included; None when unknown.
        noises: The same in standard deviations of the noise between seeds; None where that is unknown or 0.
        switched: See :class:`Probe`.
        why: What could not be tried, and what failed; empty when nothing.
    """

    key: str
    says: str
    values: tuple[Any, ...]
    losses: tuple[float | None, ...]
    baseline_loss: float | None
    span: float | None
    noises: float | None
    switched: dict[str, Any]
    why: str


def probes(space: Space, baseline: Config, allows: Callable[[Config], bool]) -> list[Probe]:
    """How to try every knob of a space.

    Args:
        space: What is searched.
        baseline: Every key of the space.
        allows: Whether a config may be run.
    """
    return [_probe(space, baseline, allows, key) for key in space.keys]


def judge(probe: Probe, tried: Callable[[Config], Tried | None], baseline: Config, noise_sd: float | None) -> Knob:
    """What a knob does.

    Args:
        probe: How it was tried.
        tried: What came of a config on the shared seed; None where it was not evaluated.
        baseline: The baseline's config.
        noise_sd: Standard deviation between seeds of the baseline; None when unknown.
    """
    results = [tried(config) for config in probe.configs]
    reference = tried(baseline) if probe.alone else None
    losses = tuple(result.loss if result else None for result in results)
    known = [loss for loss in (*losses, reference.loss if reference else None) if loss is not None]
    span = max(known) - min(known) if len(known) > 1 else None
    noises = span / noise_sd if span is not None and noise_sd else None
    failed = [
        f"{value!r} ended as {r.outcome}"
        for value, r in zip(probe.values, results, strict=True)
        if r and r.loss is None
    ]
    return Knob(
        key=probe.key,
        says="unknown" if span is None else "dead" if span == 0 and not failed else _strength(noises),
        values=probe.values,
        losses=losses,
        baseline_loss=reference.loss if reference else None,
        span=span,
        noises=noises,
        switched=probe.switched,
        why="; ".join(part for part in (probe.why, *failed) if part),
    )


def _strength(noises: float | None) -> str:
    return "weak" if noises is not None and noises < WEAK else "acts"


def _probe(space: Space, baseline: Config, allows: Callable[[Config], bool], key: str) -> Probe:
    switched = _switched(space, baseline, key)
    if switched is None:
        return Probe(key, (), (), {}, False, "inactive at the baseline, and what it needs cannot be set")
    configs, values, refused = [], [], []
    for value in _values(space.parameters[key], baseline[key], alone=not switched):
        config = _settled(space, {**baseline, **switched, key: value})
        if allows(config):
            configs.append(config)
            values.append(value)
        else:
            refused.append(value)
    why = f"not allowed by the constraints: {', '.join(map(repr, refused))}" if refused else ""
    return Probe(key, tuple(configs), tuple(values), switched, not switched, why)


def _switched(space: Space, baseline: Config, key: str) -> dict[str, Any] | None:
    """What has to be set for a knob to matter; None where that is not possible."""
    if key in space.active(baseline):
        return {}
    found: dict[str, Any] = {}
    for other, allowed in space.conditions.needs(key).items():
        if other in space.parameters and not among(baseline[other], allowed):
            fitting = [value for value in allowed if space.parameters[other].contains(value)]
            if not fitting:
                return None
            found[other] = fitting[0]
    return found if key in space.active({**baseline, **found}) else None


def _values(parameter: Parameter, baseline: Any, *, alone: bool) -> Iterator[Any]:
    """Both ends, or the choices; the baseline's own value is evaluated already where nothing else is changed."""
    if isinstance(parameter, Categorical):
        values = [choice for choice in parameter.choices if not among(choice, [baseline])][:MOST_CHOICES]
        yield from values if alone else [baseline, *values]
    else:
        yield from (end for end in (parameter.decode(0.0), parameter.decode(1.0)) if end != baseline or not alone)


def _settled(space: Space, config: Config) -> dict[str, Any]:
    """A config as the search would have it: inactive knobs at the baseline's value."""
    active = space.active(config)
    return {key: value if key in active else space.conditions.fallback(key) for key, value in config.items()}
