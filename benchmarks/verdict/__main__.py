"""How often a GO is wrong, and how often a real improvement gets one: ``python -m benchmarks.verdict``.

    python -m benchmarks.verdict                      2,000 studies without and 2,000 with a better candidate: minutes
    python -m benchmarks.verdict --quick              a look in seconds; promises are not checked
    python -m benchmarks.verdict --engine 2000        all of them by the engine: half an hour

A study is a calibration, a search of 16 candidates and the confirmation that the plan recommends. One evaluation of a
config differs from the next by 1% (standard deviation), and configs share no noise. All studies are decided by the
functions that the engine uses, on the values that it would see; the first hundred of each kind are also whole runs of
the engine on the simulated executor, with journal and report, and have to end in the same way.

equal      all 16 candidates are exactly as good as the baseline: every GO is false
better     one of the 16 is truly 3% better: every GO for it is right

Beside flopwise's verdict two usual ways to end a search, on the same values:

crown the best        the search's best trial, if it looks at least 1% better than the baseline
t-test, uncorrected   the best of the top three on all their values so far, search's own included, against the
                      baseline's: one-sided two-sample t-test at 5%

Exits with 1 when a promise is broken: more than 122 of 2,000 false GOs (5% and what chance adds to it: 1 in 100 runs of
an exactly 5% procedure has more), or fewer than 1,558 right ones (80%, likewise).
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.verdict.pure import TOP, conclude
from scipy.stats import ttest_ind

from flopwise.budget.pricing import CHOOSE_SEEDS
from flopwise.engine.assemble import run
from flopwise.engine.request import Request
from flopwise.report.view import SilentView
from flopwise.study import Study, study_from_canonical, study_from_mapping

CANDIDATES, BEST = 16, 7
GAINS = {"equal": 0.0, "better": 0.03}
LEAST = 0.01
"""Improvement asked for."""

STUDIES, ENGINE, QUICK = 2_000, 100, 10
MOST_FALSE, LEAST_RIGHT = 122 / STUDIES, 1_558 / STUDIES
MEMORY = Path("/dev/shm")
"""Where run folders live, if there is such a place: thousands of small files are made and removed."""

OBJECTIVE = "import:benchmarks.verdict.work:evaluate"


@dataclass(frozen=True)
class Ended:
    """One study.

    Args:
        verdict: Its word.
        right: Whether the winner is the truly better candidate.
        seeds: Fresh seeds run by the deciding step, for each of the two.
        planned: Fresh seeds that were planned.
        evaluations: Of the whole study.
        crowned: Whether the search's best would have been crowned.
        tested: Whether the uncorrected t-test would have found it better.
        seconds: It took.
    """

    verdict: str
    right: bool
    seeds: int
    planned: int
    evaluations: int
    crowned: bool
    tested: bool
    seconds: float


def study(gain: float, number: int, looks: int) -> Any:
    """One candidate in sixteen is better by ``gain``; nothing else differs.

    It is read and checked once: only its seeds differ from one study to the next.
    """
    canonical = json.loads(json.dumps(_checked(gain, looks).canonical))
    canonical["search"]["seed"] = canonical["execution"]["options"]["seed"] = number
    return study_from_canonical(canonical)


@cache
def _checked(gain: float, looks: int) -> Study:
    return study_from_mapping(
        {
            "name": "study",
            "workload": "function",
            "base": {"x": 0, "best": BEST, "gain": gain},
            "space": {"x": {"type": "int", "low": 1, "high": CANDIDATES}},
            "objective": {"metric": "loss"},
            "search": {"method": "grid", "seed": 0},
            "tiers": {"only": {"trials": CANDIDATES}},
            "confirm": {"min_improvement": LEAST, "looks": looks},
            "execution": {
                "executor": "simulated",
                "slots": 2,
                "options": {"values": "workload", "seed": 0, "durability": "none"},
            },
        }
    )


def decided(job: tuple[str, int, int]) -> Ended:
    """The same study without the engine."""
    kind, number, looks = job
    began = time.perf_counter()
    verdict, winner, seeds, planned, base, searched, reused = conclude(
        number, CANDIDATES, BEST, GAINS[kind], LEAST, looks
    )
    return Ended(
        verdict=verdict,
        right=winner == BEST,
        seeds=seeds,
        planned=planned,
        evaluations=len(base) + len(searched) + TOP * CHOOSE_SEEDS + 2 * seeds,
        crowned=min(searched) <= (1.0 - LEAST) * statistics.fmean(base),
        tested=bool(ttest_ind(base, reused, alternative="greater").pvalue < 0.05),
        seconds=time.perf_counter() - began,
    )


def work(job: tuple[str, int, int]) -> Ended:
    """Run a study and read what came of it."""
    kind, number, looks = job
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as room:
        request = Request(Path(room), SilentView(), "benchmark", objective=OBJECTIVE, objective_id=OBJECTIVE)
        summary = run(study(GAINS[kind], number, looks), request).summary
    numbers, winner = summary["verdict"]["numbers"], summary["winner"]
    return Ended(
        verdict=summary["verdict"]["verdict"],
        right=winner is not None and winner["config"]["x"] == BEST,
        seeds=numbers["seeds"],
        planned=numbers["planned"],
        evaluations=summary["spend"]["evaluations"],
        crowned=_crowned(summary),
        tested=_tested(summary),
        seconds=time.perf_counter() - began,
    )


def _crowned(summary: Mapping[str, Any]) -> bool:
    baseline = statistics.fmean(summary["calibration"]["values"])
    best = min(trial["value"] for trial in _of(summary, "search"))
    return bool(best <= (1.0 - LEAST) * baseline)


def _tested(summary: Mapping[str, Any]) -> bool:
    searched = {trial["number"]: trial["values"] for trial in _of(summary, "search")}
    known = [[*searched[trial["of"]], *trial["values"]] for trial in _of(summary, "choose")]
    best = min(known, key=statistics.fmean)
    return bool(ttest_ind(summary["calibration"]["values"], best, alternative="greater").pvalue < 0.05)


def _of(summary: Mapping[str, Any], phase: str) -> Iterator[Mapping[str, Any]]:
    return (trial for trial in summary["trials"] if trial["phase"] == phase)


def report(ended: Mapping[str, list[Ended]]) -> bool:
    """Print the table, and whether the promises are kept."""
    print("| studies | flopwise: GO | NO-GO | INCONCLUSIVE | crown the best | t-test, uncorrected |")
    print("|---|---:|---:|---:|---:|---:|")
    for kind, studies in ended.items():
        words = [sum(e.verdict == word for e in studies) for word in ("GO", "NO-GO", "INCONCLUSIVE")]
        peers = [sum(e.crowned for e in studies), sum(e.tested for e in studies)]
        cells = " | ".join(_share(count, len(studies)) for count in (*words, *peers))
        print(f"| {len(studies):,} {kind} | {cells} |")
    print()
    for kind, studies in ended.items():
        run_, of = statistics.fmean(e.seeds for e in studies), statistics.fmean(e.planned for e in studies)
        print(
            f"{kind}: {run_:.1f} of {of:.1f} planned seeds run for each of the two ({1 - run_ / of:.0%} saved), "
            f"{statistics.fmean(e.evaluations for e in studies):.1f} evaluations and "
            f"{1000 * statistics.fmean(e.seconds for e in studies):.0f} ms a study"
        )
    false = sum(e.verdict == "GO" for e in ended["equal"])
    right = sum(e.verdict == "GO" and e.right for e in ended["better"])
    most, least = math.floor(MOST_FALSE * len(ended["equal"])), math.ceil(LEAST_RIGHT * len(ended["better"]))
    print(f"better: {right} GOs for the truly better candidate")
    return _promise(f"at most {most} false GOs", false <= most) & _promise(
        f"at least {least} right ones", right >= least
    )


def _share(count: int, of: int) -> str:
    return f"{count:,} ({count / of:.1%})"


def _promise(words: str, kept: bool) -> bool:
    print(f"{words}: {'kept' if kept else 'BROKEN'}")
    return kept


def jobs(kind: str, numbers: Sequence[int], looks: int) -> list[tuple[str, int, int]]:
    """One a study."""
    return [(kind, number, looks) for number in numbers]


def agree(ended: Mapping[str, list[Ended]], ran: Mapping[str, list[Ended]]) -> bool:
    """Whether the engine ends the studies that it ran in the same way."""
    pairs = [pair for kind, runs in ran.items() for pair in zip(ended[kind], runs, strict=False)]
    same = sum(replace(left, seconds=0.0) == replace(right, seconds=0.0) for left, right in pairs)
    each_ms = 1000 * statistics.fmean(right.seconds for _, right in pairs)
    print(f"run by the engine, too: {len(pairs)} studies at {each_ms:.0f} ms, {same} with the same end to the seed")
    return _promise("the engine agrees", same == len(pairs))


def main() -> None:
    """Read the command line, run the studies, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.verdict",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--studies", type=int, default=STUDIES, help="of each kind")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--looks", type=int, default=4, help="confirm.looks; 1: no early end")
    parser.add_argument("--first", type=int, default=0, help="seed of the first study")
    parser.add_argument("--engine", type=int, default=ENGINE, help="of each kind, run by the engine too")
    parser.add_argument("--quick", action="store_true", help="a few studies")
    options = parser.parse_args()
    numbers = range(options.first, options.first + (10 * QUICK if options.quick else options.studies))
    engine = numbers[: QUICK if options.quick else options.engine]
    began = time.perf_counter()
    with ProcessPoolExecutor(options.workers) as pool:
        ended = {kind: list(pool.map(decided, jobs(kind, numbers, options.looks), chunksize=10)) for kind in GAINS}
        ran = {kind: list(pool.map(work, jobs(kind, engine, options.looks), chunksize=5)) for kind in GAINS}
    kept = report(ended) & agree(ended, ran)
    print(f"{time.perf_counter() - began:.0f} s with {options.workers} workers")
    sys.exit(0 if kept or options.quick else 1)


if __name__ == "__main__":
    main()
