"""How a study cuts the machine: as its file says, or, with ``threads: auto``, as measured.

What was chosen is put into the execution section where the study has ``auto``, and everything that makes
slots goes by that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flopwise.budget.packing import Pair, candidates
from flopwise.engine.lease import share_of, slots_of
from flopwise.events import PackingChosen
from flopwise.executors.slots import Share
from flopwise.executors.topology import Topology, topology, usable_cores
from flopwise.journal.replay import RunState
from flopwise.study import most_at_once
from flopwise.wire import Slot

AUTO = "auto"
"""Of ``execution.threads``: the packing is measured."""


@dataclass(frozen=True)
class Ground:
    """The machine that is to be cut.

    Args:
        pairs: Ways to cut it, from :func:`flopwise.budget.packing.candidates`.
        cores: That this process may use: what the choice is filed under.
        memory_bytes: That this process may use.
        cut: The slots of a pair.
    """

    pairs: tuple[Pair, ...]
    cores: int
    memory_bytes: int
    cut: Callable[[Pair], tuple[Slot, ...]]


def ground(study: Mapping[str, Any]) -> Ground:
    """This machine, for a study with ``threads: auto``.

    Raises:
        InputError: If the study asks for more than the machine has.
    """
    machine = topology()
    most = min(most_at_once(study), len(slots_of(as_cut(study, None))))
    return Ground(
        pairs=candidates(_room(machine, _share(study)), study["execution"]["slots"], most, len(machine.nodes)),
        cores=len(usable_cores()),
        memory_bytes=machine.memory_bytes,
        cut=lambda pair: slots_of(_with(study, pair.slots, pair.threads)),
    )


def is_unpacked(state: RunState) -> bool:
    """Whether the packing for this machine is still to be chosen."""
    return state.study["execution"]["threads"] == AUTO and chosen(state) is None


def chosen(state: RunState) -> PackingChosen | None:
    """What was chosen for a machine with as many cores as this one, as far as it still suits the study."""
    choice, slots = state.packing, state.study["execution"]["slots"]
    suits = choice is not None and choice.cores == len(usable_cores()) and slots in (None, choice.slots)
    return choice if suits else None


def needless(study: Mapping[str, Any], here: Ground) -> PackingChosen | None:
    """The choice where nothing has to be measured for it; None where something has."""
    first = here.pairs[0]
    if "seconds" in study["evaluation"]["stop"]:
        pair = first if study["execution"]["slots"] is None else here.pairs[-1]
        reason = "not measured, because an evaluation lasts as long everywhere (evaluation.stop is in seconds)"
        if pair.slots == 1:
            reason += "; one at a time, so that none takes anything from another"
        return PackingChosen(pair.slots, pair.threads, here.cores, reason)
    if len(here.pairs) == 1:
        return PackingChosen(first.slots, first.threads, here.cores, "not measured, because there is no other way")
    return None


def as_cut(study: Mapping[str, Any], choice: PackingChosen | None) -> Mapping[str, Any]:
    """A study whose slots can be made: as it is, or with what was chosen; one thread a slot before that."""
    execution = study["execution"]
    if execution["threads"] != AUTO:
        return study
    return _with(study, choice.slots, choice.threads) if choice else _with(study, execution["slots"], 1)


def undivided(study: Mapping[str, Any]) -> Mapping[str, Any]:
    """A study with the whole machine as its one slot: nobody else may use it while the packing is measured."""
    machine = topology()
    share = _share(study)
    devices = len(machine.accelerators) if share.on(machine).accelerators else 0
    return _with(study, 1, _room(machine, share), accelerators=devices, memory=None)


def _share(study: Mapping[str, Any]) -> Share:
    return share_of(as_cut(study, None))


def _room(machine: Topology, share: Share) -> int:
    """Cores that slots may take."""
    return machine.physical if share.exclusive else len(machine.cores)


def _with(study: Mapping[str, Any], slots: int | None, threads: int, **others: Any) -> Mapping[str, Any]:
    return {**study, "execution": {**study["execution"], "slots": slots, "threads": threads, **others}}
