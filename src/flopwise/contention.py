"""When an attempt shared its slot with somebody: then its wall-clock figures say little about its config."""

from __future__ import annotations

CONTENDED_ABOVE = 0.1
"""Share of an attempt's wall time, over its slot's cores, that others may take before its times are marked."""


MOST_CONTENDED = 2
"""So often an attempt is repeated whose time is what the study is about, and whose slot was used by others."""


def is_contended(share: float | None) -> bool:
    """Whether times measured under such contention are to be marked.

    Args:
        share: Of the slot's time that others took; None when the system did not say.

    Example:
        >>> is_contended(0.02), is_contended(0.3), is_contended(None)
        (False, True, False)
    """
    return share is not None and share > CONTENDED_ABOVE
