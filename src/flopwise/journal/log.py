"""The journal's writer: append, group commit, torn-tail repair.

An event counts from the moment :meth:`Journal.commit` returns, and not before. A journal that once
failed to write is closed for good: after a failed fsync nobody knows what is on disk (the kernel drops
the pages and reports the error once), so nothing is ever retried as if nothing had happened.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from flopwise.errors import JournalError, RunError
from flopwise.events import Event, to_json
from flopwise.journal.lock import WriterLock
from flopwise.journal.read import iter_scans, read_events, torn_notes
from flopwise.journal.records import START, Mark, Scan, frame
from flopwise.paths import RunFolder

__all__ = ["Journal", "read_events"]

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class Journal:
    """A run's journal, open for writing by this process alone. Made by :meth:`create` or :meth:`open`.

    Attributes:
        path: The file.
        durable: Whether a commit waits for the disk. Without that a power cut may take what was
            acknowledged, a death of processes still cannot: for simulations only.
        replayed: Events that were in it when it was opened.
        notes: What the user should know about its opening (a dropped torn record).

    Example:
        >>> import tempfile
        >>> from flopwise.events import Alive
        >>> folder = RunFolder(Path(tempfile.mkdtemp()) / "run")
        >>> with Journal.create(folder) as journal:
        ...     journal.append([Alive(1.0), Alive(2.0)])
        ...     journal.commit()
        >>> with Journal.open(folder) as journal:
        ...     journal.replayed
        [Alive(t=1.0), Alive(t=2.0)]
    """

    def __init__(self, path: Path, fd: int, lock: WriterLock, mark: Mark) -> None:
        self.path = path
        self.durable = True
        self._fd = fd
        self._lock = lock
        self._end = mark.offset
        self._crc = mark.crc
        self._buffer = bytearray()
        self._failure: str | None = None
        self.replayed: list[Event] = []
        self.notes: list[str] = []

    @classmethod
    def create(cls, folder: RunFolder) -> Journal:
        """Start a new run: its folder (mode 0700), its lock and an empty journal (0600), durably.

        Raises:
            RunError: If the folder already holds a journal, or cannot be made.
        """
        try:
            folder.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise RunError("the run folder cannot be made", got=str(error), where=str(folder.root)) from None
        _refuse_shared(folder.root)
        lock = WriterLock(folder.lock)
        try:
            fd = _open(folder.journal, os.O_CREAT | os.O_EXCL)
            _sync_folders(folder.root)
        except BaseException:
            lock.release()
            raise
        return cls(folder.journal, fd, lock, START)

    @classmethod
    def open(cls, folder: RunFolder) -> Journal:
        """Take an existing run for writing; an unterminated last record is cut off and noted.

        Raises:
            RunError: If another process holds the run, or nothing was ever recorded in it.
            JournalDamaged: If any other record is not as it was written; nothing is changed then.
            JournalError: If the file cannot be read or repaired.
        """
        _refuse_shared(folder.root)
        lock = WriterLock(folder.lock)
        try:
            return cls._opened(folder, lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _opened(cls, folder: RunFolder, lock: WriterLock) -> Journal:
        events: list[Event] = []
        last = Scan((), 0, 0)
        for piece, decoded in iter_scans(folder.journal):
            last = piece
            events += decoded
        if not events:
            raise RunError(
                "this run ended before anything was recorded",
                where=str(folder.root),
                fix="delete the folder and run the study again",
            )
        journal = cls(folder.journal, _open(folder.journal, 0), lock, last.mark)
        journal.replayed = events
        told = "dropped (its writer died there; nobody had been told of it)"
        journal.notes = torn_notes(last, str(folder.journal), told)
        if last.torn:
            journal._repair()
        return journal

    def append(self, events: Iterable[Event]) -> None:
        """Add events to the next commit; all of them or, on an error, none.

        Raises:
            JournalError: If an event holds what JSON has no form for, or the journal failed before.
        """
        self._refuse_failed()
        buffer, crc = bytearray(), self._crc
        for event in events:
            record, crc = frame(_payload(event), crc)
            buffer += record
        self._buffer += buffer
        self._crc = crc

    def commit(self) -> None:
        """Make everything appended durable: one write and one fsync. Returning is the acknowledgement.

        Raises:
            JournalError: If that fails. Nothing of this commit was acknowledged, the file is cut back
                to the last commit if it can be, and the journal takes nothing more.
        """
        self._refuse_failed()
        if not self._buffer:
            return
        try:
            _write_all(self._fd, self._buffer)
            if self.durable:
                os.fsync(self._fd)
            self._check_file(self._end + len(self._buffer))
        except OSError as error:
            raise self._fail(error) from error
        except BaseException as error:  # a signal handler that raised: how far it got is not known
            self._fail(error)
            raise
        self._end += len(self._buffer)
        self._buffer.clear()

    def close(self) -> None:
        """Let the run go; what was appended and not committed is dropped. A second call does nothing."""
        if self._fd < 0:
            return
        os.close(self._fd)
        self._fd = -1
        self._failure = self._failure or "it is closed"
        self._lock.release()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def _check_file(self, size: int) -> None:
        """The file must still have a name, and only our bytes."""
        found = os.fstat(self._fd)
        if found.st_nlink == 0:
            raise FileNotFoundError("the file was deleted while the run was going on")
        if found.st_size != size:
            raise OSError(f"the file has {found.st_size} bytes instead of {size}: something else wrote to it")

    def _fail(self, error: BaseException) -> JournalError:
        """Close the journal for good; cut off what may have been half-written."""
        self._failure = f"{type(error).__name__}: {error}"
        self._buffer.clear()
        try:
            os.ftruncate(self._fd, self._end)
            os.fsync(self._fd)
        except OSError as second:
            # What is left behind was never acknowledged: opening drops a torn record, and whole ones are
            # intents and results like any others.
            self._failure += f" (and it could not be cut back to byte {self._end}: {second})"
        return self._error()

    def _refuse_failed(self) -> None:
        if self._failure is not None:
            raise self._error()

    def _error(self) -> JournalError:
        return JournalError(
            "the journal cannot be written; nothing since the last commit was recorded",
            got=self._failure,
            where=f"{self.path}, byte {self._end}",
            fix="free disk space or mend the file system, then `flopwise resume`",
        )

    def _repair(self) -> None:
        """Cut off the torn record for good, before anything is appended behind it."""
        try:
            os.ftruncate(self._fd, self._end)
            os.fsync(self._fd)
        except OSError as error:
            os.close(self._fd)
            raise JournalError(
                "a torn last record cannot be cut off", got=str(error), where=f"{self.path}, byte {self._end}"
            ) from error


def _payload(event: Event) -> bytes:
    try:
        return _encode(to_json(event)).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise JournalError(
            f"an event {type(event).__name__} cannot be recorded",
            expected="JSON values only, no NaN and no infinity",
            got=str(error),
        ) from error


def _write_all(fd: int, data: bytearray) -> None:
    """One write where the system takes it all at once, else the rest until it does or fails."""
    rest = memoryview(data)
    try:
        while rest:
            written = os.write(fd, rest)
            rest = rest[written:]
    finally:
        rest.release()


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | flags, 0o600)
    except FileExistsError:
        raise RunError(
            "there is a run already", where=str(path.parent), fix="choose another name, or `flopwise resume` it"
        ) from None
    except OSError as error:
        raise JournalError("the journal cannot be opened", got=str(error), where=str(path)) from None


def _refuse_shared(root: Path) -> None:
    """A run folder that anyone may write to proves nothing."""
    try:
        mode = root.stat().st_mode
    except OSError as error:
        raise RunError("the run folder cannot be opened", got=str(error), where=str(root)) from None
    if mode & stat.S_IWOTH:
        raise RunError(
            "every user of this machine may write to the run folder", where=str(root), fix=f"chmod o-w '{root}'"
        )


def _sync_folders(root: Path) -> None:
    """Make the new names durable: the journal in its folder, and the folder in its parent."""
    for folder in (root, root.parent):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        except OSError as error:
            raise JournalError("a folder cannot be synced", got=str(error), where=str(folder)) from error
        finally:
            os.close(fd)
