"""What was measured before the search, in words: whether there is a signal, which knobs act, which budget would do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flopwise.budget.fitness import UNFIT, Advice, Signal
from flopwise.budget.knobs import Knob
from flopwise.budget.plan import Plan
from flopwise.budget.probing import FEW_STEPS
from flopwise.budget.proxy import Proxy
from flopwise.report.grid import Column, Grid, right
from flopwise.report.headline import counted
from flopwise.report.text import BLANK, knob, number, percent, plain
from flopwise.units import format_count, format_flops, format_seconds

HOW = {"signal": "calibration: {signal: 4}", "knobs": "calibration: {knobs: true}"}
"""What switches on what was not measured."""


def unfit_sentence(plan: Plan) -> str:
    """Why the search should not be spent on this budget; empty when nothing speaks against it."""
    if not plan.unfit:
        return ""
    reasons = " and ".join(UNFIT[reason].format(few=FEW_STEPS) for reason in plan.unfit)
    return f"This budget cannot tell candidates apart: {reasons}."


def alarms(plan: Plan) -> list[str]:
    """What has to be read before the prices: a budget that tells nothing apart, knobs that do nothing."""
    found = [" ".join([unfit_sentence(plan), *_way_out(plan)])] if plan.unfit else []
    return [*found, *_doubtful_proxy(plan.probed.proxy), *_idle_knobs(plan.probed.knobs)]


def paste(advice: Advice) -> str:
    """What to write into the study file.

    Example:
        >>> paste(Advice({"flops": 3.3e11}, None, 33.0)), paste(Advice(None, 4, 4.0))
        ('evaluation: {stop: {flops: 3.3e+11}}', 'evaluation: {seeds: 4}')
    """
    if advice.stop is not None:
        ((unit, amount),) = advice.stop.items()
        return f"evaluation: {{stop: {{{unit}: {amount:g}}}}}"
    return f"evaluation: {{seeds: {advice.seeds}}}"


def facts(plan: Plan, study: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Rows for the plan: signal, knobs, and what each tier can detect."""
    if plan.probed.signal is not None:
        yield "signal", signal_line(plan.probed.signal, plan.evaluation_seeds)
    if plan.probed.proxy is not None:
        yield "proxy", proxy_line(plan.probed.proxy)
    if plan.probed.knobs:
        yield "knobs", _knobs_line(plan.probed.knobs)
    known = [(tier.name, tier.detectable) for tier in plan.tiers if tier.detectable is not None]
    if known:
        metric, base = plain(study["objective"]["metric"]), plan.baseline_mean
        shares = [f"{plain(name)} {_share(amount, base)}" for name, amount in known]
        yield "detects", f"improvements of {metric} from: {', '.join(shares)}"


def signal_line(signal: Signal, seeds: int) -> str:
    """How much of the score's variance is real.

    Args:
        signal: At one stop.
        seeds: Of a trial.
    """
    measured = f"{counted(signal.configs, 'config')} × {counted(signal.seeds, 'seed')}"
    failed = f", {signal.failed} more failed" if signal.failed else ""
    if signal.icc is None or signal.lower is None or signal.upper is None:
        why = "no two configs score differently" if signal.configs > 2 else "too few configs ended ok"
        return f"none: {why} ({measured}{failed})"
    of_mean = f"; {_whole(signal.icc_trial)} with {seeds} seeds a trial" if seeds > 1 else ""
    bounds = f"90% interval {_whole(signal.lower)} to {_whole(signal.upper)}"
    return f"{_whole(signal.icc)} of the variance is real ({bounds}{of_mean}; {measured}{failed})"


def proxy_line(proxy: Proxy) -> str:
    """How far a cheap stop can be trusted, and what it saves."""
    found, saved = proxy.agreement, f"saves {percent(max(0.0, proxy.saved))} of an evaluation's time"
    if found is None or found.spearman is None or found.kendall is None:
        return f"{_stop(proxy.stop)}: agreement unknown, too few configs differ at both stops; {saved}"
    rho = f"Spearman {found.spearman:.2f} (90% interval {_range(found.spearman_lower, found.spearman_upper)})"
    tau = f"Kendall {found.kendall:.2f} ({_range(found.kendall_lower, found.kendall_upper)})"
    regret = f"trusting it costs {number(found.regret)}, its best {found.top} rechecked {number(found.regret_top)}"
    return f"{_stop(proxy.stop)}: {rho}, {tau}, {counted(found.configs, 'config')}; {regret}; {saved}"


