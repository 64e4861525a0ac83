"""Data before training: run the workload's ``prepare`` once a session, and insist that it gives the same.

Data that cannot be used is the user's to mend, as a mistake in the study file is: one error, exit code 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flopwise.engine.attempts import STOP_GRACE_S
from flopwise.engine.desk import Desk
from flopwise.engine.measuring import measuring
from flopwise.engine.outcomes import classify
from flopwise.errors import ExecutorError, InputError, RunError, WorkloadError
from flopwise.events import DataPrepared
from flopwise.registry import load
from flopwise.study import full_config
from flopwise.trial import Outcome
from flopwise.wire import Ended, Job, KeeperLost, Progress, Reported

PREPARE = "prepare"
"""Name of the preparing job where an attempt has its id."""


def prepare_data(desk: Desk) -> bool:
    """Make the data pin, or check it against the run's.

    Returns:
        False when a signal interrupted it.

    Raises:
        InputError: If the workload refuses the data; says which, and the study file's key.
        WorkloadError: If preparing it fails in any other way.
        RunError: If the data is not what the run was started with.
        ExecutorError: If the keeper died.
    """
    job = _job(desk)
    desk.executor.start(job)
    reported, ended = _await(desk)
    if desk.signals.count:
        return False
    if reported is None or reported.outcome != Outcome.OK:
        raise _failure(desk, job, reported, ended)
    _accept(desk, dict(reported.info["pin"]), ended.ended_at - ended.started_at)
    return True


def _failure(desk: Desk, job: Job, reported: Reported | None, ended: Ended) -> InputError | WorkloadError:
    """What to say of a preparation without a pin: the workload's own words where it has any."""
    parts = dict(reported.info.get("refused", {})) if reported else {}
    if parts:
        parts["where"] = _place(desk, parts.get("where", ""))
        return InputError(parts.pop("problem"), **parts)
    cause = classify(reported, ended, job).cause
    tail = None if reported else ended.tail or None
    return WorkloadError(f"the data could not be prepared: {cause}", where=f"{job.folder}/stderr", got=tail)


def _place(desk: Desk, where: str) -> str:
    """What a refusal is about, with the study file and its key: a file of the data's, or the key alone."""
    created, spec = desk.record.state.created, load("workloads", desk.study["workload"])
    source = f"{created.source}: " if created and created.source != "python" else ""
    key = where.removeprefix("base.")
    if key.partition(".")[0] in spec.prepared:
        return f"{source}base.{key}"
    keys = ", ".join(f"base.{name}" for name in spec.prepared) or "base"
    return f"{where} ({source}{keys})" if where else f"{source}{keys}"


def _job(desk: Desk) -> Job:
    folder = desk.folder.attempts / f"{PREPARE}.{desk.session}"
    folder.mkdir(mode=0o700)
    return Job(
        attempt=PREPARE,
        kind="prepare",
        workload=desk.study["workload"],
        config=full_config(desk.study, {}),
        stop=desk.study["evaluation"]["stop"],
        seed=0,
        slot=desk.executor.slots[0],
        folder=str(folder),
        cache=str(desk.folder.cache),
        data=desk.record.state.data,
        started_in=desk.hello.folder,
        **measuring(desk.study),
    )


def _await(desk: Desk) -> tuple[Reported | None, Ended]:
    reported: Reported | None = None
    asked = False
    while True:
        for message in desk.executor.poll(0.25, desk.signals.wake):
            match message:
                case Reported():
                    reported = message
                case Ended():
                    return reported, message
                case Progress():
                    desk.view.progress(message.text, message.done, message.total)
                case KeeperLost():
                    where = str(desk.folder.keeper_log)
                    raise ExecutorError(f"the keeper died preparing the data: {message.detail}", where=where)
        desk.view.tick(desk.record.state, desk.record.ledger)
        if desk.signals.count and not asked:
            desk.signals.drain()
            desk.executor.stop(PREPARE, "interrupted", STOP_GRACE_S)
            asked = True


def _accept(desk: Desk, pin: Mapping[str, Any], seconds: float) -> None:
    state = desk.record.state
    if not state.data_ready:
        desk.record.add(DataPrepared(dict(pin), seconds))
        desk.record.commit()
        return
    changed = sorted(key for key in {*pin, *state.data} if pin.get(key) != state.data.get(key))
    if changed:
        raise RunError(
            "the data is not what this run was started with",
            expected="; ".join(f"{key} {state.data.get(key)}" for key in changed),
            got="; ".join(f"{key} {pin.get(key)}" for key in changed),
            where=str(desk.folder.root),
            fix="resume with the Python and the data it began with, or start a new run",
        )
