"""Phase 2 of the synaptic pilot begins at the winner of phase 1, on a model so small that both take seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from flopwise.journal.log import read_events
from flopwise.journal.replay import RunState
from flopwise.paths import shipped_studies

SMALL = {
    "base": {
        "model": {"kind": "synaptic", "n_layer": 1, "n_head": 2, "n_embd": 32},
        "data": {"valid_tokens": 2048},
        "train": {"batch_size": 4, "sequence_length": 64, "lr": 1e-6},
    },
    "evaluation": {"stop": {"steps": 4}, "seeds": 1},
    "tiers": {"toy": {"population": 4, "generations": 1}},
    "calibration": {"seeds": 2, "signal": False, "knobs": False},
    "confirm": {"top": 1, "seeds": 2},
}


def write(folder: Path, name: str, **changes: Any) -> str:
    """A study of the pilot, made small."""
    yaml = YAML(typ="safe", pure=True)
    study = yaml.load((shipped_studies() / "synaptic" / f"{name}.yaml").read_text())
    study = {**study, **SMALL, **changes}
    yaml.dump(study, folder / f"{name}.yaml")
    return f"{name}.yaml"


@pytest.mark.parametrize("phase2", ["phase2-robust"])
def test_phase_2_starts_at_the_winner_of_phase_1(phase2: str, tmp_path: Path, call_flopwise: Any) -> None:
    """A baseline that hardly learns makes a GO certain; the learning rate that was found stays fixed afterwards."""
    second = write(tmp_path, phase2)
    refused = call_flopwise(tmp_path, "run", second, "--quiet")
    assert refused.returncode == 2 and "synaptic-phase1" in refused.stderr
    assert not (tmp_path / "runs" / "synaptic-phase2-robust").exists()
    rates = {"train.lr": {"type": "float", "low": 1e-3, "high": 3e-2, "scale": "log"}}
    first = write(
        tmp_path, "phase1", space=rates | {"model.synaptic.tau_c": {"type": "float", "low": 0.7, "high": 0.99}}
    )
    done = call_flopwise(tmp_path, "run", first, "--quiet", "--anyway")
    assert done.returncode == 0 and "GO" in done.stdout, done.stdout + done.stderr
    done = call_flopwise(tmp_path, "run", second, "--quiet", "--anyway")
    assert done.returncode == 0, done.stdout + done.stderr
    one, two = (RunState(read_events(tmp_path / "runs" / name / "journal.log")[0]) for name in NAMES)
    assert one.verdict is not None and one.verdict.winner is not None
    winner = one.trials[one.verdict.winner].trial.config
    assert two.study["base"]["train"]["lr"] == winner["train.lr"]
    assert two.trials[0].trial.config["model.synaptic.tau_c"] == winner["model.synaptic.tau_c"]
    assert call_flopwise(tmp_path, "verify", "synaptic-phase2-robust").returncode == 0


NAMES = ("synaptic-phase1", "synaptic-phase2-robust")
