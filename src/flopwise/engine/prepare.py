"""Data before training: run the workload's ``prepare`` once a session, and insist that it gives the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flopwise.engine.attempts import STOP_GRACE_S
from flopwise.engine.desk import Desk
from flopwise.engine.outcomes import classify
from flopwise.errors import ExecutorError, RunError, WorkloadError
from flopwise.events import DataPrepared
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
        WorkloadError: If the data cannot be prepared.
        RunError: If the data is not what the run was started with.
        ExecutorError: If the keeper died.
    """
    job = _job(desk)
    desk.executor.start(job)
    reported, ended = _await(desk)
    if desk.signals.count:
        return False
    if reported is None or reported.outcome != Outcome.OK:
        cause = classify(reported, ended, None).cause
        raise WorkloadError(f"the data could not be prepared: {cause}", where=job.folder, got=ended.tail or None)
    _accept(desk, dict(reported.info["pin"]), ended.ended_at - ended.started_at)
    return True


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
        metric=desk.study["objective"]["metric"],
        started_in=desk.hello.folder,
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
