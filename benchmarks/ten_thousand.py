"""Ten thousand slots on paper: one coordinator, simulated attempts, nobody waits.

    python -m benchmarks.ten_thousand                               all parts, minutes
    python -m benchmarks.ten_thousand --quick                       the same, small: to see that it works
    python -m benchmarks.ten_thousand growth --attempts 1000000     one part, as large as asked for

rounds      how many evaluations end together: syncs are shared, and what is looked at once a round costs less
slots       250 to 10,000 of them
growth      how decisions a second and memory go with the number of evaluations
searchers   who proposes: a generation at a time, or after every result
shards      several studies at once, a coordinator each, against one

A decision is an evaluation from its proposal to its result on disk. Every row runs in a process of its own.
The columns *a second* and *CPU s* are decisions by wall time and by CPU time, *RSS* is growth of resident memory. The
shares are of its wall time, measured in functions that do not call each other: *sync* write and fsync of the
journal, *encode* events to JSON, *fold* events into state and ledger, *ask* the searcher (telling it included),
*judge* policies and limits, *made up* what only the simulated executor takes; the rest is the loop and its jobs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.coordinator import PARAMETERS, Meter, rss_mb

from flopwise.budget.ledger import Ledger
from flopwise.engine.assemble import run
from flopwise.engine.guard import Guard
from flopwise.engine.phases import Search
from flopwise.engine.request import Request
from flopwise.events import Event
from flopwise.executors.simulated import SimulatedExecutor
from flopwise.journal.log import Journal
from flopwise.journal.replay import RunState
from flopwise.study import study_from_mapping

SLOTS = 10_000
SECONDS = 60.0
"""Of a simulated evaluation: what counts is how many end in a round, not how long that is."""

SHARES: dict[str, list[tuple[type, str]]] = {
    "sync": [(Journal, "commit")],
    "encode": [(Journal, "append")],
    "fold": [(RunState, "apply"), (Ledger, "apply")],
    "ask": [(Search, "propose")],
    "judge": [(Guard, "judge"), (Guard, "admit"), (Guard, "committed")],
    "made up": [(SimulatedExecutor, "poll"), (SimulatedExecutor, "start")],
}
GENERATIONAL = ("cmaes", "nsga2")
HEAD = (
    f"{'':26}{'decisions':>10}{'wall':>8}{'a second':>10}{'CPU s':>8}{'syncs':>8}{'RSS':>9}{'each':>9}"
    "  shares of wall time"
)


def study(attempts: int, slots: int, method: str, together: float, population: int) -> Any:
    """A search on a made-up surface.

    Args:
        attempts: Evaluations of the search.
        slots: Simulated.
        method: The searcher.
        together: Share of the slots that end in one round, about; 0 for one at a time.
        population: Of a generational searcher.
    """
    generational = {"population": population, "generations": max(1, attempts // population)}
    options = {"values": "surface", "seconds": SECONDS, "spread": 0.3, "round_s": together * SECONDS}
    return study_from_mapping(
        {
            "name": "paper",
            "workload": "function",
            "space": {name: {"type": "float", "low": 0.0, "high": 1.0} for name in PARAMETERS},
            "objective": {"metric": "loss"},
            "search": {"method": method},
            "tiers": {"only": generational if method in GENERATIONAL else {"trials": attempts}},
            "policies": {"patience": False},
            "calibration": {"signal": False, "knobs": False},
            "execution": {"executor": "simulated", "slots": slots, "options": options},
        }
    )


class Shares(Meter):
    """Reads the clocks around the search, and who takes how much of the time between."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: Counter[str] = Counter()
        self.syncs = 0
        self._before: tuple[Counter[str], int] = (Counter(), 0)
        self._between: dict[str, float] = {}
        for name, functions in SHARES.items():
            for owner, function in functions:
                setattr(owner, function, self._timed(name, getattr(owner, function)))

    def _timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.taken[name] += time.perf_counter() - began
                self.syncs += name == "sync"

        return timed

    def event(self, event: Event, state: RunState) -> None:
        """See :class:`flopwise.report.view.View`."""
        known = len(self.readings)
        super().event(event, state)
        if len(self.readings) > known == 0:
            self._before = Counter(self.taken), self.syncs
        elif len(self.readings) > known:
            wall = self.readings[1][0] - self.readings[0][0]
            self._between = {name: (self.taken[name] - self._before[0][name]) / wall for name in SHARES}
            self._between["syncs"] = self.syncs - self._before[1]

    def row(self, attempts: int) -> dict[str, Any]:
        """What the search took."""
        (wall, _, _), (wall_end, _, _) = self.readings
        found = self.figures(attempts)
        return {**found, **self._between, "wall_s": wall_end - wall, "peak_mb": rss_mb()}


