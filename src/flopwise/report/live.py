"""A run on a terminal: one calm table that is redrawn in place, with failures told above it."""

from __future__ import annotations

import atexit
import math
import signal
from collections.abc import Callable, Iterable
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from flopwise.budget.ledger import Ledger
from flopwise.clock import Clock
from flopwise.events import AttemptEnded, Event, PolicyRaised, SlotQuarantined
from flopwise.journal.replay import AttemptState, RunState, TrialState
from flopwise.objective import Objective
from flopwise.report.failure import failure_lines, is_failure
from flopwise.report.gauges import LABEL, gauges, joined
from flopwise.report.grid import Column, Drawing, Grid, right
from flopwise.report.keys import Keys
from flopwise.report.outlet import Outlet
from flopwise.report.plain import decision_lines, phase_line
from flopwise.report.rows import OTHER_COLUMNS, TITLE, config_columns, label, mark
from flopwise.report.slots import SlotMeter
from flopwise.report.standing import Standing, money
from flopwise.report.summary import trial_outcome
from flopwise.report.text import BLANK, clean, clip, number, plain
from flopwise.units import format_seconds

ROWS = 12
"""Trials shown at once, on a terminal that is high enough."""

OTHER_LINES = 13
"""Lines of the screen that are not trials."""

FEW_LINES = 7
"""The same on a low terminal, without gauges."""

HIGH = 20
"""Lines of a terminal from which on there are gauges."""

SAME_KEY_S = 1.0
"""Two of the same key within this time are one that was held down."""

REDRAW_S = 0.5
"""Shortest time between two drawings."""


class Canvas(Protocol):
    """What a drawing is shown on, one in place of the other; ``rich.live.Live`` is one."""

    def start(self) -> None:
        """Begin to show."""
        ...

    def update(self, renderable: RenderableType, *, refresh: bool = False) -> None:
        """Show this instead."""
        ...

    def stop(self) -> None:
        """Show nothing any more."""
        ...


