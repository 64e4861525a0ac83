"""Slots never share a core and never ask for more than there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.errors import InputError
from flopwise.executors.slots import make_slots

core_sets = st.sets(st.integers(0, 255), min_size=1, max_size=64).map(sorted)


@given(core_sets, st.none() | st.integers(1, 70), st.integers(1, 70))
def test_slots_fit_or_are_refused(cores: list[int], slots: int | None, threads: int) -> None:
    if threads > len(cores) or (slots or 1) * threads > len(cores):
        with pytest.raises(InputError):
            make_slots(cores, slots, threads)
        return
    made = make_slots(cores, slots, threads)
    used = [core for slot in made for core in slot.cores]
    assert len(made) == (slots or len(cores) // threads)
    assert [slot.index for slot in made] == list(range(len(made)))
    assert all(len(slot.cores) == slot.threads == threads for slot in made)
    assert len(used) == len(set(used)) and set(used) <= set(cores)


def test_the_error_names_the_largest_number_that_fits() -> None:
    with pytest.raises(InputError, match=r"set execution\.slots to 2"):
        make_slots([0, 1, 2, 3, 4], 3, 2)


def test_too_many_threads_name_the_number_of_cores() -> None:
    with pytest.raises(InputError, match=r"set execution\.threads to 2"):
        make_slots([0, 1], None, 3)


@pytest.mark.parametrize(("slots", "threads"), [(0, 1), (-1, 1), (1, 0), (None, -2)])
def test_zero_and_less_are_refused(slots: int | None, threads: int) -> None:
    with pytest.raises(InputError, match="at least 1"):
        make_slots([0, 1], slots, threads)
