"""Every random stream of a study, derived from (study seed, purpose, numbers).

Counter-based: the same arguments give the same seed on every machine and Python version, and no
stream depends on how often another one was used. That is what makes a resumed study propose exactly
what the undisturbed one would have proposed.
"""

from __future__ import annotations

import hashlib
import random


def derive(study_seed: int, purpose: str, *numbers: int) -> int:
    """A 32-bit seed for one purpose.

    Args:
        study_seed: The study's ``search.seed``.
        purpose: What the stream is for, for example ``"random"`` or ``"confirm"``.
        *numbers: Counters within the purpose (trial number, seed index, …).

    Returns:
        An int in [0, 2**32), fit for ``numpy``, ``torch`` and ``random``.

    Example:
        >>> derive(0, "doc", 1) == derive(0, "doc", 1) != derive(0, "doc", 2)
        True
    """
    text = ":".join([str(study_seed), purpose, *(str(n) for n in numbers)])
    digest = hashlib.blake2b(text.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")


def stream(study_seed: int, purpose: str, *numbers: int) -> random.Random:
    """A fresh generator seeded by :func:`derive`."""
    return random.Random(derive(study_seed, purpose, *numbers))
