"""With many slots policies are asked a few times a wave, not at every end; with few of them at every one."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

import flopwise
from flopwise.engine.guard import Guard


def asked(slots: int, evaluations: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many evaluations had ended when the policies were asked; evaluations end one at a time."""
    seen: list[int] = []
    judge = Guard.judge

    def counted(self: Guard, state: Any, **named: Any) -> Any:
        seen.append(len(state.final_ends))
        return judge(self, state, **named)

    monkeypatch.setattr(Guard, "judge", counted)
    done = flopwise.Study(
        name="asked",
        space={"x": flopwise.Float(0.0, 1.0)},
        objective=len,
        evaluations=evaluations,
        calibration={"signal": False, "knobs": False},
        policies={"patience": False},
        execution={"executor": "simulated", "slots": slots, "options": {"values": "surface", "durability": "none"}},
        runs=folder,
    ).run(quiet=True)
    assert done.reason == "finished"
    return seen


def test_of_many_slots_a_fiftieth_ends_between_two_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = asked(400, 1_000, tmp_path, monkeypatch)
    search = [count for count in seen if 8 < count < 1_000]
    assert 100 < len(search) < 130
    assert min(later - earlier for earlier, later in itertools.pairwise(search)) >= 8
    assert any(1_000 <= count < 1_010 for count in seen), "and once more when all have ended"


def test_of_few_slots_every_end_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = asked(4, 40, tmp_path, monkeypatch)
    assert set(range(3, 40)) <= set(seen)
