"""A Python function on its way to the processes that call it.

A function that the keeper can import travels as its name; any other (a lambda, a closure, a cell of a
notebook) as a cloudpickle, over the private socket to the keeper and never through a file.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import sys
from collections.abc import Callable
from typing import Any

import cloudpickle

from flopwise.errors import InputError
from flopwise.executors.modules import IMPORT, find
from flopwise.registry import resolve
from flopwise.wire import MAX_FRAME

PICKLE = "pickle:"
MAX_PICKLE = MAX_FRAME // 2
"""Longest encoded function, in bytes; the rest of the frame is for the other fields of ``Hello``."""


def encode_objective(function: Callable[..., Any]) -> str:
    """A function as ``Hello.objective`` carries it.

    Args:
        function: ``f(config, context)`` or ``f(config)``.

    Returns:
        ``import:module:qualname`` or ``pickle:<base64>``.

    Raises:
        InputError: If it is not callable, cannot be pickled, or brings too much data along.
    """
    if not callable(function):
        raise InputError("the objective must be a function", got=f"{function!r} ({type(function).__name__})")
    return _import_name(function) or PICKLE + _pickled(function)


def identify_objective(function: Callable[..., Any]) -> str:
    """What identifies a function from run to run: its import name, or ``source:`` and a hash of its source."""
    name = _import_name(function)
    if name is not None:
        return name
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        return PICKLE + hashlib.sha256(_pickled(function).encode()).hexdigest()
    return "source:" + hashlib.sha256(source.encode()).hexdigest()


def _import_name(function: Callable[..., Any]) -> str | None:
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "<none>")
    if not isinstance(module, str) or module == "__main__" or "<" in name:
        return None
    try:
        same = resolve(f"{module}:{name}") is function
    except (ImportError, AttributeError):
        return None
    return f"{IMPORT}{module}:{name}" if same and _is_findable(module) else None


def _is_findable(module: str) -> bool:
    """Whether another process with our ``sys.path`` would import this very module."""
    spec = find(module)
    known = getattr(sys.modules[module], "__spec__", None)
    return spec is not None and known is not None and spec.origin == known.origin


def _pickled(function: Callable[..., Any]) -> str:
    try:
        text = base64.b64encode(_by_value(function)).decode()
    except Exception as error:
        raise InputError(
            f"the objective cannot be sent to another process: {type(error).__name__}: {error}",
            expected="a function whose globals and captured variables can be pickled",
            fix="open files, locks and connections inside the function, or put it in a module that can be imported",
        ) from error
    if len(text) > MAX_PICKLE:
        raise InputError(
            "the objective brings too much data along",
            expected=f"at most {MAX_PICKLE} bytes when pickled",
            got=f"{len(text)} bytes: large captured variables or globals",
            fix="load the data inside the function, or put the function in a module that can be imported",
        )
    return text


def _by_value(function: Callable[..., Any]) -> bytes:
    """Pickle the code itself where the function's module cannot be imported elsewhere."""
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    lone = module is not None and module.__name__ != "__main__" and not _is_findable(module.__name__)
    if module is None or not lone:
        return bytes(cloudpickle.dumps(function))
    cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps(function))
    finally:
        cloudpickle.unregister_pickle_by_value(module)
