"""A command as the coordinator sees it: its config, and every mistake in it that needs no process. No torch here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flopwise.errors import Problem
from flopwise.registry import did_you_mean
from flopwise.trial import Fidelity
from flopwise.workloads.command.arguments import arguments, parts, unfit_variable, variables
from flopwise.workloads.command.config import CommandConfig, Switch
from flopwise.workloads.command.placeholders import (
    BUILT_IN,
    NAME,
    Filling,
    Refused,
    TemplateError,
    filling,
    holes,
    parameters,
)

__all__ = ["SPEC", "CommandConfig", "CommandSpec"]

_ROOM = "flopwise.workloads.command"
IN_PROGRAM = ("python", "started_in")
"""Placeholders that the program's own name may hold: none of them is a value of the study."""

MOST_PARAMETERS = 1000
LARGEST_PARAMS = 1 << 20
"""Bytes of all parameters together, as JSON."""
SAMPLES = {name: Filling("/sample", is_plain=False) for name in BUILT_IN} | {
    name: Filling("1", is_plain=True) for name in ("seed", "threads", "stop")
}
"""Stand for what only the attempt knows."""


@dataclass(frozen=True)
class CommandSpec:
    """See :class:`flopwise.workload.WorkloadSpec`."""

    name: str = "command"
    config_model: Any = CommandConfig
    entry: str = f"{_ROOM}.run:run"
    prepare: str | None = f"{_ROOM}.program:prepare"
    prepared: tuple[str, ...] = ("argv", "shell", "working_directory", "depends_on")
    preload: tuple[str, ...] = (f"{_ROOM}.run",)
    warm: str | None = None
    metrics: tuple[str, ...] = ()
    needs_stop: bool = False
    validates: tuple[str, ...] | None = None
    checkpoints: tuple[str, str] | None = None

    def check(self, config: Mapping[str, Any], stop: Fidelity) -> list[Problem]:
        """Everything that keeps this command from running as it is written; empty when nothing does."""
        whole = CommandConfig.model_validate(config)
        problems = [*_names(whole), *_templates(whole, stop), *_switches(whole), *_form(whole)]
        return problems or [*_unreached(whole, stop), *_values(whole)]

    def uses_accelerator(self, config: Mapping[str, Any]) -> bool:
        """Only the program knows."""
        return True

    def steps(self, config: Mapping[str, Any], stop: Fidelity) -> int | None:
        """Only the program knows; ``stop`` is passed on to it."""
        return None

    def flops(self, config: Mapping[str, Any], stop: Fidelity) -> float | None:
        """Known when the study says so itself."""
        return stop.amount if stop.unit == "flops" else None


def _names(config: CommandConfig) -> Iterator[Problem]:
    """Parameters and variables that cannot be called so."""
    found = list(parameters(config.params))
    if len(found) > MOST_PARAMETERS:
        yield Problem("params", f"expected at most {MOST_PARAMETERS} parameters, got {len(found)}")
    for name, _ in found:
        if not NAME.fullmatch(name):
            wanted = "expected 1 to 64 letters, digits, '_', '.' or '-', the first a letter or '_'"
            yield Problem(f"params.{name}", f"{wanted}, got {name!r:.80}")
        elif name in BUILT_IN:
            yield Problem(f"params.{name}", f"{{{name}}} is flopwise's own placeholder; call the parameter otherwise")
    size = len(json.dumps(config.params))
    if size > LARGEST_PARAMS:
        yield Problem("params", f"expected at most {LARGEST_PARAMS} bytes as JSON, got {size}; put it in a file")
    yield from _dotted(config.params, "params")
    for name in config.env:
        complaint = unfit_variable(name)
        if complaint:
            yield Problem(f"env.{name}", complaint)


def _dotted(params: Mapping[str, Any], inside: str) -> Iterator[Problem]:
    """A dot in a key would make two ways to spell one name."""
    for name, value in params.items():
        if "." in name:
            first, _, rest = name.partition(".")
            yield Problem(f"{inside}.{name}", f"write a section: {first}: {{{rest}: …}}")
        elif isinstance(value, Mapping):
            yield from _dotted(value, f"{inside}.{name}")


def _templates(config: CommandConfig, stop: Fidelity) -> Iterator[Problem]:
    """Texts that cannot be parsed, and placeholders that name nothing."""
    known = [name for name, _ in parameters(config.params)]
    for part in parts(config):
        try:
            named = holes(part.text)
        except TemplateError as error:
            yield Problem(part.key, str(error))
            continue
        complaints = (_unknown(name, known, stop) for name in dict.fromkeys(named))
        yield from (Problem(part.key, complaint) for complaint in complaints if complaint)


