"""The keys of a workload's config: which there are, and what to say about one that is not among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flopwise.errors import Problem
from flopwise.study.explain import nearest


def leaves(nested: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted keys of everything in a nested config that is not itself a section."""
    for name, value in nested.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def misnamed(place: str, key: str, known: Sequence[str], owner: str) -> list[Problem]:
    """The problem with a key that is not among the known ones; empty when it is.

    Args:
        place: Where the key stands in the study file.
        key: The key.
        known: All keys there are.
        owner: Whose keys they are, for the message.
    """
    if key in known:
        return []
    inside = [leaf for leaf in known if leaf.startswith(f"{key}.")]
    if inside:
        return [Problem(place, f"this is a section; name one of its keys: {', '.join(inside)}")]
    near = nearest(key, known)
    section = [leaf for leaf in known if leaf.rpartition(".")[0] == key.rpartition(".")[0]] or known
    listed = f"{owner} has no such key; expected one of {', '.join(section)}"
    return [Problem(place, f"{listed}; did you mean {near!r}?" if near else listed)]
