"""The last screen of a session, and its exit code."""

from __future__ import annotations

import json
import sys

import typer

from flopwise.engine.request import Finish
from flopwise.errors import RunError
from flopwise.report.tables import closing_text

EXIT_CODES = {
    "finished": 0,
    "planned": 0,
    "declined": 0,
    "refused": 2,
    "paused": 3,
    "failed": 4,
    "stopped": 5,
    "interrupted": 130,
}
"""2 is bad input: nothing was written."""


def finish(done: Finish, *, as_json: bool = False) -> int:
    """Print how the session ended; return the exit code."""
    if as_json:
        typer.echo(json.dumps(done.summary.get("plan"), indent=2))
    else:
        typer.echo(closing_text(done.summary, done.reason, done.detail, done.folder))
    if done.reason == "refused":
        print(f"error: {refused(done)}", file=sys.stderr)
    return EXIT_CODES[done.reason]


def refused(done: Finish) -> RunError:
    """What to do where the search was not spent."""
    return RunError(
        done.detail,
        fix=f"set what the plan recommends, or spend it all the same: `flopwise resume {done.folder.name} --anyway`",
    )
