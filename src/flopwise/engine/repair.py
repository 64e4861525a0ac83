"""Having back a run whose journal is damaged: as much of it as holds, in a run folder of its own."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flopwise.engine.verify import Difference, verify
from flopwise.journal.repair import examine, new_run, write_later
from flopwise.journal.salvage import Kept, Salvage
from flopwise.paths import RunFolder


@dataclass(frozen=True)
class Repaired:
    """What became of a damaged run.

    Args:
        found: Which of its records could be had back.
        target: The new run.
        records: How many of them the new run has.
        later: File with the intact records that it does not have; None when there are none.
        differences: What ``verify`` still finds in the new run.
    """

    found: Salvage
    target: RunFolder
    records: int
    later: Path | None
    differences: Sequence[Difference]


def repair(folder: RunFolder) -> Repaired | None:
    """Write a damaged run anew beside itself; None when its journal is not damaged.

    The new run has all records that are left where it holds without the others, else those before the first loss.

    Args:
        folder: The damaged run; it is only read, and no code of its study is loaded.

    Raises:
        RunError: If somebody works on it.
        JournalError: If its first record is lost, or the journal cannot be read.
        OSError: If the new run cannot be written.
    """
    found = examine(folder)
    if found is None:
        return None
    whole = _written(folder, found, found.kept, None)
    later = found.kept[len(found.before_loss) :]
    if not later or not whole.differences:
        return whole
    shutil.rmtree(whole.target.root)
    return _written(folder, found, found.before_loss, write_later(folder, later))


def _written(folder: RunFolder, found: Salvage, records: Sequence[Kept], later: Path | None) -> Repaired:
    target = new_run(folder, records)
    return Repaired(found, target, len(records), later, verify(target))
