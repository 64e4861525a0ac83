"""Data that cannot be used: one clear error, exit code 2, and nothing in the way of the next run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flopwise.events import AttemptStarted
from flopwise.journal.log import read_events
from flopwise.training.shards import write_shard

STUDY = """\
name: data
workload: language_model
base:
  model: {n_layer: 1, n_embd: 16, n_head: 2}
  data: DATA
  train: {batch_size: 2, sequence_length: 16, device: cpu}
space:
  train.lr: {type: float, low: 1e-3, high: 1e-1, scale: log}
objective: {metric: val_loss}
evaluation: {stop: {steps: 5}}
search: {method: random}
tiers: {small: {trials: 1}}
calibration: {seeds: 2, signal: false, knobs: false}
confirm: {top: 1, seeds: 2}
execution: {slots: 1}
"""
SIZES = "valid_tokens: 200, valid_span: 50, valid_fraction: 0.2"
SHARDS = f"{{source: bin, files: ['train_*.bin'], tokenizer: ids, vocabulary: 500, {SIZES}}}"
TEXTS = f"{{source: text, files: ['*.txt'], tokenizer: bpe, vocabulary: 257, {SIZES}}}"
PROGRAM = """\
name: data
workload: command
base: {argv: [python, train.py, "--lr={lr}"], params: {lr: 0.1}, depends_on: [weights.txt]}
space: {params.lr: {type: float, low: 0.0, high: 1.0}}
objective: {metric: loss}
"""


def shards(folder: Path) -> None:
    write_shard(folder / "train_1.bin", np.arange(4000) ** 2 % 500)


def texts(folder: Path) -> None:
    for number in range(10):
        (folder / f"{number}.txt").write_text(f"text {number} of ten that are all alike\n" * 20)


def truncated(folder: Path) -> None:
    shards(folder)
    (folder / "train_1.bin").write_bytes((folder / "train_1.bin").read_bytes()[:-10])


def latin1(folder: Path) -> None:
    texts(folder)
    (folder / "7.txt").write_bytes(b"na\xefve\n")


@pytest.fixture
def study(tmp_path: Path) -> Callable[[str], Path]:
    def write(data: str) -> Path:
        path = tmp_path / "study.yaml"
        path.write_text(STUDY.replace("DATA", data))
        return path

    return write


def held(folder: Path) -> list[str]:
    """What lies in the folder of runs, the cache aside."""
    runs = folder / "runs"
    return sorted(path.name for path in runs.iterdir() if path.name != ".cache") if runs.is_dir() else []


@pytest.mark.parametrize(
    ("verb", "data", "spoil", "said", "mend"),
    [
        ("run", SHARDS, truncated, ("the token shard is truncated", "train_1.bin (study.yaml: base.data)"), shards),
        ("plan", TEXTS, latin1, ("the text is not UTF-8", "7.txt, offset 2 (study.yaml: base.data)"), texts),
    ],
    ids=["truncated shard", "not UTF-8"],
)
def test_it_is_one_error_and_when_mended_the_study_runs(
    verb: str,
    data: str,
    spoil: Callable[[Path], None],
    said: tuple[str, str],
    mend: Callable[[Path], None],
    study: Callable[[str], Path],
    tmp_path: Path,
    flopwise: Any,
) -> None:
    study(data)
    spoil(tmp_path)
    refused = flopwise(verb, "study.yaml")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: {said[0]}\n")
    assert f"  where: {said[1]}" in refused.stderr.replace(f"{tmp_path}/", "")
    assert (refused.stdout + refused.stderr).count(said[0]) == 1
    assert held(tmp_path) == []
    mend(tmp_path)
    assert flopwise(verb, "study.yaml").returncode == 0
    assert held(tmp_path) == ["data"]


def test_a_mended_study_file_runs_under_its_own_name(
    study: Callable[[str], Path], tmp_path: Path, flopwise: Any
) -> None:
    shards(tmp_path)
    study(SHARDS.replace("train_", "trian_"))
    refused = flopwise("plan", "study.yaml")
    assert refused.returncode == 2 and held(tmp_path) == []
    assert refused.stderr.startswith("error: no file matches\n") and "study.yaml: base.data.files" in refused.stderr
    study(SHARDS)
    assert flopwise("plan", "study.yaml").returncode == 0
    assert held(tmp_path) == ["data"]


def test_what_a_program_needs_is_named_with_its_key(tmp_path: Path, flopwise: Any) -> None:
    (tmp_path / "study.yaml").write_text(PROGRAM)
    refused = flopwise("run", "study.yaml")
    assert refused.returncode == 2 and held(tmp_path) == []
    assert "weights.txt" in refused.stderr and "where: study.yaml: base.depends_on" in refused.stderr


def test_a_run_that_has_begun_is_kept_and_goes_on_with_its_data(
    study: Callable[[str], Path], tmp_path: Path, flopwise: Any
) -> None:
    study(SHARDS)
    shards(tmp_path)
    assert flopwise("plan", "study.yaml").returncode == 0
    truncated(tmp_path)
    for verb, name in (("run", "study.yaml"), ("resume", "data")):
        refused = flopwise(verb, name)
        assert refused.returncode == 2 and "train_1.bin (study.yaml: base.data)" in refused.stderr
    shards(tmp_path)
    assert flopwise("resume", "data").returncode == 0
    assert held(tmp_path) == ["data"]
    events, _ = read_events(tmp_path / "runs" / "data" / "journal.log")
    starts = [event.attempt for event in events if isinstance(event, AttemptStarted)]
    assert starts.count("t0000.s0.a1") == 1 and "t0000.s0.a2" not in starts
    assert json.loads((tmp_path / "runs" / "data" / "report.json").read_text())["verdict"]


def test_a_failure_that_is_no_refusal_keeps_the_run_and_names_its_output(
    tmp_path: Path, flopwise: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    (broken / "torch").mkdir(parents=True)
    (broken / "torch" / "__init__.py").write_text("raise ImportError('this torch is broken')\n")
    (tmp_path / "study.yaml").write_text(STUDY.replace("DATA", f"{{{SIZES}}}"))
    monkeypatch.setenv("PYTHONPATH", str(broken))
    failed = flopwise("plan", "study.yaml")
    assert failed.returncode == 4
    assert failed.stderr.count("this torch is broken") == 1
    assert "runs/data/attempts/prepare.1/stderr" in failed.stderr
    assert held(tmp_path) == ["data"]
