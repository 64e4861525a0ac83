"""Every error flopwise raises on purpose.

    FlopwiseError                 exit code 4
    ├── InputError                exit code 2: the user can mend it; nothing was written
    │   ├── StudyError            problems in a study file, all of them at once
    │   ├── SpaceError            a search space or a config that does not fit it
    │   ├── ExpressionError       an expression that cannot be read, or has no value for a config
    │   └── RunError              a run folder that is missing, foreign, finished or held by another process
    │       └── StillPaused       exit code 3: its pause has to be accepted, or something changed, before it goes on
    ├── JournalError              exit code 4
    │   └── JournalDamaged        a record that is not what was written
    ├── ExecutorError             slots or keeper could not be set up
    │   └── MachineBusy           other studies hold the cores or accelerators asked for; nothing was written
    └── WorkloadError             raised in the worker: the attempt cannot run as configured
        ├── NonFinite             a loss or gradient is not a finite number: the attempt's outcome is nan
        └── ProgramFailed         the study's own program failed; what it printed says why
            ├── ProgramKilled     a signal ended it: the attempt's outcome is killed
            └── ProgramOutOfMemory    it said so: the attempt's outcome is oom

An error says what was expected, what came, where, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class FlopwiseError(Exception):
    """Root of the tree.

    Args:
        problem: What is wrong, one sentence.
        expected: What would have been right.
        got: What came instead.
        where: File and line, key, folder or offset.
        fix: What to do now.
    """

    exit_code = 4

    def __init__(
        self,
        problem: str,
        *,
        expected: str | None = None,
        got: str | None = None,
        where: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.problem = problem
        self.expected = expected
        self.got = got
        self.where = where
        self.fix = fix
        super().__init__(str(self))

    def __str__(self) -> str:
        parts = [self.problem]
        for label, text in (
            ("expected", self.expected),
            ("got", self.got),
            ("where", self.where),
            ("fix", self.fix),
        ):
            if text:
                parts.append(f"  {label}: {text}")
        return "\n".join(parts)


class InputError(FlopwiseError):
    """Something the user gave cannot be used."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One mistake in a study file.

    Args:
        key: Dotted key, for example ``space.train.lr.low``.
        message: What is wrong, with the nearest valid name where there is one.
        where: ``file:line``, or an empty string when the study came from Python.
    """

    key: str
    message: str
    where: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.key}: {self.message}"


class StudyError(InputError):
    """A study that cannot run; ``problems`` lists every mistake found.

    Args:
        problems: All mistakes, in file order.
        source: The file, or ``study`` when it came from Python.
    """

    def __init__(self, problems: Sequence[Problem], source: str = "study") -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        noun = "problem" if count == 1 else "problems"
        lines = "\n".join(f"  {p}" for p in self.problems)
        super().__init__(f"{source}: {count} {noun}\n{lines}")


class SpaceError(InputError):
    """A search space, or a config for it, that makes no sense."""


class ExpressionError(InputError):
    """An expression that cannot be read, or that has no value for a config.

    Args:
        message: What is wrong, one sentence.
        text: The whole expression.
        position: Where in it, from 1.
    """

    def __init__(self, message: str, text: str, position: int) -> None:
        self.message = message
        self.position = position
        start = max(0, min(position - 30, len(text) - 80))
        shown = ("…" if start else "") + text[start : start + 80] + ("…" if start + 80 < len(text) else "")
        super().__init__(f"{message}, at character {position} of {shown!r}")


class RunError(InputError):
    """A run folder that cannot be used for what was asked."""


class StillPaused(RunError):
    """A paused run that nobody has answered."""

    exit_code = 3


class JournalError(FlopwiseError):
    """The journal cannot be read or written."""


class JournalDamaged(JournalError):
    """A record other than an unterminated last one does not match its checksum."""


class ExecutorError(FlopwiseError):
    """The machine cannot give what the study's execution section asks for."""


class MachineBusy(ExecutorError):
    """Other studies hold what the study's execution section asks for, for longer than it may wait."""


class WorkloadError(FlopwiseError):
    """An attempt cannot run as configured."""


class NonFinite(WorkloadError):
    """A loss or a gradient is not a finite number; the attempt's outcome is ``nan``."""


class ProgramFailed(WorkloadError):
    """The study's own program failed: the attempt's outcome is ``error``, and flopwise's own traceback says nothing."""


class ProgramKilled(ProgramFailed):
    """A signal from outside ended the study's own program; the attempt's outcome is ``killed``."""


class ProgramOutOfMemory(ProgramFailed):
    """The study's own program said that it ran out of memory; the attempt's outcome is ``oom``."""
