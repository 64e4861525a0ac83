"""What attempts get to see of the coordinator's environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from flopwise.errors import ExecutorError
from flopwise.executors.environment import THREAD_POOLS, attempt_variables, clean, missing
from flopwise.wire import Slot

SECRETS = ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "DATABASE_PASSWORD", "PYTHONSECRET", "CUDA_API_KEY", "LC_TOKEN"]


@pytest.mark.parametrize("name", [*SECRETS, "MY_SETTING", "http_proxy", "FLOPWISE_OTHER"])
def test_nothing_beyond_the_list_passes_unasked(name: str) -> None:
    assert name not in clean({name: "x"}, "run")


@pytest.mark.parametrize("name", SECRETS)
def test_what_the_study_names_passes(name: str) -> None:
    assert clean({name: "x"}, "run", [name])[name] == "x"


@pytest.mark.parametrize(
    "name", ["PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "CUDA_VISIBLE_DEVICES"]
)
def test_what_programs_need_passes(name: str) -> None:
    assert clean({name: "x"}, "run")[name] == "x"


def test_thread_pools_start_at_one_and_the_run_is_marked() -> None:
    kept = clean({"OMP_NUM_THREADS": "64", "FLOPWISE_RUN": "other"}, "run")
    assert kept["FLOPWISE_RUN"] == "run"
    assert {kept[name] for name in THREAD_POOLS} == {"1"}


def test_sets_have_the_same_order_everywhere_unless_the_user_says_otherwise() -> None:
    assert clean({}, "run")["PYTHONHASHSEED"] == "0"
    assert clean({"PYTHONHASHSEED": "7"}, "run")["PYTHONHASHSEED"] == "7"


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "FLOPWISE_RUN"])
def test_names_that_flopwise_sets_cannot_be_passed(name: str) -> None:
    with pytest.raises(ExecutorError, match=name):
        clean({}, "run", [name])


def test_names_that_are_not_set_are_found() -> None:
    assert missing({"A": "1"}, ["A", "B"]) == ["B"]


def test_an_attempt_sees_its_slots_accelerators_and_no_others(tmp_path: Path) -> None:
    there, gone = tmp_path, tmp_path / "no-driver"
    cuda = {"CUDA_VISIBLE_DEVICES": "GPU-a,MIG-b"}
    assert cuda.items() <= attempt_variables(Slot(0, (), 1, accelerators=("GPU-a", "MIG-b")), {}, gone).items()
    assert attempt_variables(Slot(0, (), 1), {}, there)["CUDA_VISIBLE_DEVICES"] == ""
    assert "CUDA_VISIBLE_DEVICES" not in attempt_variables(Slot(0, (), 1), {}, gone), "other makers' devices stay"
    assert "CUDA_VISIBLE_DEVICES" not in attempt_variables(Slot(0, (), 1, accelerators=("mps",)), {}, there)


def test_an_attempts_threads_are_its_slots() -> None:
    found = attempt_variables(Slot(0, (1, 2), 2), {})
    assert {found[name] for name in THREAD_POOLS} == {"2"}
