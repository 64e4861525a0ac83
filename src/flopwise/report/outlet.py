"""A terminal or pipe that may go away: a closed one never ends a study, it only ends the showing."""

from __future__ import annotations

import io
import os
from collections.abc import Callable

from rich.console import Console


class Outlet:
    """Writes to a console until that fails, then swallows everything.

    Args:
        console: Where to write.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.gone = False
        console.on_broken_pipe = self._lose  # type: ignore[method-assign]  # rich itself would end the process
        if isinstance(console.file, io.TextIOWrapper):
            console.file.reconfigure(errors="replace")

    def write(self, action: Callable[[], object], *, always: bool = False) -> None:
        """Do something that writes, unless the other side has gone.

        Args:
            action: What writes.
            always: Do it even so: it also gives something back.
        """
        if self.gone and not always:
            return
        try:
            action()
        except OSError:
            self._lose()
        except ValueError:  # what Python says to a write to a closed file
            if not self.console.file.closed:
                raise
            self._lose()

    def line(self, text: str) -> None:
        """One line, as it is, at once."""
        self.write(lambda: self._line(text))

    def _line(self, text: str) -> None:
        self.console.file.write(text + "\n")
        self.console.file.flush()

    def _lose(self) -> None:
        """Go silent. What is buffered for a broken pipe goes nowhere, so that the exit stays clean."""
        self.gone = True
        try:
            file = self.console.file.fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, file)
            os.close(nowhere)
        except (OSError, ValueError):
            return
