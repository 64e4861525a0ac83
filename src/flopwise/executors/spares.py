"""Children forked ahead of need, by a keeper that has nothing else to do.

A fork of a process with torch loaded and the child's first steps take milliseconds of two processors; a spare has
them behind it when an attempt ends and the next one is wanted.
"""

from __future__ import annotations

import os
import selectors
import signal
import sys
from collections.abc import Callable, Iterable
from functools import partial

from flopwise.executors.child import Child, Part, Task, fork, hand_over

MOST = 128
"""A spare takes about 3 MB."""

MOST_LOST = 10
"""Where so many die before any gets a task, something kills them: no more are made."""


class Spares:
    """Waiting children.

    Args:
        selector: The keeper's.
        part: What all children play.
    """

    def __init__(self, selector: selectors.DefaultSelector, part: Part) -> None:
        self._selector = selector
        self._part = part
        self._waiting: list[Child] = []
        self._can_fork = True
        self._lost = 0

    @property
    def pids(self) -> set[int]:
        """Their processes."""
        return {child.pid for child in self._waiting}

    def descriptors(self) -> set[int]:
        """What the keeper holds open for them."""
        return {fd for child in self._waiting for fd in child.descriptors()}

    def are_wanted(self, running: int) -> bool:
        """Whether there are fewer than attempts run: each of those will be followed by another, as a rule."""
        return self._can_fork and len(self._waiting) < min(running, MOST)

    def add(self, inherited: Iterable[int]) -> None:
        """Fork one; where there is no process to be had, do without from now on."""
        try:
            child = fork(self._part, inherited)
        except OSError as error:
            print(f"no spare processes: {error}", file=sys.stderr)
            self._can_fork = False
            return
        self._waiting.append(child)
        self._selector.register(child.pidfd, selectors.EVENT_READ, partial(self._on_death, child))

    def employ(self, task: Task, inherited: Callable[[], Iterable[int]]) -> Child:
        """Give a task to one that waits, or else to a new one.

        Args:
            task: What to work on.
            inherited: Says which descriptors of the keeper's a new one must not hold.

        Raises:
            OSError: If there is no process to be had.
        """
        while self._waiting:
            child = self._waiting.pop()
            self._selector.unregister(child.pidfd)
            try:
                hand_over(child, task)
            except OSError:
                self._bury(child)
                continue
            assert child.tasks is not None
            child.tasks.close()
            self._lost = 0
            return Child(child.pid, child.pidfd, child.pipe, None)
        return fork(self._part, inherited(), task)

    def dismiss(self) -> None:
        """End all."""
        for child in list(self._waiting):
            self._drop(child)

    def _on_death(self, child: Child) -> None:
        if child in self._waiting:
            self._drop(child)
            self._lost += 1
            if self._lost == MOST_LOST:
                print(f"no more spare processes: {MOST_LOST} were killed one after the other", file=sys.stderr)
                self._can_fork = False

    def _drop(self, child: Child) -> None:
        self._waiting.remove(child)
        self._selector.unregister(child.pidfd)
        self._bury(child)

    def _bury(self, child: Child) -> None:
        """It has not been waited for, so the number is still its own."""
        os.kill(child.pid, signal.SIGKILL)
        os.waitpid(child.pid, 0)
        assert child.tasks is not None
        child.tasks.close()
        os.close(child.pidfd)
        os.close(child.pipe)
