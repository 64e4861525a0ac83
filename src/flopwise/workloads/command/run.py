"""What a worker process does for a command: tell the program everything, start it, listen, and read its result."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from flopwise.errors import ProgramFailed
from flopwise.workloads.command.arguments import arguments, parts, variables
from flopwise.workloads.command.config import CONFIG_FILE, CommandConfig
from flopwise.workloads.command.placeholders import Filling, Refused, filling, holes, parameters
from flopwise.workloads.command.process import Program
from flopwise.workloads.command.program import CommandContext, working_directory
from flopwise.workloads.command.result import final_metrics, require_success
from flopwise.workloads.command.rows import Rows

NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
LONGEST_NOTE = 2000
"""Characters of the command line that the summary keeps."""


def run(config: Mapping[str, Any], context: CommandContext) -> dict[str, Any]:
    """Run the program once.

    Args:
        config: The command's whole config.
        context: Of the attempt; its ``data`` is the pin from :func:`~flopwise.workloads.command.program.prepare`.

    Returns:
        Its final metrics, and whatever else its result held.

    Raises:
        ProgramFailed: If it cannot be started, fails, writes what cannot be read, or gives no result.
    """
    whole = CommandConfig.model_validate(config)
    started_in = Path(context.data["started_in"])
    folder = working_directory(whole, started_in, context.folder)
    told = _told(whole, context)
    _write_config(whole, context, told)
    command, environment = _command(whole, context, told)
    context.note(command=shlex.join(command)[:LONGEST_NOTE])
    rows = Rows(context.report, context.metric)
    with _output(context.folder) as output:
        program = Program(command, environment, folder, output, context.folder / whole.metrics_file, rows)
        with contextlib.closing(program):
            status = program.follow(context.should_stop)
    if not context.reached_target:
        require_success(status, context.folder)
    if context.should_stop():
        return {**rows.last, **rows.result}
    return final_metrics(whole, rows, context.metric, context.folder)


def _told(config: CommandConfig, context: CommandContext) -> dict[str, str]:
    """What every program is told beside its parameters, under the names of the built-in placeholders."""
    stop = context.fidelity
    told = {
        "python": sys.executable,
        "seed": str(context.seed),
        "threads": str(context.threads),
        "folder": str(context.folder),
        "config_file": str(context.folder / CONFIG_FILE),
        "result_file": str(context.folder / config.result_file),
        "metrics_file": str(context.folder / config.metrics_file),
        "started_in": str(context.data["started_in"]),
    }
    return told if stop.unit is None else {**told, "stop": json.dumps(_amount(stop.amount))}


def _amount(amount: float) -> float | int:
    """``2000000``, not ``2000000.0``."""
    return int(amount) if float(amount).is_integer() and amount < 1 << 63 else amount


def _write_config(config: CommandConfig, context: CommandContext, told: Mapping[str, str]) -> None:
    """Everything that the arguments may say, for a program that reads a file."""
    stop = context.fidelity
    content = {
        "params": config.params,
        "seed": context.seed,
        "threads": context.threads,
        "stop": {} if stop.unit is None else {stop.unit: _amount(stop.amount)},
        "metric": context.metric,
        "folder": told["folder"],
        "result_file": told["result_file"],
        "metrics_file": told["metrics_file"],
    }
    for name in (config.result_file, config.metrics_file):
        (context.folder / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    (context.folder / CONFIG_FILE).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def _command(
    config: CommandConfig, context: CommandContext, told: Mapping[str, str]
) -> tuple[list[str], dict[bytes, bytes]]:
    """Arguments with the pinned program first, and the whole environment.

    Raises:
        ProgramFailed: If a value may not stand where it would.
    """
    named = {name for part in parts(config) for name in holes(part.text)}
    fillings = {name: Filling(text, name in ("seed", "threads", "stop")) for name, text in told.items()}
    try:
        for name, value in parameters(config.params):
            if name in named or isinstance(value, bool):
                fillings[name] = filling(name, value)
        command = arguments(config, fillings)
        own = variables(config, fillings)
    except Refused as refused:
        raise ProgramFailed(
            f"the parameter {refused.name} cannot be given to the program: it {refused.message}",
            where=f"params.{refused.name}",
        ) from refused
    added = {**own, **_announced(told, context)}
    environment = {
        **os.environb,
        **{name.encode(): text.encode("utf-8", "surrogateescape") for name, text in added.items()},
    }
    return [str(context.data["program"]), *command[1:]], environment


def _announced(told: Mapping[str, str], context: CommandContext) -> dict[str, str]:
    """The variables that a program may read whatever its arguments say."""
    names = {
        "FLOPWISE_SEED": "seed",
        "FLOPWISE_THREADS": "threads",
        "FLOPWISE_STOP": "stop",
        "FLOPWISE_FOLDER": "folder",
        "FLOPWISE_CONFIG": "config_file",
        "FLOPWISE_RESULT": "result_file",
        "FLOPWISE_METRICS": "metrics_file",
    }
    unit = {} if context.fidelity.unit is None else {"FLOPWISE_STOP_UNIT": context.fidelity.unit}
    return {variable: told[name] for variable, name in names.items() if name in told} | unit


@contextlib.contextmanager
def _output(folder: Path) -> Iterator[tuple[IO[bytes] | int, IO[bytes] | int]]:
    """The program's stdout and stderr: the attempt's files, which this process may be writing to already."""
    with contextlib.ExitStack() as stack:
        sys.stdout.flush()
        sys.stderr.flush()
        yield _stream(folder / "stdout", 1, stack), _stream(folder / "stderr", 2, stack)


def _stream(path: Path, own: int, stack: contextlib.ExitStack) -> IO[bytes] | int:
    """Our own descriptor where it is that file (they share a position then), else the file, opened to append."""
    if path.exists() and os.path.samestat(os.fstat(own), path.stat()):
        return own
    return stack.enter_context(os.fdopen(os.open(path, NEW_FILE, 0o600), "ab"))
