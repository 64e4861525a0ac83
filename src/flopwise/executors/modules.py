"""Where Python would find a module, without importing anything."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

IMPORT = "import:"
"""Begins an objective that another process can import: ``import:module:qualname``."""


def find(module: str) -> ModuleSpec | None:
    """What another process with our ``sys.path`` would import; None when it would find nothing."""
    path = None
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        spec = _find(".".join(parts[:count]), path)
        if spec is None:
            return None
        path = spec.submodule_search_locations
    return spec


def source_of(objective: str) -> Path | None:
    """The file that holds an importable objective; None when it is found nowhere, or has no file.

    Args:
        objective: ``import:module:qualname``.
    """
    spec = find(objective.removeprefix(IMPORT).partition(":")[0])
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def _find(name: str, path: list[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path)
        if spec is not None:
            return spec
    return None
