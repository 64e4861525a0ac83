"""What an attempt prints goes to files, and the files are held to a size: their beginning and their end are kept.

No program is stopped by this or made to wait. While it runs, the middle of its file becomes a hole: the file
looks as long as ever, but takes no more of the disk. Once its last process is gone the hole is closed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from flopwise.executors import linux

COPY_BYTES = 1 << 20


class Output:
    """One file that processes append to.

    Kept are the first quarter of the limit and, once the program has ended, the last three quarters (half
    of it at any moment before). Between two looks the file may grow by whatever is printed in that time.

    Args:
        path: Of the file.
        fd: The file, opened for reading and appending; stays open and with the caller.
        limit_bytes: Most that it may take of the disk.
    """

    def __init__(self, path: Path, fd: int, limit_bytes: int) -> None:
        self._path = path
        self._fd = fd
        self._limit = limit_bytes
        self._head = limit_bytes // 4
        self._cut = self._head
        self._dropped = 0

    def trim(self) -> None:
        """When the file is over its limit, drop all between its beginning and the last half of the limit.

        A file system that fails at this keeps the file as it is, and the keeper's log says so.
        """
        try:
            self._trim()
        except OSError as error:
            print(f"{self._path} is not held to its limit: {error}", file=sys.stderr)
            self._limit = sys.maxsize

    def _trim(self) -> None:
        size = os.fstat(self._fd).st_size
        if size < self._cut:
            self._cut, self._dropped = self._head, 0  # emptied by its own program
        if self._head + size - self._cut <= self._limit:
            return
        cut = size - self._limit // 2
        self._dropped += cut - self._cut
        if linux.punch_hole(self._fd, self._head, cut):
            self._cut = cut
        else:
            self._shorten(cut)

    def close_up(self) -> None:
        """Nobody writes any more: leave the beginning, a line that says how much is missing, and the end."""
        self.trim()
        if not self._dropped:
            return
        part = self._path.with_name(f"{self._path.name}.part")
        try:
            fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            print(f"{self._path} keeps its hole: {error}", file=sys.stderr)
            return
        try:
            self._write_whole(fd)
            part.replace(self._path)
        except OSError as error:
            print(f"{self._path} keeps its hole: {error}", file=sys.stderr)
            part.unlink(missing_ok=True)
        finally:
            os.close(fd)

    def _write_whole(self, fd: int) -> None:
        size = os.fstat(self._fd).st_size
        end = max(self._cut, size - (self._limit - self._head))
        dropped = self._dropped + end - self._cut
        self._copy(fd, 0, self._head)
        os.write(fd, f"\n[… {dropped} bytes left out: more than execution.output_limit …]\n".encode())
        self._copy(fd, end, size)

    def _copy(self, fd: int, start: int, end: int) -> None:
        for at in range(start, end, COPY_BYTES):
            data = os.pread(self._fd, min(COPY_BYTES, end - at), at)
            while data:
                data = data[os.write(fd, data) :]

    def _shorten(self, cut: int) -> None:
        """Where files cannot have holes. What is printed between reading and shortening is lost."""
        tail = os.pread(self._fd, self._limit, cut)
        os.ftruncate(self._fd, self._head)
        while tail:
            tail = tail[os.write(self._fd, tail) :]
