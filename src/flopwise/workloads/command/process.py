"""The program as a child process: started, listened to, asked to stop, and never left behind."""

from __future__ import annotations

import os
import select
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from flopwise.errors import ProgramFailed
from flopwise.workloads.command.lines import Lines
from flopwise.workloads.command.rows import Rows

CHANNEL = "FLOPWISE_FD"
"""Variable with the number of the descriptor that the program may write JSON lines to."""

READ_BYTES = 1 << 16
PIPE_READS = 64
"""More than a pipe holds; for what is left in it when the program has ended."""
SHORTEST_S, LONGEST_S = 0.001, 0.05
"""How long to wait for news, doubling while there are none."""

FAREWELL_S = 5.0
"""Between SIGTERM and SIGKILL for a program whose lines are wrong; the study's own stops have the keeper's grace."""


class Program:
    """One run of the program, and its two ways of talking back.

    Args:
        arguments: Program and arguments.
        environment: All of it, but the number of the channel.
        folder: Where it runs.
        output: Descriptors for its stdout and stderr.
        metrics: File of JSON lines that it may write.
        rows: Takes what it says.

    Raises:
        ProgramFailed: If it cannot be started.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[bytes, bytes],
        folder: Path,
        output: tuple[int | IO[bytes], int | IO[bytes]],
        metrics: Path,
        rows: Rows,
    ) -> None:
        self._rows = rows
        self._file = metrics
        self._offset = 0
        self._file_lines, self._pipe_lines = Lines(metrics.name), Lines(f"${CHANNEL}")
        self._pipe, theirs = os.pipe()
        self._is_open = True
        try:
            self._process = _start(arguments, environment, folder, output, theirs)
        except OSError as error:
            os.close(self._pipe)
            raise _not_started(arguments[0], error) from error
        finally:
            os.close(theirs)
        os.set_blocking(self._pipe, False)

    def follow(self, should_stop: Callable[[], bool]) -> int:
        """Listen until it ends.

        Args:
            should_stop: Whether the study asked for the end; passed on as one SIGTERM.

        Returns:
            Its exit status; minus the number of the signal that ended it.

        Raises:
            ProgramFailed: If a line is wrong; the program is ended then.
        """
        delay_s, told = SHORTEST_S, False
        while (status := self._process.poll()) is None:
            heard = self._listen(delay_s)
            if not told and should_stop():
                told = True
                self._signal(signal.SIGTERM)
            delay_s = SHORTEST_S if heard else min(2 * delay_s, LONGEST_S)
        self._drain()
        return status

    def close(self) -> None:
        """End it if it still runs, and forget it. What it started itself ends with the attempt."""
        if self._process.poll() is None:
            self._signal(signal.SIGTERM)
            try:
                self._process.wait(FAREWELL_S)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self._process.wait()
        os.close(self._pipe)

    def _listen(self, wait_s: float) -> bool:
        """Take what has come; True when something has."""
        if self._is_open:
            ready, _, _ = select.select([self._pipe], [], [], wait_s)
            heard = bool(ready) and self._read_pipe()
        else:
            time.sleep(wait_s)
            heard = False
        return self._read_file() or heard

    def _drain(self) -> None:
        """What was written before the end; what a child of the program goes on writing is not waited for."""
        written = self._file.stat().st_size if self._file.exists() else 0
        while self._offset < written and self._read_file():
            pass
        for _ in range(PIPE_READS):
            if not self._read_pipe():
                break
        for lines in (self._file_lines, self._pipe_lines):
            self._take(lines, lines.finish())

    def _read_pipe(self) -> bool:
        try:
            data = os.read(self._pipe, READ_BYTES)
        except BlockingIOError:
            return False
        self._is_open = bool(data)
        self._take(self._pipe_lines, self._pipe_lines.feed(data))
        return bool(data)

    def _read_file(self) -> bool:
        data = _read_at(self._file, self._offset, self._file_lines)
        self._offset += len(data)
        self._take(self._file_lines, self._file_lines.feed(data))
        return bool(data)

    def _take(self, lines: Lines, found: Iterator[dict[str, Any]]) -> None:
        for line in found:
            self._rows.take(line, lines)

    def _signal(self, number: int) -> None:
        """To the program's whole process group; it has not been waited for, so the number is still its own."""
        if self._process.returncode is None:
            os.killpg(self._process.pid, number)


def open_regular(path: Path) -> int | None:
    """A descriptor of a plain file; None where there is no file.

    Raises:
        ProgramFailed: If it is something else: a link, a pipe, a folder.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProgramFailed(f"{path.name} cannot be read: {error.strerror}", expected="a plain file") from error
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise ProgramFailed(f"{path.name} cannot be read: it is not a plain file", where=str(path))


def _read_at(path: Path, offset: int, lines: Lines) -> bytes:
    """What has been added to a file that is being written."""
    fd = open_regular(path)
    if fd is None:
        return b""
    try:
        if os.fstat(fd).st_size < offset:
            raise lines.wrong("was followed by a shorter file; append to it, never write it anew")
        return os.pread(fd, READ_BYTES, offset)
    finally:
        os.close(fd)


def _start(
    arguments: Sequence[str],
    environment: Mapping[bytes, bytes],
    folder: Path,
    output: tuple[int | IO[bytes], int | IO[bytes]],
    channel: int,
) -> subprocess.Popen[bytes]:
    """Bytes throughout, so that no locale changes a value; a group of its own, so that it is signalled once."""
    return subprocess.Popen(
        [argument.encode("utf-8", "surrogateescape") for argument in arguments],
        env={**environment, CHANNEL.encode(): str(channel).encode()},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output[0],
        stderr=output[1],
        pass_fds=[channel],
        process_group=0,
    )


def _not_started(program: str, error: OSError) -> ProgramFailed:
    hint = "a script needs a first line such as #!/bin/sh" if error.errno == 8 else None
    return ProgramFailed(f"{program} could not be started: {error.strerror}", where=error.filename or None, fix=hint)
