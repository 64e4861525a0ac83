"""Whether a node can run a study's attempts: asked of every node before it gets any work.

:func:`look` travels as code to nodes that may lack flopwise, so it needs nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def look() -> dict[str, Any]:
    """What a node has: interpreter, flopwise and its sources, name and processor; JSON values."""
    found: dict[str, Any] = {
        "host": platform.node(),
        "python": list(sys.version_info[:3]),
        "executable": sys.executable,
        "platform": sys.platform,
        "flopwise": None,
        "digest": "",
        "problem": "",
        "cpu": _processor(),
        "pid": os.getpid(),
    }
    try:
        package = importlib.import_module("flopwise")
        importlib.import_module("flopwise.executors.cluster.host")
        found["flopwise"] = str(getattr(package, "__version__", "unknown"))
        found["digest"] = digest(Path(str(package.__file__)).parent)
    except Exception as error:
        found["problem"] = f"{type(error).__name__}: {error}"
    return found


def digest(package: Path) -> str:
    """sha256 of a package's sources."""
    whole = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        whole.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return whole.hexdigest()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def refusal(found: Mapping[str, Any], node: str, ours: Mapping[str, Any]) -> str | None:
    """Why a node gets no work, and the command that mends it; None where it may have some.

    Args:
        found: From :func:`look`; ``{"problem": …}`` when it could not even be asked.
        node: What to call it.
        ours: ``python`` (version), ``flopwise`` (version) and ``digest`` of the coordinator.
    """
    install = f"pip install 'flopwise[cluster]=={ours['flopwise']}'"
    there = ".".join(map(str, found.get("python", [])))
    here = ".".join(map(str, ours["python"]))
    if not there:
        return f"node {node} is left out: it could not be asked ({found['problem']}); see to it with `ray status`"
    python = found.get("executable") or "python"
    if list(found["python"])[:2] != list(ours["python"])[:2]:
        mend = f"start Ray there with Python {'.'.join(here.split('.')[:2])}, and {install}"
        return f"node {node} is left out: it has Python {there}, this is {here}; there: {mend}"
    if found["platform"] != "linux":
        return f"node {node} is left out: it runs {found['platform']}, and attempts need Linux"
    if found["problem"]:
        text = f"flopwise cannot be used there ({found['problem']})"
        return f"node {node} is left out: {text}; there: {python} -m {install}"
    if found["flopwise"] != ours["flopwise"]:
        text = f"it has flopwise {found['flopwise']}, this is {ours['flopwise']}"
        return f"node {node} is left out: {text}; there: {python} -m {install}"
    if found["digest"] != ours["digest"]:
        text = f"its flopwise {found['flopwise']} has other sources than this one"
        mend = f"{python} -m pip install --force-reinstall the wheel or checkout that this machine has"
        return f"node {node} is left out: {text}; there: {mend}"
    return None
