"""An evaluation in several processes: the attempt's own leads, and starts the others as programs of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flopwise.errors import WorkloadError
from flopwise.training.devices import Device
from flopwise.training.distributed import ALONE, Team, meet
from flopwise.trial import Fidelity
from flopwise.workload import Context

PROGRAM = "flopwise.workloads.language_model.follower"
MEETING_S = 300.0
"""How long followers may take to start."""
GRACE_S = 10.0
"""How long followers may take to end by themselves."""


@dataclass(frozen=True)
class Share:
    """What a follower needs to know; the part of a context that matters to it.

    Args:
        config: Nested.
        seed: Of the attempt.
        fidelity: How much to train.
        folder: Where the processes meet; empty before.
        cache: For prepared data.
        data: Its pin.
        threads: Of this process.
        size: Processes of the evaluation.
    """

    config: Mapping[str, Any]
    seed: int
    fidelity: Fidelity
    folder: Path
    cache: Path
    data: Mapping[str, Any]
    threads: int
    size: int

    def to_json(self) -> str:
        """As text."""
        return json.dumps({**asdict(self), "folder": str(self.folder), "cache": str(self.cache)})

    @classmethod
    def from_json(cls, text: str) -> Share:
        """Inverse of :meth:`to_json`."""
        found = json.loads(text)
        paths = {name: Path(found[name]) for name in ("folder", "cache")}
        return cls(**{**found, **paths, "fidelity": Fidelity(**found["fidelity"])})

    @property
    def meeting_place(self) -> Path:
        """File by which processes find each other."""
        return self.folder / "meeting"

    def ready(self, rank: int) -> Path:
        """File that a follower makes when it is there."""
        return self.folder / f"ready-{rank}"


@contextmanager
def team_of(config: Mapping[str, Any], context: Context, device: Device, size: int) -> Iterator[Team]:
    """Start the followers and lead them; they end with the context.

    Args:
        config: Nested.
        context: Of the attempt.
        device: Where to train.
        size: Processes, this one included.

    Raises:
        WorkloadError: If a follower ends before it should.
    """
    if size == 1:
        yield ALONE
        return
    with tempfile.TemporaryDirectory(dir=context.folder, prefix="ranks-") as folder:
        threads = max(1, context.threads // size)
        share = Share(
            config, context.seed, context.fidelity, Path(folder), context.cache, dict(context.data), threads, size
        )
        followers = [_start(share, rank) for rank in range(1, size)]
        try:
            _await(share, followers)
            with meet(0, size, device, share.meeting_place) as team:
                yield team
        except RuntimeError as error:
            lost = _lost(followers)
            if lost is None:
                raise
            raise lost from error
        finally:
            _end(followers)


def _await(share: Share, followers: Sequence[subprocess.Popen[str]]) -> None:
    """Until all followers are there."""
    deadline = time.monotonic() + MEETING_S
    while not all(share.ready(rank).exists() for rank in range(1, share.size)):
        if any(process.poll() is not None for process in followers) or time.monotonic() > deadline:
            raise _lost(followers) or WorkloadError(
                "the processes of the evaluation did not find each other",
                expected=f"{share.size} within {MEETING_S:g} s",
                fix="lower train.processes",
            )
        time.sleep(0.02)


def _start(share: Share, rank: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", PROGRAM, str(rank)],
        stdin=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(share.threads)},
    )
    assert process.stdin is not None
    process.stdin.write(share.to_json())
    process.stdin.close()
    return process


def _lost(followers: Sequence[subprocess.Popen[str]]) -> WorkloadError | None:
    """What to say when one of the followers is gone; its connection may end a moment before it does."""
    for rank, process in enumerate(followers, start=1):
        with suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
        if process.returncode not in (None, 0):
            which = f"process {rank} of the {len(followers) + 1} that train this model"
            return WorkloadError(
                f"{which} ended with status {process.returncode}",
                fix="see its messages in the attempt's log; lower train.micro_batch_size if memory ran out",
            )
    return None


def _end(followers: Sequence[subprocess.Popen[str]]) -> None:
    for process in followers:
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