def _unknown(name: str, known: list[str], stop: Fidelity) -> str | None:
    """What is wrong with a placeholder; None when it has a value."""
    if name == "stop" and stop.unit is None:
        return "{stop} has no value: the study has no evaluation.stop"
    if name in known or name in BUILT_IN:
        return None
    inside = [other for other in known if other.startswith(f"{name}.")]
    if inside:
        return f"{{{name}}} is a section of params; name one of its keys: {', '.join(inside)}"
    if name.startswith("params.") and name.removeprefix("params.") in known:
        return f"{{{name}}} names nothing; did you mean {{{name.removeprefix('params.')}}}?"
    hint = did_you_mean(name, [*known, *BUILT_IN])
    listed = f"{{{name}}} names nothing; expected one of {', '.join([*known, *BUILT_IN])}"
    return f"{listed}; {hint}" if hint else listed


def _switches(config: CommandConfig) -> Iterator[Problem]:
    known = dict(parameters(config.params))
    for index, argument in enumerate(config.argv):
        if isinstance(argument, Switch) and not isinstance(known.get(argument.when), bool):
            switches = [name for name, value in known.items() if isinstance(value, bool)]
            listed = f"expected a parameter that is true or false ({', '.join(switches) or 'params has none'})"
            yield Problem(f"argv.{index}.when", f"{listed}, got {argument.when!r:.60}")


def _form(config: CommandConfig) -> Iterator[Problem]:
    """Settings that do not go together."""
    first = config.argv[0]
    if config.shell and (len(config.argv) != 1 or not isinstance(first, str)):
        yield Problem("argv", f"with `shell: true` expected one text, the script, got {len(config.argv)} arguments")
    elif not isinstance(first, str) or not first:
        yield Problem("argv.0", f"expected the program's name, got {first!r:.60}")
    elif not config.shell:
        yield from _program(first)
    for part in parts(config):
        if "\0" in part.text:
            yield Problem(part.key, "holds a NUL character, which no argument can hold")
    yield from _patterns(config)
    if bool(config.stdout_regex) != (config.metrics_from == "stdout"):
        yield Problem("stdout_regex", "goes together with `metrics_from: stdout`, and only with it")
    if config.result_file == config.metrics_file:
        yield Problem("metrics_file", "is the result_file too; they are read differently")


def _patterns(config: CommandConfig) -> Iterator[Problem]:
    for name, pattern in config.stdout_regex.items():
        key = f"stdout_regex.{name}"
        try:
            groups = re.compile(pattern, re.MULTILINE).groups
        except re.error as error:
            yield Problem(key, f"not a regular expression: {error}; got {pattern!r:.60}")
            continue
        if groups != 1:
            yield Problem(key, f"expected exactly one group (…), around the number, got {groups} in {pattern!r:.60}")


def _program(text: str) -> Iterator[Problem]:
    try:
        strange = [name for name in holes(text) if name not in IN_PROGRAM]
    except TemplateError:
        return
    if strange:
        yield Problem("argv.0", f"{{{strange[0]}}} would name the program to run; a value of the study never does")


def _unreached(config: CommandConfig, stop: Fidelity) -> Iterator[Problem]:
    """What the study sets and no argument tells the program: searching it would be searching nothing."""
    named = {name for part in parts(config) for name in holes(part.text)}
    named |= {argument.when for argument in config.argv if isinstance(argument, Switch)}
    if config.reads_flopwise or "config_file" in named:
        return
    way_out = "or `reads_flopwise: true` if the program reads $FLOPWISE_"
    for name, _ in parameters(config.params):
        if name not in named:
            yield Problem(
                f"params.{name}",
                f"never reaches the program; write {{{name}}} (or {{config_file}}) in argv, {way_out}CONFIG itself",
            )
    if stop.unit is not None and "stop" not in named:
        yield Problem(
            "evaluation.stop", f"never reaches the program; write {{stop}} in argv, {way_out}STOP itself, or drop it"
        )


def _values(config: CommandConfig) -> Iterator[Problem]:
    """Values that may not stand where they would, each named once."""
    fillings = dict(SAMPLES)
    named = {name for part in parts(config) for name in holes(part.text)}
    for name, value in parameters(config.params):
        try:
            fillings[name] = filling(name, value)
        except Refused as refused:
            fillings[name] = Filling("0", is_plain=True)
            if name in named or "\0" in str(value):
                yield Problem(f"params.{name}", refused.message)
    for _ in range(len(fillings)):
        try:
            arguments(config, fillings)
            variables(config, fillings)
            return
        except Refused as refused:
            inside = refused.name and refused.name not in BUILT_IN
            yield Problem(f"params.{refused.name}" if inside else "argv", _about(refused))
            if not refused.name:
                return
            fillings[refused.name] = Filling("0", is_plain=True)


def _about(refused: Refused) -> str:
    return f"{{{refused.name}}}: {refused.message}" if refused.name in BUILT_IN else refused.message


SPEC = CommandSpec()