def _range(low: float | None, high: float | None) -> str:
    return BLANK if low is None or high is None else f"{low:.2f} to {high:.2f}"


def ladder_grid(rungs: Sequence[Signal]) -> Grid:
    """The larger stops that were measured."""
    titles = ("real", "90% interval", "each", "tells apart")
    return Grid.of(["at stop", *(right(title) for title in titles)], [_rung(rung) for rung in rungs])


def knob_grid(knobs: Sequence[Knob]) -> Grid:
    """Every knob that was tried, and what it does."""
    columns: list[str | Column] = ["knob", "at", right("scores apart"), right("noise SDs"), "so it"]
    return Grid.of(columns, [_knob_row(each) for each in knobs])


def _knob_row(each: Knob) -> tuple[str, ...]:
    says = {"acts": "acts", "weak": "is weak", "dead": "is dead", "unknown": "could not be tried"}[each.says]
    return (
        plain(each.key),
        ", ".join(knob(value) for value in each.values) or BLANK,
        number(each.span),
        BLANK if each.noises is None else f"{each.noises:.2g}",
        f"{says}: {plain(each.why)}" if each.why else says,
    )


def left_out(plan: Plan) -> list[str]:
    """What was not measured, what it would cost, and how to switch it on."""
    return [
        f"Not measured: {each.what}. It takes {counted(each.evaluations, 'evaluation')}, about "
        f"{format_seconds(each.evaluations * plan.seconds_per_evaluation)} of device time: `{HOW[each.what]}`."
        for each in plan.probed.left_out
    ]


def _way_out(plan: Plan) -> Iterator[str]:
    if plan.advice is not None:
        times = f"{plan.advice.times:.2g} times the cost of a trial"
        yield f"Recommended, at {times}: `{paste(plan.advice)}`."
    else:
        rungs = plan.probed.rungs
        upto = f" up to {_stop(rungs[-1].stop)}" if rungs else ""
        yield f"No budget that can was found{upto}; `calibration: {{ladder: 2h}}` looks further, for that much time."
    yield "`--anyway` spends it all the same."


def _doubtful_proxy(proxy: Proxy | None) -> Iterator[str]:
    if proxy is not None and not proxy.trusted:
        rho = proxy.agreement.spearman if proxy.agreement else None
        shown = "unknown" if rho is None else f"{rho:.2f}"
        yield (
            f"The proxy does not rank configs as the full stop does: Spearman {shown}, {proxy.pause_below:g} asked "
            "for. Raise proxy.stop, or drop proxy."
        )


def _idle_knobs(knobs: Sequence[Knob]) -> Iterator[str]:
    dead = [knob.key for knob in knobs if knob.says == "dead"]
    weak = [knob.key for knob in knobs if knob.says == "weak"]
    if dead:
        yield f"Dead: {_names(dead)}. The score is the same to the last bit at every value: nothing consumes it."
    if weak:
        yield f"Weak: {_names(weak)}. From end to end the score moves by less than a tenth of the noise between seeds."


def _names(keys: Sequence[str]) -> str:
    return ", ".join(plain(key) for key in keys)


def _knobs_line(knobs: Sequence[Knob]) -> str:
    counts = {says: sum(knob.says == says for knob in knobs) for says in ("acts", "weak", "dead", "unknown")}
    words = {"acts": "act", "weak": "weak", "dead": "dead", "unknown": "could not be tried"}
    line = ", ".join(f"{count} {words[says]}" for says, count in counts.items() if count)
    return f"{line} (each at both ends, the others at the baseline)"


def _rung(rung: Signal) -> tuple[str, ...]:
    bounds = BLANK if rung.lower is None or rung.upper is None else f"{_whole(rung.lower)} to {_whole(rung.upper)}"
    return (
        _stop(rung.stop),
        BLANK if rung.icc is None else _whole(rung.icc),
        bounds,
        format_seconds(rung.seconds),
        "yes" if rung.usable else "no",
    )


def _stop(stop: Mapping[str, float]) -> str:
    ((unit, amount),) = stop.items()
    shown = {"flops": format_flops, "seconds": format_seconds}.get(unit)
    return shown(amount) if shown else f"{format_count(amount)} {unit}"


def _share(amount: float, base: float | None) -> str:
    return percent(amount / base) if base is not None and base > 0 else number(amount)


def _whole(share: float | None) -> str:
    return BLANK if share is None else f"{max(0.0, share):.0%}"
