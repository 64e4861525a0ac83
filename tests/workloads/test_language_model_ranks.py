from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flopwise.errors import NonFinite, WorkloadError
from flopwise.trial import Fidelity
from flopwise.workloads.language_model import ranks
from flopwise.workloads.language_model.ranks import Share
from flopwise.workloads.language_model.run import prepare, run

TOY: dict[str, Any] = {
    "model": {"n_layer": 1, "n_embd": 32, "n_head": 2},
    "data": {"valid_tokens": 2048},
    "train": {"batch_size": 5, "micro_batch_size": 2, "sequence_length": 32, "device": "cpu"},
}
MUON = {"optimizer": {"kind": "muon"}}


class Context:
    """Remembers rows and facts."""

    def __init__(self, folder: Path) -> None:
        self.cache = self.folder = folder
        self.seed, self.fidelity, self.threads = 3, Fidelity("steps", 4), 2
        self.data: Mapping[str, Any] = {}
        self.losses: list[float] = []
        self.facts: dict[str, Any] = {}
        self.validate_every: int | None = None
        self.count_validation = False
        self.target = None

    def report(self, step: int, **values: float) -> None:
        self.losses.append(values["train_loss"])

    def progress(self, text: str, done: float = 0.0, total: float = 0.0) -> None:
        pass

    def note(self, **facts: Any) -> None:
        self.facts.update(facts)

    def should_stop(self) -> bool:
        return False


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, Any]]:
    folder = tmp_path_factory.mktemp("cache")
    return folder, prepare(TOY, Context(folder))  # type: ignore[arg-type]


def trained(data: tuple[Path, Mapping[str, Any]], **train: Any) -> tuple[list[float], dict[str, float], dict[str, Any]]:
    context = Context(data[0])
    context.data = data[1]
    found = run({**TOY, "train": {**TOY["train"], **train}}, context)  # type: ignore[arg-type]
    return context.losses, found, context.facts


def test_two_processes_train_as_one_does_also_when_they_share_unevenly(data: tuple[Path, Mapping[str, Any]]) -> None:
    alone, shared = trained(data, **MUON), trained(data, processes=2, **MUON)
    assert shared[0] == pytest.approx(alone[0], rel=1e-5)
    assert shared[1] == pytest.approx(alone[1], rel=1e-5)
    assert (alone[2]["processes"], shared[2]["processes"]) == (1, 2)
    assert shared[2]["tokens"] == alone[2]["tokens"] == 4 * 5 * 32
    assert not list(data[0].glob("ranks-*"))


def test_what_explodes_is_reported_once_and_ends_both(data: tuple[Path, Mapping[str, Any]]) -> None:
    wild = {"lr": 100.0, "weight_decay": 100.0, "warmup_fraction": 0.0, "clip": None}
    context = Context(data[0])
    context.data, context.fidelity = data[1], Fidelity("steps", 50)
    with pytest.raises(NonFinite, match="in step"):
        run({**TOY, "train": {**TOY["train"], **wild, "processes": 2}}, context)  # type: ignore[arg-type]
    assert all(math.isfinite(loss) for loss in context.losses)


def test_a_process_that_cannot_start_is_named(
    data: tuple[Path, Mapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranks, "PROGRAM", "flopwise.no_such_program")
    with pytest.raises(WorkloadError, match=r"process 1 of the 2 .* status 1"):
        trained(data, processes=2)


def test_a_share_survives_the_way_to_its_process(tmp_path: Path) -> None:
    share = Share({"a": {"b": 1}}, 7, Fidelity("flops", 1e12), tmp_path, tmp_path / "c", {"x": [1]}, 2, 3)
    assert Share.from_json(share.to_json()) == share