class LiveView:
    """A table that lives while the study runs and is gone when it ends.

    Nothing is drawn by another thread: :meth:`tick` draws, and listens for a ``q``.

    Args:
        console: A terminal.
        clock: For how often to draw, and how long attempts have been running.
        keys: Where keys come from; None for nowhere.
        meter: How busy the slots are; None where nobody measures.
        leave: What a ``q`` does. Without one it is a Ctrl-C.
        hint: What a ``q`` does, in a few words; shown where there are keys, or a canvas.
        canvas: Where to draw; None for the terminal.
    """

    def __init__(
        self,
        console: Console,
        clock: Clock,
        *,
        keys: Keys | None = None,
        meter: SlotMeter | None = None,
        leave: Callable[[], object] | None = None,
        hint: str = "q stops when what runs now is done; the run can be resumed",
        canvas: Canvas | None = None,
    ) -> None:
        self._outlet = Outlet(console)
        self._console = console
        self._clock = clock
        self._keys = keys
        self._meter = meter
        self._leave = leave or _interrupt
        self._hint = hint if keys or canvas else ""
        self._left_at = -math.inf
        self._ticked = False
        self._standing = Standing()
        self._canvas = canvas
        self._live: Canvas | None = None
        self._progress = ""
        self._drawn_at = -math.inf
        self._first_seen: dict[str, float] = {}

    def open(self) -> None:
        """Hide the cursor and begin to draw; the terminal is restored even if :meth:`close` is forgotten."""
        if self._live is not None:
            return
        self._outlet.write(self._start)
        atexit.register(self.close)

    def _start(self) -> None:
        live = self._canvas or Live(console=self._console, auto_refresh=False, transient=True)
        live.start()
        self._live = live
        if self._keys is not None:
            self._keys.open()

    def close(self) -> None:
        """Remove the table and give the terminal back."""
        atexit.unregister(self.close)
        if self._keys is not None:
            self._keys.close()
        live, self._live = self._live, None
        if live is not None:
            self._outlet.write(live.stop, always=True)

    def tick(self, state: RunState, ledger: Ledger) -> None:
        """Draw again, if the last drawing is old enough."""
        self._ticked, now = True, self._clock.monotonic()
        self._listen(now)
        if self._live is not None and now - self._drawn_at >= REDRAW_S:
            self._drawn_at = now
            self._standing.update(state)
            self._draw(self._screen(state, ledger, now))

    def event(self, event: Event, state: RunState) -> None:
        """Tell failures and decisions above the table; everything else shows in it."""
        self._standing.update(state)
        if isinstance(event, AttemptEnded):
            self._first_seen.pop(event.attempt, None)
            if is_failure(event):
                head, *rest = failure_lines(event, state)
                self._print(
                    Text(head, style="red"), *(Text(line, "dim", no_wrap=True, overflow="ellipsis") for line in rest)
                )
        style = "yellow" if isinstance(event, SlotQuarantined | PolicyRaised) else ""
        for line in decision_lines(event):
            self._print(Text(line, style=style))

    def progress(self, text: str, done: float, total: float) -> None:
        """Show what is under way until trials begin."""
        share = f"  {100 * min(1.0, done / total):3.0f}%" if total > 0 else ""
        self._progress = f"{plain(text)}{share}"
        now = self._clock.monotonic()
        self._listen(now)
        if self._live is not None and not self._ticked and now - self._drawn_at >= REDRAW_S:
            self._drawn_at = now
            self._draw(Text(self._progress, style="dim"))

    def _listen(self, now: float) -> None:
        """Obey a ``q``; one held down counts once."""
        if self._keys is not None and "q" in self._keys.pressed().lower() and now - self._left_at >= SAME_KEY_S:
            self._left_at = now
            self._leave()

    def message(self, text: str) -> None:
        """Print lines above the table."""
        self._print(Text(clean(text)))

    def _print(self, *parts: RenderableType) -> None:
        self._outlet.write(lambda: self._console.print(Group(*parts)))

    def _draw(self, screen: RenderableType) -> None:
        live = self._live
        if live is not None:
            self._outlet.write(lambda: live.update(screen, refresh=True))

    def _screen(self, state: RunState, ledger: Ledger, now: float) -> RenderableType:
        parts: list[RenderableType] = [Text(""), self._title(state)]
        if self._console.height >= HIGH:
            parts += [Text(""), *self._gauges(state, ledger, now)]
        else:
            parts.append(self._brief(state, ledger))
        if state.trials:
            parts += [Text(""), Drawing(self._trials(state, now))]
        elif self._progress:
            parts.append(Text(self._progress, style="dim"))
        if self._hint and self._console.height >= HIGH:
            parts += [Text(""), Text(self._hint, style="dim")]
        return Group(*parts)

    def _title(self, state: RunState) -> RenderableType:
        """Study, tier and phase."""
        tier = f"tier {state.tier.tier}" if state.tier else ""
        phase = phase_line(state.phase, state) if state.phase else "preparing"
        return Text.assemble((plain(state.study["name"]), "bold"), "  ", joined(plain(tier), phase))

    def _gauges(self, state: RunState, ledger: Ledger, now: float) -> Iterable[RenderableType]:
        """One line each: evaluations, spent, best, slots."""
        if self._meter is not None:
            self._meter.look(state, now)
        for name, text in gauges(state, ledger, self._standing, self._meter, self._console.width):
            label = (f"{name:<{LABEL}}", "dim")
            yield Text.assemble(label, text, no_wrap=True, overflow="ellipsis")

    def _brief(self, state: RunState, ledger: Ledger) -> RenderableType:
        """Done, left, money and how long it still takes, on one line."""
        done, left, eta_s = len(state.final_ends), self._standing.left(state), self._standing.eta_s(state)
        counts = f"{done} of {done + left} evaluations" if left is not None else f"{done} evaluations"
        eta = "" if not eta_s or state.tier is None else f"ETA {format_seconds(eta_s)}"
        failed = f"{self._standing.failed} failed" if self._standing.failed else ""
        return Text(joined(counts, failed, money(state, ledger), eta), style="dim")

    def _trials(self, state: RunState, now: float) -> Grid:
        """The baseline, then the latest trials, the best one always among them."""
        shown = self._shown(state)
        best = self._standing.best[0] if self._standing.best else None
        configs, cells = config_columns([t.trial.config for t in shown], self._console.width - OTHER_COLUMNS)
        metric = Column(clip(state.objective.metric, TITLE), right=True, least=9)
        columns = [right("trial"), *configs, metric, Column("status", least=13), Column("time", right=True, least=6)]
        rows = [self._row(trial, config, state, best, now) for trial, config in zip(shown, cells, strict=True)]
        marks = [mark(trial.trial.number, trial_outcome(trial), best) for trial in shown]
        return Grid.of(columns, rows, marks)

    def _shown(self, state: RunState) -> list[TrialState]:
        """Baseline and best, and the latest that have started: what waits says nothing yet."""
        kept = {0, *(self._standing.best or ())[:1]} & state.trials.keys()
        others = OTHER_LINES if self._console.height >= HIGH else FEW_LINES
        most = max(1 + len(kept), min(ROWS, self._console.height - others))
        for number_ in reversed(state.trials):
            if len(kept) >= most:
                break
            if state.trials[number_].attempts:
                kept.add(number_)
        return [state.trials[number_] for number_ in sorted(kept)]

    def _row(
        self, trial: TrialState, config: tuple[str, ...], state: RunState, best: int | None, now: float
    ) -> tuple[str, ...]:
        seconds = sum(self._seconds(attempt, now) for attempt in trial.attempts)
        value = _value(trial, state.objective)
        return str(trial.trial.number), *config, value, _status(trial, best), format_seconds(seconds)

    def _seconds(self, attempt: AttemptState, now: float) -> float:
        """Device seconds of an attempt; while it runs, since its process began or this view first saw it."""
        if attempt.ended is not None:
            return attempt.ended.device_s
        name = str(attempt.id)
        began = self._meter.started_at(name) if self._meter is not None else None
        return max(0.0, now - (began if began is not None else self._first_seen.setdefault(name, now)))


def _status(trial: TrialState, best: int | None) -> str:
    """How a trial stands; in confirmation also whose config it is; with several seeds how many are done."""
    outcome, seeds, of = trial_outcome(trial), len(trial.trial.seeds), trial.trial.of
    if outcome == "running" and seeds > 1:
        outcome = f"{sum(end is not None for end in trial.finals())}/{seeds}"
    if of is None:
        return label(trial.trial.number, outcome, best)
    return f"{'baseline' if of == 0 else f'as {of}'} {'' if outcome == 'ok' else outcome}"


def _value(trial: TrialState, objective: Objective) -> str:
    """The trial's value; while its last attempt runs, what that reported last, with a ``~``."""
    loss = trial.loss(objective)
    if loss is not None:
        return number(objective.shown(loss))
    last = trial.attempts[-1] if trial.attempts else None
    if last is None or last.ended is not None or not last.rows:
        return BLANK
    so_far = objective.loss(last.rows[-1]["values"])
    return BLANK if so_far is None else f"~{number(objective.value(so_far))}"


def _interrupt() -> None:
    signal.raise_signal(signal.SIGINT)