def measure(asked: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One search in this process."""
    meter = Shares()
    made = study(asked["attempts"], asked["slots"], asked["method"], asked["together"], asked["population"])
    request = Request(folder, meter, "benchmark", objective="import:math:fsum", objective_id="import:math:fsum")
    finish = run(made, request)
    if finish.reason != "finished":
        raise SystemExit(f"{finish.reason}: {finish.detail}")
    return meter.row(asked["attempts"])


def begun(folder: Path, **asked: Any) -> subprocess.Popen[str]:
    """One search in a process of its own."""
    usual = {"slots": SLOTS, "method": "random", "together": 0.1, "population": SLOTS}
    words = [sys.executable, "-m", "benchmarks.ten_thousand", "one", "--asked", json.dumps({**usual, **asked})]
    folder.mkdir()
    return subprocess.Popen([*words, "--folder", str(folder)], stdout=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What it found."""
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit("a search failed; its error stands above")
    found: dict[str, Any] = json.loads(output)
    return found


def show(name: str, found: dict[str, Any]) -> None:
    """A row of the table."""
    attempts = int(found["attempts"])
    shares = " ".join(f"{share} {found[share]:.0%}" for share in SHARES)
    rest = 1.0 - sum(found[share] for share in SHARES)
    print(f"{name:26}{attempts:10,}{found['wall_s']:6.1f} s{found['per_s']:10,.0f}{found['per_cpu_s']:8,.0f}", end="")
    growth = found["growth_mb"]
    print(
        f"{found['syncs']:8,.0f}{growth:6.0f} MB{1000 * growth / attempts:6.1f} kB  {shares} rest {rest:.0%}",
        flush=True,
    )


def rounds(root: Path, attempts: int, slots: int) -> None:
    """How many end together."""
    for name, together in (("one by one", 0.0), ("0.1% together", 0.001), ("1%", 0.01), ("10%", 0.1)):
        count = attempts if together else attempts // 5
        found = ended(begun(root / f"rounds{together}", attempts=count, slots=slots, together=together))
        show(f"{slots:,} slots, {name}", found)


def by_slots(root: Path, attempts: int, slots: int) -> None:
    """The same, on fewer slots."""
    for count in (slots // 40, slots // 10, slots):
        show(f"{count:,} slots, 10%", ended(begun(root / f"slots{count}", attempts=attempts, slots=count)))


def growth(root: Path, sizes: Iterable[int], slots: int) -> None:
    """More and more of them."""
    for size in sizes:
        show(f"{slots:,} slots, 10%", ended(begun(root / f"growth{size}", attempts=size, slots=slots)))


def searchers(root: Path, attempts: int, slots: int) -> None:
    """Who proposes; TPE fits a model for every proposal, so it gets fewer."""
    for method, count in (("random", attempts), ("qmc", attempts), ("cmaes", attempts), ("nsga2", attempts)):
        found = ended(begun(root / method, attempts=count, slots=slots, method=method, population=slots))
        show(f"{method}, {slots:,} slots", found)
    for count in (attempts // 40, attempts // 20):
        found = ended(begun(root / f"tpe{count}", attempts=count, slots=slots // 40, method="tpe"))
        show(f"tpe, {slots // 40:,} slots", found)


def shards(root: Path, attempts: int, slots: int) -> None:
    """As many studies at once as there are cores, each with its share of slots and evaluations."""
    count = max(2, len(os.sched_getaffinity(0)))
    alone = ended(begun(root / "alone", attempts=attempts, slots=slots))
    show(f"1 study, {slots:,} slots", alone)
    asked = {"attempts": attempts // count, "slots": slots // count}
    all_of_them = [ended(process) for process in [begun(root / f"shard{n}", **asked) for n in range(count)]]
    for found in all_of_them:
        show(f"1 of {count} at once", found)
    together = sum(found["per_s"] for found in all_of_them)
    print(f"{count} studies on {os.cpu_count()} cores: {together:,.0f} a second, {together / alone['per_s']:.2f} x one")


PARTS = {"rounds": rounds, "slots": by_slots, "searchers": searchers, "shards": shards}
SIZES = (20_000, 100_000)
QUICK = 2_000


def report(part: str, root: Path, sizes: list[int], *, quick: bool) -> None:
    """Measure and print one part."""
    slots, attempts = (SLOTS // 20, QUICK) if quick else (SLOTS, SIZES[0])
    print(f"\n{part}\n{HEAD}")
    if part == "growth":
        growth(root, sizes or ([QUICK] if quick else SIZES), slots)
    else:
        PARTS[part](root, sizes[-1] if sizes else attempts, slots)


def main() -> None:
    """Read the command line and measure."""
    names = [*PARTS, "growth"]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ten_thousand",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(names)}; none for all")
    parser.add_argument("--attempts", type=int, nargs="+", default=[], help="evaluations; several for growth")
    parser.add_argument("--quick", action="store_true", help="a look in seconds")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: the temporary folder")
    parser.add_argument("--asked", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.parts == ["one"]:
        print(json.dumps(measure(json.loads(options.asked), options.folder)))
        return
    unknown = set(options.parts) - set(names)
    if unknown:
        parser.error(f"expected parts of {', '.join(names)}, got {', '.join(sorted(unknown))}")
    for part in options.parts or names:
        with tempfile.TemporaryDirectory(dir=options.folder) as room:
            report(part, Path(room), options.attempts, quick=options.quick)


if __name__ == "__main__":
    main()
