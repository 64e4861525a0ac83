"""The command line: one short file per verb, listed in ``verbs`` and wired together here.

Exit codes: 0 done, 2 bad input (or a search that needs --anyway), 3 paused, 4 failed, 5 stopped, 130 interrupted.
"""

from __future__ import annotations

import sys

import typer

from flopwise import __version__
from flopwise.cli.verbs import Verbs
from flopwise.errors import FlopwiseError

app = typer.Typer(
    name="flopwise",
    cls=Verbs,
    help="Spend your FLOPs wisely: priced, isolated, resumable search over training runs, ending in a verdict.",
    epilog="Exit codes: 0 done · 2 bad input, nothing written · 3 paused by a policy · 4 failed · "
    "5 stopped by a policy or a limit before its confirmation · 130 interrupted. See docs/guard.md.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"flopwise {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Root of the command line; the verbs do the work."""


def main() -> None:
    """Entry point: runs a verb, prints flopwise's own errors without a traceback."""
    try:
        app()
    except FlopwiseError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
