"""A damaged run, written anew beside itself: the old folder is only read.

What can be had back goes into a run folder of its own. When nothing that matters is lost that is the whole
journal. Else it is the journal up to the first loss, as a coordinator that was killed there would have left
it, so that it can go on; later records are kept as JSON lines for people and programs to read.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flopwise.errors import JournalDamaged, JournalError, RunError
from flopwise.events import AttemptStarted, Event, RunCreated, from_json
from flopwise.journal.lock import holder
from flopwise.journal.read import read_events
from flopwise.journal.salvage import Kept, Lost, Salvage, framed, salvage
from flopwise.paths import RunFolder, fresh_run
from flopwise.trial import AttemptId


def examine(folder: RunFolder) -> Salvage | None:
    """What can be had back from a run's journal; None when it is not damaged.

    Raises:
        RunError: If somebody is working on the run.
        JournalError: If the journal cannot be read, is of another format, or its first record is lost,
            without which nothing can go on.
    """
    held = holder(folder.lock)
    if held is not None:
        raise RunError(
            "somebody works on this run", got=f"process {held.pid} on {held.host}", where=str(folder.root), fix="end it"
        )
    try:
        read_events(folder.journal)
        return None
    except JournalDamaged:
        found = _readable(salvage(_bytes_of(folder.journal)))
    if not found.kept or found.kept[0].number != 1 or not isinstance(event_of(found.kept[0]), RunCreated):
        raise JournalError(
            "the first record, which holds the study, cannot be had back",
            where=str(folder.journal),
            fix=f"put back a copy of the file, or run {folder.study} again",
        )
    return found


def event_of(record: Kept) -> Event:
    """The event in a record.

    Raises:
        JournalDamaged: If it holds none.
    """
    try:
        content = json.loads(record.payload)
    except ValueError as error:
        raise JournalDamaged(f"record {record.number} is no JSON", got=str(error)) from None
    if not isinstance(content, dict):
        raise JournalDamaged(f"record {record.number} is no event", got=type(content).__name__)
    return from_json(content)


def new_run(folder: RunFolder, records: Sequence[Kept]) -> RunFolder:
    """A run of these records beside the damaged one, under the study's next free name.

    Args:
        folder: The damaged run; its study, stamps and attempts are copied as far as the records know them.
        records: The first holds ``RunCreated``.

    Raises:
        OSError: If it cannot be written.
    """
    events = [event_of(record) for record in records]
    created = events[0]
    assert isinstance(created, RunCreated)
    target = fresh_run(str(created.study["name"]), folder.root.parent)
    target.root.mkdir(mode=0o700)
    known = {event.attempt for event in events if isinstance(event, AttemptStarted) and _is_name(event.attempt)}
    _copy_attempts(folder, target, known)
    if folder.study.is_file():
        _write_new(target.study, folder.study.read_bytes())
    if folder.stamps.is_file():
        _write_new(target.stamps, _stamps_of(folder.stamps, known))
    _write_new(target.journal, framed([record.payload for record in records]))
    return target


def write_later(folder: RunFolder, later: Sequence[Kept]) -> Path:
    """Records from behind a loss as JSON lines, in a new file beside the damaged run.

    Raises:
        OSError: If it cannot be written.
    """
    path = folder.root.with_name(f"{folder.name}-salvaged.jsonl")
    number = 1
    while path.exists():
        number += 1
        path = folder.root.with_name(f"{folder.name}-salvaged-{number}.jsonl")
    _write_new(path, b"".join(record.payload + b"\n" for record in later))
    return path


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise JournalError("the journal cannot be read", got=str(error), where=str(path)) from None


def _readable(found: Salvage) -> Salvage:
    """Records that hold no event are lost, too."""
    kept: list[Kept] = []
    lost: list[Lost] = list(found.lost)
    for record in found.kept:
        try:
            event_of(record)
        except JournalDamaged as error:
            lost.append(Lost(record.number, record.offset, len(record.payload), error.problem))
        else:
            kept.append(record)
    return Salvage(tuple(kept), tuple(sorted(lost, key=lambda each: each.number)))


def _copy_attempts(folder: RunFolder, target: RunFolder, known: set[str]) -> None:
    """Folders of these attempts; links stay links and are not followed."""
    target.attempts.mkdir(mode=0o700)
    for attempt in sorted(known):
        source = folder.attempt(attempt)
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, target.attempt(attempt), symlinks=True)


def _is_name(attempt: str) -> bool:
    """Whether an attempt is called as attempts are: it becomes the name of a folder."""
    try:
        return str(AttemptId.parse(attempt)) == attempt
    except ValueError:
        return False


def _stamps_of(path: Path, known: set[str]) -> bytes:
    """The keepers' stamps up to the last one of these attempts, without those of others."""
    lines = [(line, _attempt_in(line)) for line in path.read_bytes().split(b"\n")]
    last = max((index for index, (_, attempt) in enumerate(lines) if attempt in known), default=-1)
    kept = [line for line, attempt in lines[: last + 1] if attempt in known or attempt is None]
    return b"".join(line + b"\n" for line in kept)


def _attempt_in(line: bytes) -> Any:
    """The attempt that a stamp is about; None for one about the keeper itself, or no stamp at all."""
    try:
        stamp = json.loads(line)
    except ValueError:
        return None
    return stamp.get("attempt") if isinstance(stamp, dict) else None


def _write_new(path: Path, content: bytes) -> None:
    """A new file for its owner only, on disk when this returns."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(fd)
