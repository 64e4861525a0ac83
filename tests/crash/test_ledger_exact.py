"""The ledger against another watch: an observer that knows nothing of flopwise times every attempt's process."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flopwise.budget.ledger import Ledger
from flopwise.events import AttemptEnded

OBSERVER = Path(__file__).parent / "coordinators" / "observe.py"
PACE_S = 0.15
EXACT_S = 0.05
"""The promise: an attempt is charged within this of how long its process lived."""
BLIND_S = 0.02
"""What the observer does not know of a beginning is less than this for most attempts, else it proves nothing."""


@contextmanager
def observed(attempts: Path, file: Path) -> Iterator[None]:
    """Somebody watches the processes of a folder's attempts."""
    watching = subprocess.Popen([sys.executable, str(OBSERVER), str(attempts), str(file)])
    try:
        yield
        time.sleep(0.05)
    finally:
        watching.kill()
        watching.wait()


def lives(file: Path) -> dict[str, tuple[float, float]]:
    """Shortest and longest life that each attempt can have had, in seconds, by what the observer saw."""
    seen = [json.loads(line) for line in file.read_text().splitlines()]
    assert len({life["attempt"] for life in seen}) == len(seen)
    return {life["attempt"]: (life["end"] - life["before"], life["end"] - life["after"]) for life in seen}


def keepers(pid: int) -> list[int]:
    """Children of a coordinator."""
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def disturb(study: Any, dice: random.Random) -> None:
    """Kill -9 of the coordinator, or of its keeper alone, at some moment of its work."""
    study.start()
    study.until(lambda: study.ran or study.state.verdict, "the first attempt")
    time.sleep(dice.uniform(0.0, 1.5))
    if dice.random() < 0.3:
        for keeper in keepers(study.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(keeper, signal.SIGKILL)
        time.sleep(dice.uniform(0.0, 0.5))
    study.kill()
    study.wait()


def distance(charged_s: float, shortest_s: float, longest_s: float) -> float:
    """Seconds between what was charged and what can have been."""
    return max(0.0, shortest_s - charged_s, charged_s - longest_s)


@pytest.mark.fault("F1", suite=2, long=20)
def test_the_ledger_equals_what_an_observer_saw(rounds: Any, valley: Any, record_property: Any) -> None:
    worst: list[float] = []
    unsure: list[float] = []

    def check(number: int) -> None:
        study = valley(base={"pace_s": PACE_S})
        study.root.mkdir()
        file = study.root / "lives"
        with observed(study.root / "runs" / "valley" / "attempts", file):
            disturb(study, random.Random(number))
            study.check_after_death(0)
            study.calm_down()
            assert study.state.verdict is not None or study.run() == 0, study.output
        seen, ends = lives(file), study.ends
        off = {end.attempt: distance(end.device_s, *seen.pop(end.attempt, (0.0, 0.0))) for end in ends}
        assert seen == {}, "processes that the journal does not know"
        assert max(off.values()) <= EXACT_S, f"charged wrongly: {off}"
        check_sum(study, ends)
        worst.append(max(off.values()))
        unsure.extend(longest - shortest for shortest, longest in lives(file).values())

    rounds.each(check)
    record_property("off_by_s", max(worst))
    typical = sorted(unsure)[len(unsure) // 2]
    print(f"{len(unsure)} attempts, at most {1e3 * max(worst):.1f} ms off; unseen: median {1e3 * typical:.1f} ms")
    assert typical < BLIND_S


def check_sum(study: Any, ends: list[AttemptEnded]) -> None:
    """What the ledger says in all is the sum of what each attempt was charged."""
    ledger = Ledger()
    for event in study.events:
        ledger.apply(event)
    assert ledger.total.device_s == pytest.approx(sum(end.device_s for end in ends))
    assert ledger.total.attempts == len(ends)
