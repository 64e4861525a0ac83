"""From a command's config and values to what the kernel is given: arguments and environment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flopwise.workloads.command.config import CommandConfig, Switch
from flopwise.workloads.command.interpreters import is_code
from flopwise.workloads.command.placeholders import Filling, Hole, Refused, holes, parse, render
from flopwise.workloads.command.shell import script

SHELL = "/bin/sh"

LONGEST_COMMAND = 256 * 1024
"""Bytes of all arguments together."""

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
DECIDES = re.compile(
    r"PATH|LD_.*|DYLD_.*|PYTHON.*|FLOPWISE.*|BASH_ENV|BASH_FUNC_.*|ENV|IFS|SHELLOPTS|BASHOPTS|GCONV_PATH|GLIBC_TUNABLES"
    r"|PERL5.*|RUBYOPT|RUBYLIB|NODE_OPTIONS|NODE_PATH|JAVA_TOOL_OPTIONS|_JAVA_OPTIONS|R_PROFILE.*|R_ENVIRON.*"
)
"""Variables that decide what code runs."""
THREAD_POOLS = re.compile(r"(OMP|MKL|OPENBLAS|NUMEXPR)_NUM_THREADS|VECLIB_MAXIMUM_THREADS")
SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL")


@dataclass(frozen=True)
class Part:
    """One text of a config that may hold placeholders.

    Args:
        key: Where it stands: ``argv.3``, ``argv.4.add.0``, ``env.LR``.
        text: As the study file has it.
    """

    key: str
    text: str


def parts(config: CommandConfig) -> Iterator[Part]:
    """Every text with placeholders, whether a switch picks it or not."""
    for index, argument in enumerate(config.argv):
        if isinstance(argument, Switch):
            yield from (Part(f"argv.{index}.add.{i}", text) for i, text in enumerate(argument.add))
            yield from (Part(f"argv.{index}.otherwise.{i}", text) for i, text in enumerate(argument.otherwise))
        else:
            yield Part(f"argv.{index}", argument)
    yield from (Part(f"env.{name}", text) for name, text in config.env.items())


def arguments(config: CommandConfig, fillings: Mapping[str, Filling]) -> list[str]:
    """Program and arguments.

    Args:
        config: Whose templates can be parsed and name known placeholders only.
        fillings: Text of every placeholder.

    Raises:
        Refused: If a value may not stand where it would.
    """
    if config.shell:
        (text,) = (argument for argument in config.argv if isinstance(argument, str))
        done = [SHELL, "-c", script(parse(text), fillings)]
    else:
        done = _listed(_chosen(config, fillings), fillings)
    length = sum(len(argument.encode()) + 1 for argument in done)
    if length > LONGEST_COMMAND:
        problem = f"all arguments together are {length} bytes long, at most {LONGEST_COMMAND}"
        raise Refused("", f"{problem}; let the program read {{config_file}}")
    return done


def variables(config: CommandConfig, fillings: Mapping[str, Filling]) -> dict[str, str]:
    """The config's own environment variables; a text in them can be no option and no code."""
    return {name: render(parse(text), fillings, after_dashes=True) for name, text in config.env.items()}


def unfit_variable(name: str) -> str | None:
    """Why a name may not stand in ``env``; None when it may."""
    if not VARIABLE.fullmatch(name):
        return "expected the name of an environment variable: letters, digits and '_', not a digit first"
    if DECIDES.fullmatch(name):
        return f"{name} decides what code runs and cannot be set here; set it in a script that starts the program"
    if THREAD_POOLS.fullmatch(name):
        return f"{name} follows execution.threads; set that instead"
    if SECRET.search(name):
        return "looks like a secret, and what stands here is recorded; name it in execution.pass_env instead"
    return None


def _chosen(config: CommandConfig, fillings: Mapping[str, Filling]) -> Iterator[str]:
    """The argument templates, switches resolved."""
    for argument in config.argv:
        if isinstance(argument, str):
            yield argument
        else:
            yield from argument.add if fillings[argument.when].text == "true" else argument.otherwise


def _listed(texts: Iterator[str], fillings: Mapping[str, Filling]) -> list[str]:
    done: list[str] = []
    originals: list[str] = []
    for text in texts:
        template = parse(text)
        _refuse_code(template_words(originals), text, fillings)
        done.append(render(template, fillings, after_dashes="--" in originals[1:]))
        originals.append(text)
    return done


def template_words(texts: list[str]) -> list[str]:
    """Arguments as written, for finding out which one an interpreter runs."""
    return [text if text == "{python}" else text.replace("{{", "{").replace("}}", "}") for text in texts]


def _refuse_code(before: list[str], text: str, fillings: Mapping[str, Filling]) -> None:
    """No text becomes code of an interpreter that the arguments call."""
    named = [name for name in holes(text) if not fillings[name].is_plain]
    if not named:
        return
    first = next(piece for piece in parse(text))
    prefix = "" if isinstance(first, Hole) else first
    if is_code(before, prefix):
        raise Refused(
            named[0],
            f"would become code that {before[0]} runs; "
            "give it as an argument after the code, or use `shell: true`, which quotes it",
        )
