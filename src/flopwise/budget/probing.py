"""What is worth measuring before the search, beyond the baseline: how many configs, which knobs, up to what budget.

Signal first, then knobs, and both together at most a quarter of what the largest tier's search costs, unless the
study says otherwise. All of this is arithmetic on the study and on how long the baseline took.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from flopwise.trial import Fidelity

SHARE = 0.25
"""Of the largest tier's search evaluations, and of every limit, that probing may take where it is `auto`."""

FEWEST, MOST = 4, 8
"""Configs that show the signal, where their number is `auto`."""

LEAST_SEEDS = 2
"""Seeds that configs share, so that noise can be told from signal."""

STEP = 4.0
"""How much larger each stop of the ladder is than the one before."""

LEAST_LADDER_S = 1800.0
"""Device-seconds that a ladder may take at least, where its cap is `auto`."""

FEW_STEPS = 20
"""An evaluation of fewer optimizer steps mostly ranks initialisations."""

LARGEST = 1e30
"""No stop is larger than this."""

Steps = Callable[[Fidelity], int | None]
"""Optimizer steps that a stop buys the baseline; None where that is unknown."""


def asked(study: Mapping[str, Any], what: str) -> Any:
    """A key of the calibration section: null for `auto`; false in studies from before there was such a key."""
    return study.get("calibration", {}).get(what, False)


def shared_seeds(study: Mapping[str, Any]) -> int:
    """Seeds that the spread configs share: the first of every trial's, two at least."""
    return max(LEAST_SEEDS, int(study["evaluation"]["seeds"]))


def largest_search(study: Mapping[str, Any]) -> int:
    """Evaluations of the largest tier's search, as far as a limit on evaluations allows."""
    trials = [t["trials"] if "trials" in t else t["population"] * t["generations"] for t in study["tiers"].values()]
    most, limit = int(max(trials) * study["evaluation"]["seeds"]), study["limits"]["evaluations"]
    return most if limit is None else min(most, int(limit))


def room(study: Mapping[str, Any], seconds: float, slots: int, flops: float | None = None) -> int:
    """Evaluations that probing may take where it is `auto`.

    Args:
        study: Canonical.
        seconds: Of one evaluation.
        slots: Evaluations at once.
        flops: Trained by one evaluation; None when unknown.
    """
    limits, price = study["limits"], study["execution"]["price_per_hour"]
    amounts = [float(largest_search(study))]
    if seconds > 0:
        amounts += [hours * 3600 / seconds for hours in (limits["device_hours"],) if hours is not None]
        amounts += [wall_s * slots / seconds for wall_s in (limits["wall_clock"],) if wall_s is not None]
        if limits["price"] is not None and price > 0:
            amounts.append(limits["price"] * 3600 / price * slots / seconds)
    if flops and limits.get("flops") is not None:
        amounts.append(limits["flops"] / flops)
    return int(SHARE * min(amounts))


def signal_configs(study: Mapping[str, Any], most: int) -> int:
    """Configs to begin with; 0 where the signal is not measured. A proxy is compared with what they give.

    Args:
        study: Canonical.
        most: From :func:`room`.
    """
    wish, proxy = asked(study, "signal"), MOST if study.get("proxy") else 0
    if wish is not None or proxy:
        return max(int(wish or 0), proxy)
    affordable = min(MOST, most // shared_seeds(study))
    return affordable if affordable >= FEWEST else 0


def more_configs(study: Mapping[str, Any], configs: int) -> int:
    """Configs to go on with where so many have not shown that scores differ by more than noise."""
    return max(configs, MOST) if asked(study, "signal") is None and configs else configs


def wants_knobs(study: Mapping[str, Any], most: int, evaluations: int) -> bool:
    """Whether every knob is tried.

    Args:
        study: Canonical.
        most: From :func:`room`.
        evaluations: That this takes.
    """
    wish = asked(study, "knobs")
    if wish is not None:
        return bool(wish)
    signal = signal_configs(study, most) * shared_seeds(study)
    return signal > 0 and 0 < evaluations <= most - signal


def ladder_cap_s(study: Mapping[str, Any], seconds: float) -> float:
    """Device-seconds that finding a larger budget may take; 0 where it is switched off.

    Args:
        study: Canonical.
        seconds: Of one evaluation at the study's own stop.
    """
    wish = asked(study, "ladder")
    if asked(study, "signal") is False or wish is False:
        return 0.0
    if wish is not None:
        return float(wish)
    hours = study["limits"]["device_hours"]
    cap = max(SHARE * largest_search(study) * seconds, LEAST_LADDER_S)
    return cap if hours is None else min(cap, SHARE * hours * 3600)


def ladder_stops(stop: Fidelity, steps: Steps) -> Iterator[Fidelity]:
    """Larger and larger stops: the first buys :data:`FEW_STEPS` steps where that is known, the others four times more.

    Args:
        stop: Of the study; nothing comes of one without a unit.
        steps: What a stop buys.

    Example:
        >>> stops = ladder_stops(Fidelity("flops", 1e10), lambda stop: int(stop.amount // 6e9))
        >>> [f"{next(stops).amount:.2g}" for _ in range(3)]
        ['1.2e+11', '4.8e+11', '2e+12']
    """
    if stop.unit is None:
        return
    bought = steps(stop)
    few = bought is not None and bought < FEW_STEPS
    amount = _first(stop, steps) if few else stop.amount * STEP
    while amount <= LARGEST:
        yield Fidelity(stop.unit, rounded(stop.unit, amount))
        amount *= STEP


def _first(stop: Fidelity, steps: Steps) -> float:
    """The smallest amount in round numbers that buys enough steps."""
    amount = stop.amount
    while (steps(Fidelity(stop.unit, amount)) or 0) < FEW_STEPS and amount <= LARGEST:
        amount *= 2.0
    low, high = amount / 2.0, amount
    while high - low > 0.01 * high:
        middle = (low + high) / 2.0
        enough = (steps(Fidelity(stop.unit, middle)) or 0) >= FEW_STEPS
        low, high = (low, middle) if enough else (middle, high)
    return rounded(stop.unit or "steps", high)


def rounded(unit: str, amount: float) -> float:
    """An amount in two significant digits, rounded up; whole where only whole amounts make sense.

    Example:
        >>> rounded("flops", 1.234e11), rounded("steps", 20.0), rounded("steps", 327.0)
        (130000000000.0, 20.0, 330.0)
    """
    digit = 10.0 ** (math.floor(math.log10(amount)) - 1)
    up = math.ceil(amount / digit - 1e-6) * digit
    nice = float(f"{up:.2g}")
    return float(math.ceil(nice)) if unit in ("steps", "tokens") else nice


def within(cap_s: float, spent_s: float, evaluations: int, seconds: float, timeout_s: float | None) -> bool:
    """Whether the next rung of the ladder may be climbed.

    Args:
        cap_s: Device-seconds of the whole ladder.
        spent_s: On its rungs so far.
        evaluations: Of the next rung.
        seconds: That each of them is expected to take.
        timeout_s: The study's ``evaluation.timeout``.
    """
    return spent_s + evaluations * seconds <= cap_s and (timeout_s is None or seconds <= timeout_s)


def expected_s(measured: Sequence[tuple[float, float]], amount: float) -> float:
    """Seconds of an evaluation at a stop, in proportion to the largest stop that was measured.

    Args:
        measured: Amount of a stop, and seconds of an evaluation there; one at least.
        amount: Of the stop in question.
    """
    largest, seconds = max(measured)
    return seconds * amount / largest
