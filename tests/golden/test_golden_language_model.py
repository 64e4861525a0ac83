"""A refactor must not change a loss curve: the same seed gives the stored losses, on any machine.

The text is made here, since the standard library differs between Python versions. After a change that
is meant to change the curve: ``FLOPWISE_WRITE_GOLDEN=1 pytest tests/golden``, and say why in the log.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flopwise.training.datasets import Pin, store
from flopwise.wire import Job, Slot
from flopwise.worker.context import AttemptContext
from flopwise.worker.outlet import Outlet
from flopwise.workloads.language_model.run import run

STORED = Path(__file__).with_name("language_model.json")
TRAIN: dict[str, Any] = {"batch_size": 6, "sequence_length": 32, "lr": 1e-2, "device": "cpu"}
CONFIGS: dict[str, dict[str, Any]] = {
    "swiglu": {"model": {"n_layer": 2, "n_embd": 32, "n_head": 2}, "train": TRAIN},
    "relu2, grouped, tied, accumulated": {
        "model": {"n_layer": 2, "n_embd": 32, "n_head": 4, "n_kv_head": 2, "mlp": "relu2", "tied_head": True},
        "train": {**TRAIN, "micro_batch_size": 4},
    },
    "normalised, muon": {
        "model": {"kind": "ngpt", "n_layer": 2, "n_embd": 32, "n_head": 2, "ngpt": {"project_every": 2}},
        "train": {**TRAIN, "optimizer": {"kind": "muon", "variance_reduction": True, "precision": "float32"}},
    },
}


def pinned_text(cache: Path) -> dict[str, Any]:
    """Words of a made-up language: learnable, and the same everywhere."""
    words = [bytes(97 + (i * i + j * (i + 3)) % 26 for j in range(2 + i % 5)) for i in range(40)]
    order = np.cumsum(np.arange(6000) ** 2 % 17 + 1) % 40
    tokens = b" ".join(words[i] for i in order)
    count, train = len(tokens), len(tokens) * 9 // 10
    pin = Pin(
        sha256=store(cache, tokens),
        tokens=count,
        train_tokens=train,
        valid_tokens=count - train,
        vocabulary=256,
        bytes_per_token=1.0,
        dtype="uint8",
        source="stdlib",
        version="made up",
        tokenizer="byte",
        documents=1,
        valid_documents=1,
        valid_fraction=0.05,
        split_seed=0,
    )
    return pin.to_json()


def losses(name: str, folder: Path) -> dict[str, Any]:
    """Curve and final metrics of one training, as the worker records them."""
    config = {**CONFIGS[name], "data": {"valid_tokens": 1000, "valid_span": 64}}
    job = Job(
        attempt="t0000.s0.a1",
        kind="evaluate",
        workload="language_model",
        config=config,
        stop={"steps": 12},
        seed=11,
        slot=Slot(0, (), 1),
        folder=str(folder),
        cache=str(folder),
        data=pinned_text(folder),
    )
    with (folder / "wire").open("wb") as wire:
        context = AttemptContext(job, Outlet(wire.fileno()), None, lambda: False)
        metrics = run(config, context)
    return {"curve": [row["values"]["train_loss"] for row in context.rows()], **metrics}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_loss_curve_is_the_stored_one(name: str, tmp_path: Path) -> None:
    found = losses(name, tmp_path)
    if os.environ.get("FLOPWISE_WRITE_GOLDEN"):
        kept = json.loads(STORED.read_text()) if STORED.exists() else {}
        STORED.write_text(json.dumps({**kept, name: found}, indent=1) + "\n")
    stored = json.loads(STORED.read_text())
    assert found.pop("curve") == pytest.approx(stored[name].pop("curve"), rel=1e-4)
    assert found == pytest.approx(stored[name], rel=1e-4)


def test_another_seed_or_setting_would_be_noticed() -> None:
    stored = json.loads(STORED.read_text())
    first, second, _ = (stored[name]["curve"] for name in CONFIGS)
    assert first != pytest.approx(second, rel=1e-4)
    assert first[-1] < 0.8 * first[0]
