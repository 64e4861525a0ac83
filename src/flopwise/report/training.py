"""One training that was nothing but that: what it came to, and where its curve is."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flopwise.paths import CHECKPOINT
from flopwise.report.headline import Summary
from flopwise.report.text import number, plain
from flopwise.trial import AttemptId
from flopwise.units import format_seconds


def training_text(summary: Summary, detail: str, folder: Path) -> str:
    """What ``flopwise train`` says at its end."""
    trained = next((trial for trial in summary["trials"] if trial["number"] == 0), None)
    saved = _saved(folder)
    if trained is None or trained["value"] is None:
        further = (
            f"\nto go on where it was last saved: the same command and --from {shlex.quote(saved)}" if saved else ""
        )
        return f"not trained to its end: {plain(detail)}{further}"
    metric, attempt = summary["objective"]["metric"], AttemptId(0, 0, trained["attempts"])
    kept = f"\n{saved} has its params, its optimizer and how far it is" if saved else ""
    return (
        f"{plain(metric)} {number(trained['value'])} after {format_seconds(trained['seconds'])} on its slot\n"
        f"{folder}/attempts/{attempt}/run.md has its curve, its config and what else was measured{kept}"
    )


def _saved(folder: Path) -> str:
    """Path of the last checkpoint; empty where there is none."""
    found = sorted(folder.glob(f"attempts/*/{CHECKPOINT}"), key=lambda path: path.stat().st_mtime)
    return str(found[-1]) if found else ""


def training_command(summary: Summary) -> str:
    """What to type to train a winner once and to the full stop; empty where there is none worth it, or no way to."""
    verdict, winner = summary["verdict"], summary["winner"]
    words = _words(summary["command"])
    if not verdict or not winner or verdict["verdict"] == "NO-GO" or words[:2] != ["flopwise", "run"]:
        return ""
    elsewhere = words[words.index("--runs") : words.index("--runs") + 2] if "--runs" in words else []
    return shlex.join(["flopwise", "train", summary["name"], *elsewhere])


def training_note(summary: Mapping[str, Any]) -> str:
    """What that command does."""
    target = summary["objective"].get("target")
    further = f", past {target['metric']} {target['value']:g}" if target else ""
    return f"To train the winner once, to the full stop{further}, in the folder that the study was started in:"


def _words(command: str) -> list[str]:
    """A command as the shell takes it apart; none of what is a sentence."""
    try:
        return shlex.split(command)
    except ValueError:
        return []
