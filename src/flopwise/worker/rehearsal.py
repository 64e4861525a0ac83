"""What a process does that was forked ahead of need: it goes once through everything that surrounds an evaluation.

A forked process shares its memory with the server until it writes to it, and each first write costs a microsecond
or two, a thousand of them an attempt. In a rehearsal they cost nobody. Nothing is kept, and nothing of the study's
runs: the function is one of our own that does nothing.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flopwise.trial import Outcome, Result
from flopwise.wire import Job, Slot
from flopwise.worker import limits, summary
from flopwise.worker.context import AttemptContext
from flopwise.worker.entry import evaluate, report
from flopwise.worker.outlet import Outlet

FUNCTION = "flopwise.workloads.function.run"
"""Where this is not loaded, evaluations of this study do not go through it."""

JOB = Job("t0000.s0.a1", "evaluate", "function", {"x": 0}, {}, 0, Slot(0, (), 1), "/", "/", metric="loss")


def rehearse() -> None:
    """Go through the motions."""
    with Path(os.devnull).open("w") as nowhere:
        outlet = Outlet(nowhere.fileno())
        limits.apply(JOB.slot.threads)
        context = AttemptContext(JOB, outlet, f"import:{__name__}:nothing", lambda: False)
        context.report(1, loss=0.0)
        with _same_streams():
            result = evaluate(JOB, context) if FUNCTION in sys.modules else Result(Outcome.OK, nothing({}))
        context.flush()
        nowhere.write("".join(summary.compose(JOB, result, context.rows(), 0.0)))
        report(outlet, JOB.attempt, result)


def nothing(config: Mapping[str, Any]) -> dict[str, float]:
    """The function of a rehearsal."""
    return {JOB.metric: float(len(config))}


@contextmanager
def _same_streams() -> Iterator[None]:
    """Leave the global random streams as they were."""
    before = [(put, get()) for get, put in _streams()]
    yield
    for put, state in before:
        put(state)


def _streams() -> Iterator[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    """How to get and set the state of every stream that is loaded."""
    yield random.getstate, random.setstate
    if "numpy.random" in sys.modules:
        numpy: Any = sys.modules["numpy.random"]
        yield numpy.get_state, numpy.set_state
    torch: Any = sys.modules.get("torch")
    if hasattr(torch, "default_generator"):
        yield torch.default_generator.get_state, torch.default_generator.set_state
