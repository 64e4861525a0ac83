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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flopwise.budget.ledger import Ledger
from flopwise.events import AttemptEnded

OBSERVER = Path(__file__).parent / "coordinators" / "observe.py"
PACE_S = 0.15
EXACT_S = 0.05
"""The promise: an attempt is charged within this of how long its process lived (and what the machine makes us wait)."""
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


@dataclass(frozen=True)
class Life:
    """What the observer saw of an attempt, in seconds.

    Args:
        shortest: It lived so long at least.
        longest: And at most.
        late: How late the observer was woken at worst until then; so late may the keeper have been, too.
    """

    shortest: float = 0.0
    longest: float = 0.0
    late: float = 0.0

    def off(self, charged_s: float) -> float:
        """How far a charge is from what can have been."""
        return max(0.0, self.shortest - charged_s, charged_s - self.longest)


def lives(file: Path) -> dict[str, Life]:
    """By attempt."""
    seen = [json.loads(line) for line in file.read_text().splitlines()]
    assert len({life["attempt"] for life in seen}) == len(seen)
    return {
        life["attempt"]: Life(life["end"] - life["before"], life["end"] - life["after"], life["late_s"])
        for life in seen
    }


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


@pytest.mark.fault("F1", suite=2, long=20)
def test_the_ledger_equals_what_an_observer_saw(rounds: Any, valley: Any, record_property: Any) -> None:
    off: list[float] = []
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
        known = {end.attempt: (end.device_s, seen.pop(end.attempt, Life())) for end in ends}
        assert seen == {}, "processes that the journal does not know"
        wrong = {name: each for name, each in known.items() if each[1].off(each[0]) > EXACT_S + each[1].late}
        assert not wrong, f"charged wrongly: {wrong}"
        check_sum(study, ends)
        off.extend(life.off(charged_s) for charged_s, life in known.values())
        unsure.extend(life.longest - life.shortest for life in lives(file).values())

    rounds.each(check)
    typical = sorted(unsure)[len(unsure) // 2]
    record_property("off_by_s", max(off))
    exact = sum(each <= EXACT_S for each in off)
    print(f"{exact} of {len(off)} attempts within 50 ms, worst {1e3 * max(off):.1f} ms; unseen: {1e3 * typical:.1f} ms")
    assert typical < BLIND_S


def check_sum(study: Any, ends: list[AttemptEnded]) -> None:
    """What the ledger says in all is the sum of what each attempt was charged."""
    ledger = Ledger()
    for event in study.events:
        ledger.apply(event)
    assert ledger.total.device_s == pytest.approx(sum(end.device_s for end in ends))
    assert ledger.total.attempts == len(ends)
