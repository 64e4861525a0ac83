"""Going on from a checkpoint gives the bits of a training that was never interrupted; another config is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flopwise.errors import WorkloadError
from flopwise.training import checkpoint
from flopwise.training.checkpoint import Progress
from flopwise.trial import Fidelity
from flopwise.workloads.language_model.run import prepare, run
from flopwise.workloads.language_model.spec import SPEC

STEPS = 6
MODELS: dict[str, dict[str, Any]] = {
    "gpt": {},
    "ngpt": {"ngpt": {"project_every": 4}},
    "synaptic": {"synaptic": {"stochastic_train_frac": 0.5}},
}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adamw": {},
    "lion": {"cautious_weight_decay": True},
    "muon": {"variance_reduction": True},
}


class Attempt:
    """An attempt's context; asks to stop after so many rows of the curve."""

    def __init__(self, folder: Path, cache: Path, data: Any, seed: int = 3, stop_after: int | None = None) -> None:
        self.folder, self.cache, self.data, self.seed = folder, cache, data, seed
        self.fidelity, self.threads, self.stop_after = Fidelity("steps", STEPS), 1, stop_after
        self.validate_every = self.target = None
        self.count_validation = self.reached_target = False
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.facts: dict[str, Any] = {}
        folder.mkdir(exist_ok=True)

    def report(self, step: int, **values: float) -> None:
        self.rows.append((step, values))

    def progress(self, text: str, done: float = 0.0, total: float = 0.0) -> None: ...

    def note(self, **facts: Any) -> None:
        self.facts |= facts

    def should_stop(self) -> bool:
        return self.stop_after is not None and len(self.rows) >= self.stop_after


def config_of(model: str = "gpt", kind: str = "adamw", **train: Any) -> dict[str, Any]:
    shape = {"n_layer": 1, "n_head": 2, "n_embd": 16}
    settings = {"batch_size": 2, "sequence_length": 16, "device": "cpu", "checkpoint": "end"}
    return {
        "model": {"kind": model, **shape, **MODELS[model]},
        "data": {"valid_tokens": 256, "valid_span": 64},
        "train": {"optimizer": {"kind": kind, **OPTIMIZERS[kind]}, **settings, **train},
    }


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def pin(cache: Path) -> Any:
    return prepare(config_of(), Attempt(cache / "prepare", cache, {}))


@pytest.fixture
def attempt(cache: Path, pin: Any, tmp_path: Path) -> Any:
    return lambda name, **how: Attempt(tmp_path / name, cache, pin, **how)


@pytest.mark.parametrize(
    ("model", "optimizer"), [("gpt", "adamw"), ("gpt", "lion"), ("ngpt", "muon"), ("synaptic", "adamw")]
)
def test_going_on_gives_the_bits_of_a_training_that_was_never_interrupted(
    attempt: Any, model: str, optimizer: str
) -> None:
    whole, half, rest = attempt("whole"), attempt("half", stop_after=3), attempt("rest")
    metrics = run(config_of(model, optimizer), whole)
    assert run(config_of(model, optimizer), half).keys() == {"train_loss"}
    start = str(half.folder / "checkpoint.pt")
    assert run(config_of(model, optimizer, start_from=start), rest) == metrics
    assert [step for step, _ in rest.rows] == [4, 5, 6] and rest.rows == whole.rows[3:]
    assert rest.facts["continued_from_step"] == 3 and "continued_from_step" not in whole.facts
    same = ("steps", "tokens", "flops", "initial_loss")
    assert [rest.facts[name] for name in same] == [whole.facts[name] for name in same]


def test_nothing_is_saved_unasked(attempt: Any) -> None:
    plain = attempt("plain")
    run(config_of(checkpoint=None), plain)
    assert list(plain.folder.iterdir()) == []


def test_only_the_last_checkpoint_stays(attempt: Any) -> None:
    often = attempt("often")
    run(config_of(checkpoint=2), often)
    assert [path.name for path in often.folder.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"lr": 1e-4}, r"train\.lr 0\.003[\s\S]*got: train\.lr 0\.0001"),
        ({"kind": "lion"}, r"train\.optimizer\.kind adamw[\s\S]*got: train\.optimizer\.kind lion"),
        ({"batch_size": 4}, r"train\.batch_size 2[\s\S]*got: train\.batch_size 4"),
    ],
)
def test_a_checkpoint_of_another_config_is_refused_when_data_is_prepared_and_when_trained(
    attempt: Any, change: dict[str, Any], named: str
) -> None:
    first = attempt("first", stop_after=2)
    run(config_of(), first)
    other = config_of(**change, start_from=str(first.folder / "checkpoint.pt"))
    for work in (run, prepare):
        with pytest.raises(WorkloadError, match=rf"the checkpoint is from another config[\s\S]*expected: {named}"):
            work(other, attempt("second"))


def test_another_model_other_data_and_another_seed_are_refused(attempt: Any, cache: Path, tmp_path: Path) -> None:
    first = attempt("first", stop_after=2)
    run(config_of(), first)
    start = str(first.folder / "checkpoint.pt")
    wider = config_of(start_from=start)
    wider["model"]["n_embd"] = 32
    with pytest.raises(WorkloadError, match=r"model\.n_embd 16[\s\S]*got: model\.n_embd 32"):
        run(wider, attempt("second"))
    with pytest.raises(WorkloadError, match=r"expected: seed 3\n[\s\S]*got: seed 4"):
        run(config_of(start_from=start), attempt("second", seed=4))
    split = config_of(start_from=start)
    split["data"]["split_seed"] = 1
    with pytest.raises(WorkloadError, match=r"data\.sha256"):
        prepare(split, Attempt(tmp_path / "split", cache, {}))


def test_a_checkpoint_of_something_else_is_refused(attempt: Any, tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "other.pt", Progress(1), {"model": {}})
    with pytest.raises(WorkloadError, match=r"not one of a language model[\s\S]*got: model\n"):
        run(config_of(start_from=str(tmp_path / "other.pt")), attempt("first"))


def test_where_and_how_fast_may_change_on_the_way(attempt: Any) -> None:
    whole, half, rest = attempt("whole"), attempt("half", stop_after=3), attempt("rest")
    expected = run(config_of(), whole)["val_loss"]
    run(config_of(), half)
    found = run(config_of(start_from=str(half.folder / "checkpoint.pt"), micro_batch_size=1, checkpoint=None), rest)
    assert found["val_loss"] == pytest.approx(expected, rel=1e-5)


def test_a_training_that_is_over_needs_a_longer_one_to_go_on(attempt: Any) -> None:
    whole, again, longer = attempt("whole"), attempt("again"), attempt("longer")
    run(config_of(), whole)
    further = config_of(start_from=str(whole.folder / "checkpoint.pt"))
    with pytest.raises(WorkloadError, match=r"nothing is left to train[\s\S]*after step 6"):
        run(further, again)
    longer.fidelity = Fidelity("steps", STEPS + 2)
    run(further, longer)
    assert [step for step, _ in longer.rows] == [7, 8]


def test_a_relative_path_and_a_batch_that_does_not_divide_are_refused_before_anything_runs() -> None:
    relative = SPEC.check(config_of(start_from="checkpoint.pt"), Fidelity("steps", 6))
    assert [(each.key, "absolute" in each.message) for each in relative] == [("train.start_from", True)]
    (uneven,) = SPEC.check(config_of(batch_size=12, micro_batch_size=5), Fidelity("steps", 6))
    assert uneven.key == "train.micro_batch_size"
    assert uneven.message.endswith("micro_batch_size 5 does not divide batch_size 12; the nearest that do are 4 and 6")
