"""What there is to see of a run, from Python: its verdict, its best trial, its trials as a table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flopwise.engine.request import Finish
from flopwise.errors import RunError
from flopwise.paths import RunFolder, find_run
from flopwise.report.frame import trials_frame
from flopwise.report.read import read_run
from flopwise.report.summary import summarise
from flopwise.report.tables import closing_text
from flopwise.report.view import View


@dataclass(frozen=True)
class Done:
    """How a study ended, or where it stands.

    ``print(done)`` shows what the command line shows at the end of a session.

    Args:
        reason: finished, planned, declined, paused, interrupted or failed; of a run that was loaded also running.
        folder: The run folder, with report.md and report.json.
        summary: report.json as a dict.
        detail: One line on the reason.
    """

    reason: str
    folder: Path
    summary: dict[str, Any] = field(repr=False)
    detail: str = ""

    @property
    def verdict(self) -> str | None:
        """GO, NO-GO, INCONCLUSIVE, or None before the end."""
        verdict = self.summary["verdict"]
        return None if verdict is None else str(verdict["verdict"])

    @property
    def trials(self) -> list[dict[str, Any]]:
        """Every trial: number, phase, config, value, outcome, seconds."""
        return list(self.summary["trials"])

    @property
    def best(self) -> dict[str, Any] | None:
        """The confirmed winner where there is a verdict, else the best trial of the search so far.

        Values before confirmation are those the search saw, and as optimistic as every best of many.
        """
        if self.summary["winner"] is not None:
            return dict(self.summary["winner"])
        sign = -1.0 if self.summary["objective"]["direction"] == "maximize" else 1.0
        finished = [t for t in self.trials if t["phase"] == "search" and t["value"] is not None]
        return min(finished, key=lambda trial: (sign * trial["value"], trial["number"]), default=None)

    def trials_dataframe(self) -> Any:
        """Every trial as a row of a pandas DataFrame; see :func:`flopwise.report.frame.trials_frame` for its columns.

        Raises:
            InputError: If pandas is not installed.
        """
        return trials_frame(read_run(RunFolder(self.folder)))

    def __str__(self) -> str:
        return closing_text(self.summary, self.reason, self.detail, self.folder)


class HasDone(ABC):
    """Something with a run: what can be seen of it can be seen here too."""

    @property
    @abstractmethod
    def done(self) -> Done:
        """How the run ended, or where it stands now."""

    @property
    def verdict(self) -> str | None:
        """GO, NO-GO, INCONCLUSIVE, or None before the end."""
        return self.done.verdict

    @property
    def best(self) -> dict[str, Any] | None:
        """The confirmed winner where there is a verdict, else the best trial of the search so far."""
        return self.done.best

    @property
    def trials(self) -> list[dict[str, Any]]:
        """Every trial: number, phase, config, value, outcome, seconds."""
        return self.done.trials

    def trials_dataframe(self) -> Any:
        """Every trial as a row of a pandas DataFrame.

        Raises:
            InputError: If pandas is not installed.
        """
        return self.done.trials_dataframe()


def load_run(run: str | Path, runs: str | Path = "runs") -> Done:
    """A run as it stands: finished, or in the hands of another process right now. Nothing is changed.

    Args:
        run: A run folder, or a name under ``runs``.
        runs: Folder that holds the runs.

    Raises:
        RunError: If there is no such run.
        JournalDamaged: If its journal is not what was written.
    """
    folder = find_run(str(run), Path(runs))
    summary = summarise(read_run(folder))
    return Done(summary["state"], folder.root, summary, summary["detail"])


def conclude(finish: Finish, view: View) -> Done:
    """A session's end as Python sees it, after telling the user what came of it.

    Raises:
        RunError: If the search was not spent, because its budget tells no candidates apart.
    """
    if finish.reason == "refused":
        raise RunError(finish.detail, fix="set what the plan recommends, or run it with anyway=True all the same")
    done = Done(finish.reason, finish.folder, finish.summary, str(finish.detail))
    if done.verdict is not None:
        view.message(str(done))
    elif done.reason != "planned":
        detail = f" ({done.detail})" if done.detail else ""
        again = "" if done.reason == "failed" else "; run it again to go on"
        view.message(f"{done.reason}{detail}{again}")
    return done
