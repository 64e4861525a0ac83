"""Functions that use Ray themselves, or take their time on a node."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping
from typing import Any


def run(config: Mapping[str, Any], context: Any) -> Any:
    """Do what ``config["do"]`` names."""
    return globals()[config["do"]](config, context)


def put(config: Mapping[str, Any], context: Any) -> float:
    """Join the cluster as a driver of its own, and use its object store."""
    ray = importlib.import_module("ray")
    ray.init(address=config["address"], log_to_driver=False, logging_level="ERROR")
    return float(sum(ray.get(ray.put([1.0, 2.0]))))


def last(config: Mapping[str, Any], context: Any) -> float:
    """Report, wait, return."""
    context.report(1, loss=9.0)
    time.sleep(config["seconds"])
    return 1.5


def secret(config: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """What of the environment is seen."""
    os = importlib.import_module("os")
    names = sorted(name for name in os.environ if name.startswith(("RAY_", "FLOPWISE_TEST")))
    context.note(names=" ".join(names), token=os.environ.get("FLOPWISE_TEST_TOKEN", ""))
    return {"loss": 1.0}


def read(config: Mapping[str, Any], context: Any) -> float:
    """A prepared file, by its hash."""
    (path,) = list(context.cache.glob(f"*{context.data['sha256']}*"))
    return float(len(path.read_bytes()))
