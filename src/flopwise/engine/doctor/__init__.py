"""``flopwise doctor``: what this machine gives a study, and what would hinder one, without running any."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from flopwise.engine.doctor.finding import Finding
from flopwise.engine.doctor.folder import examine_folder
from flopwise.engine.doctor.installation import examine_installation
from flopwise.engine.doctor.machine import default_slots, examine_machine
from flopwise.engine.lease import slot_json
from flopwise.executors.topology import topology

__all__ = ["Examination", "Finding", "examine"]


class Examination:
    """What was found, and the machine it was found on.

    Args:
        runs: Folder that holds the runs; need not exist.
    """

    def __init__(self, runs: Path) -> None:
        self.machine = topology()
        self.slots = default_slots(self.machine)
        self.findings = (
            *examine_machine(self.machine, self.slots),
            *examine_installation(self.machine, self.slots),
            *examine_folder(runs),
        )

    @property
    def has_problems(self) -> bool:
        return any(finding.level == "problem" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """JSON values: findings, machine, slots."""
        machine = asdict(self.machine)
        return {
            "findings": [asdict(finding) for finding in self.findings],
            "machine": {**machine, "beyond": sorted(self.machine.beyond)},
            "slots": [slot_json(slot) for slot in self.slots],
        }


def examine(runs: Path) -> Examination:
    """Look at machine, installation and the folder of the runs; a file is written there and removed.

    Args:
        runs: Folder that holds the runs; need not exist.
    """
    return Examination(runs)
