"""The study's function, as it arrives in the processes that call it."""

from __future__ import annotations

import base64
import functools
import pickle
from collections.abc import Callable
from typing import Any

from flopwise.errors import WorkloadError
from flopwise.registry import resolve


@functools.cache
def decode(text: str) -> Callable[..., Any]:
    """The function that ``Hello.objective`` names or carries.

    It came over the private socket from the process that holds the study; nothing else is unpickled.

    Args:
        text: ``import:module:qualname`` or ``pickle:<base64>``.

    Raises:
        WorkloadError: If it is neither.
    """
    form, _, rest = text.partition(":")
    if form == "import":
        found = resolve(rest)
    elif form == "pickle":
        found = pickle.loads(base64.b64decode(rest))
    else:
        raise WorkloadError(f"no objective in {text[:40]!r}", expected="import:module:qualname or pickle:<base64>")
    return found  # type: ignore[no-any-return]
