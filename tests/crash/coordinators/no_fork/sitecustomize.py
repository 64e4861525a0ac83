"""A machine that is short of processes: every third fork of the keeper fails with EAGAIN, as at a limit of them."""

from __future__ import annotations

import errno
import itertools
import os
import sys

FREE = 2
"""The guard's own fork, and one for the first attempt."""

_calls = itertools.count(1 - FREE)
_fork = os.fork


def fork() -> int:
    if (call := next(_calls)) > 0 and call % 3 == 0:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return _fork()


if "flopwise.executors.keeper" in sys.orig_argv:
    os.fork = fork
