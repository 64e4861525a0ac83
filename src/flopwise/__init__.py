"""flopwise: spend your FLOPs wisely. Budgeted search over training runs, ending in a confirmed verdict."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flopwise.api import Done as Done
    from flopwise.api import Study as Study
    from flopwise.api import load_run as load_run
    from flopwise.space import Categorical as Categorical
    from flopwise.space import Float as Float
    from flopwise.space import Int as Int

__version__ = "0.1.0"

_LAZY = {
    "Study": "flopwise.api",
    "Done": "flopwise.api",
    "load_run": "flopwise.api",
    "Float": "flopwise.space",
    "Int": "flopwise.space",
    "Categorical": "flopwise.space",
}

__all__ = ["Categorical", "Done", "Float", "Int", "Study", "load_run", "__version__"]


def __getattr__(name: str) -> Any:
    """The door's names are loaded when used, so that ``import flopwise`` stays instant."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'flopwise' has no attribute {name!r}")
