"""Faults 1 to 3: kill -9 of the coordinator at random moments, at every named point, and again while it resumes."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from flopwise.executors.topology import usable_cores

PACE_S = 0.01
INLINE: dict[str, Any] = {
    "execution": {"executor": "inline", "slots": 1},
    "tiers": {"only": {"population": 2, "generations": 1}},
    "confirm": {"top": 1, "seeds": 2},
}
"""A study of seven evaluations in the coordinator's own process: its worker's points are its own, too."""


def slots(number: int) -> dict[str, Any]:
    """Round by round one worker more, up to 8 or the machine's cores."""
    return {"slots": 1 + number % min(8, len(usable_cores()))}


@pytest.mark.fault("F1", suite=3, long=60)
def test_kill_9_at_random_moments(rounds: Any, valley: Any, calm: Any) -> None:
    base = {"pace_s": PACE_S}
    undisturbed = calm(base=base)

    def check(number: int) -> None:
        dice = random.Random(number)
        study = valley(base=base, execution=slots(number))
        events = 0
        for _ in range(dice.randint(1, 5)):
            study.start()
            time.sleep(dice.uniform(0.0, 0.6))
            study.kill()
            study.wait()
            events = study.check_after_death(events)
            if study.state.verdict is not None:
                return study.check_same_as(undisturbed)
        return study.settle(undisturbed)

    rounds.each(check)


def names_of(study: Any) -> list[str]:
    """All points of an undisturbed run."""
    file = study.root / "points.txt"
    assert study.run(points=str(file)) == 0, study.output
    return list(file.read_text().splitlines())


def kill_at(study: Any, how: str, at: int, undisturbed: Any) -> bool:
    """Kill at one point, go on, compare; False when the run was over before it."""
    killed: bool = study.run(point=[how, at]) == -9
    study.check_after_death(0)
    study.settle(undisturbed)
    return killed


@pytest.mark.fault("F2", suite=6, long=10_000)
@pytest.mark.parametrize("how", ["kill", "half", "after"])
def test_kill_9_at_every_point_of_coordinator_and_worker(rounds: Any, valley: Any, calm: Any, how: str) -> None:
    undisturbed = calm(**INLINE)
    names = names_of(valley(**INLINE))
    assert {"write", "fsync", "mkdir", "rename", "flock", "open"} <= {name.split()[0] for name in names}
    kept = [at for at, name in enumerate(names, start=1) if how != "half" or name.startswith("write")]

    def check(at: int) -> None:
        killed = kill_at(valley(**INLINE), how, at, undisturbed)
        assert killed, f"no point {at} ({names[at - 1]})"

    rounds.each(check, kept)


@pytest.mark.fault("F2", suite=5, long=10_000)
def test_kill_9_at_every_spawn_message_and_wait(rounds: Any, valley: Any, calm: Any) -> None:
    """Their number depends on who is faster, so the last ones may not come."""
    undisturbed = calm()
    names = names_of(valley())
    assert {"__init__", "sendall", "poll", "wait"} <= {name.split()[0] for name in names}
    kept = [at for at, name in enumerate(names, start=1) if name.startswith(("__init__", "sendall", "poll", "wait"))]
    killed: list[bool] = []
    rounds.each(lambda at: killed.append(kill_at(valley(), "kill", at, undisturbed)), kept)
    assert sum(killed) > len(killed) // 2


@pytest.mark.fault("F3", suite=1, long=60)
def test_kill_9_five_times_while_it_resumes(rounds: Any, valley: Any, calm: Any) -> None:
    base = {"pace_s": PACE_S}
    undisturbed = calm(base=base)

    def check(number: int) -> None:
        dice = random.Random(number)
        study = valley(base=base)
        study.start()
        study.until_running(1 + number % 6)
        study.kill()
        study.wait()
        events = study.check_after_death(0)
        for _ in range(5):
            assert study.run(point=["kill", dice.randint(1, 25)]) == -9
            events = study.check_after_death(events)
        study.settle(undisturbed)

    rounds.each(check)
