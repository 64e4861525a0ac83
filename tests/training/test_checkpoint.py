"""A training that was saved goes on in another process as if nothing had happened."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from flopwise.clock import RealClock, SimulatedClock
from flopwise.errors import WorkloadError
from flopwise.training import checkpoint
from flopwise.training.checkpoint import START, Progress
from flopwise.training.devices import Device
from flopwise.training.loop import Length, Recipe, train
from flopwise.training.optimizers.adamw import AdamWOptions, adamw
from flopwise.training.saving import Saving
from flopwise.training.stopwatch import Stopwatch

CPU = Device("cpu")


def batches(step: int) -> torch.Tensor:
    return torch.randint(0, 7, (4, 6), generator=torch.Generator().manual_seed(step))


class Saved:
    """Remembers what was saved, as a file would."""

    def __init__(self, model: Any, optimizer: Any, path: Path) -> None:
        self.model, self.optimizer, self.path = model, optimizer, path
        self.steps: list[int] = []

    def __call__(self, progress: Progress) -> None:
        self.steps.append(progress.step)
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        checkpoint.write(self.path, progress, state)


def fit(
    model: Any, listener: Any, path: Path, *, steps: int, every: int | None = None, start: Path | None = None
) -> Any:
    optimizer, begun = adamw(model, AdamWOptions(0.1)), START
    if start is not None:
        begun, content = checkpoint.read(start, "train.start_from")
        model.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
    saved = Saved(model, optimizer, path)
    recipe = Recipe(Length(steps=steps), 0.1, lambda progress: 1.0 - progress, 4, 1.0, saving=Saving(every, saved))
    done = train(model, optimizer, batches, recipe, CPU, listener, RealClock(), begun=begun)
    return done, saved.steps


@pytest.mark.parametrize(("every", "steps"), [(None, [10]), (4, [4, 8, 10]), (5, [5, 10])])
def test_it_saves_as_often_as_asked_and_once_at_the_end(
    bigram: Any, listener: Any, tmp_path: Path, every: int | None, steps: list[int]
) -> None:
    assert fit(bigram, listener, tmp_path / "c.pt", steps=10, every=every)[1] == steps


def test_what_was_stopped_goes_on_to_the_same_params(
    bigram: Any, listener: Any, stopping_listener: Any, tmp_path: Path
) -> None:
    start = {name: value.clone() for name, value in bigram.state_dict().items()}
    whole, _ = fit(bigram, listener, tmp_path / "whole.pt", steps=10)
    expected = {name: value.clone() for name, value in bigram.state_dict().items()}
    bigram.load_state_dict(start)
    stopped, saved = fit(bigram, stopping_listener, tmp_path / "half.pt", steps=10)
    assert stopped.stopped and saved == [3]
    bigram.load_state_dict(start)
    again = type(listener)()
    resumed, saved = fit(bigram, again, tmp_path / "rest.pt", steps=10, start=tmp_path / "half.pt")
    assert saved == [10]
    assert [step for step, _ in again.rows] == [4, 5, 6, 7, 8, 9, 10]
    assert again.rows == listener.rows[3:]
    assert all(torch.equal(value, expected[name]) for name, value in bigram.state_dict().items())
    same = ("steps", "tokens", "first_loss", "train_loss")
    assert [getattr(resumed, name) for name in same] == [getattr(whole, name) for name in same]
    assert resumed.train_s > checkpoint.read(tmp_path / "half.pt", "")[0].train_s


def test_seconds_before_are_counted_once_and_the_first_step_is_an_average_one() -> None:
    clock = SimulatedClock()
    watch = Stopwatch(clock, CPU, Progress(step=10, train_s=20.0))
    assert watch.train_s(10) == watch.elapsed_s() == 20.0
    for step in range(11, 15):
        clock.advance(60.0 if step == 11 else 2.0)
        watch.stepped(step)
    assert (watch.train_s(14), watch.warmup_s(14)) == (28.0, 58.0)


def test_a_file_is_private_and_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.pt"
    checkpoint.write(path, Progress(3, 12, 1.5, 2.0), {"seed": 1})
    assert path.stat().st_mode & 0o777 == 0o600
    assert checkpoint.read(path, "k") == (Progress(3, 12, 1.5, 2.0), {"seed": 1})

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.write(path, Progress(4), {"seed": 2})
    assert checkpoint.read(path, "k")[1] == {"seed": 1}


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


def test_what_is_no_checkpoint_is_refused_and_nothing_in_it_is_run(tmp_path: Path) -> None:
    bomb = Bomb(tmp_path / "went-off")
    torch.save({"format": checkpoint.FORMAT, "progress": {"step": 1}, "model": bomb}, tmp_path / "bomb.pt")
    torch.save({"model": {}}, tmp_path / "other.pt")
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps(bomb, protocol=2))
    (tmp_path / "text.pt").write_text("no tensors here")
    (tmp_path / "empty.pt").touch()
    whole = tmp_path / "whole.pt"
    checkpoint.write(whole, Progress(1), {"model": {"a": torch.zeros(100)}})
    (tmp_path / "cut.pt").write_bytes(whole.read_bytes()[:-300])
    for name in ("bomb", "other", "pickle", "text", "empty", "cut"):
        with pytest.raises(WorkloadError, match=r"is no checkpoint[\s\S]*where: train\.start_from"):
            checkpoint.read(tmp_path / f"{name}.pt", "train.start_from")
    with pytest.raises(WorkloadError, match="no such checkpoint"):
        checkpoint.read(tmp_path / "absent.pt", "train.start_from")
    assert not bomb.path.exists()
