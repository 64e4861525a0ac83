"""What the keeper does once before the first fork, so that no attempt has to do it again."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from flopwise.executors import linux
from flopwise.executors.environment import missing
from flopwise.registry import resolve
from flopwise.wire import Hello

BEFORE_FORK = "flopwise.worker.entry:before_fork"


def preload(hello: Hello) -> list[str]:
    """Import what attempts need, run the warm step, and make this process cheap to fork.

    Nothing here is fatal: an attempt that really needs what failed will fail with its own error.

    Args:
        hello: Modules, warm step, objective.

    Returns:
        What did not work, for people.
    """
    gc.disable()  # imports leave little garbage, and looking for it takes a tenth of their time
    sys.path[:] = [str(Path(hello.folder) / path) for path in hello.sys_path] or sys.path
    absent = missing(os.environ, hello.pass_env)
    problems = [f"environment variable {name} (execution.pass_env) is not set" for name in absent]
    for name in hello.preload:
        problems += _attempt(f"module {name}", importlib.import_module, name)
    problems += _attempt("objective", resolve(BEFORE_FORK), hello.objective)
    if hello.warm is not None:
        problems += _attempt(f"warm step {hello.warm}", _call, hello.warm)
    problems += _dangers()
    _settle()
    return problems


def _call(target: str) -> None:
    resolve(target)()


def _attempt(what: str, function: Callable[..., Any], *args: Any) -> list[str]:
    try:
        function(*args)
    except (Exception, SystemExit) as error:
        return [f"{what}: {type(error).__name__}: {error}"]
    return []


def _dangers() -> Iterator[str]:
    """States of a process that its forks do not survive."""
    if linux.threads() > 1:
        yield f"preloading left {linux.threads()} threads running; a lock that one holds hangs an attempt"
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is not None and cuda.is_initialized():
        yield "preloading initialised CUDA, which no attempt can use now; move that out of module level"


def _settle() -> None:
    """Leave as little as possible to be copied at a fork or at a child's first writes."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        stream.flush()
    gc.collect()
    gc.freeze()
    gc.enable()
    linux.collapse_heap()
