"""The few things that are asked of Ray itself, besides actors."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any


def alive(ray: Any) -> list[dict[str, Any]]:
    """Nodes of the cluster."""
    return [node for node in ray.nodes() if node["Alive"]]


HEAD_BACK_S = 5.0
"""How long a head may take to come back (one with a store of its own is started again); its nodes wait for it."""

OWN_BACK_S = 1.0


def parts(ray: Any, address: str) -> list[tuple[str, str, float]]:
    """What a driver cannot do without: name, address, and how long it may be away in seconds.

    Args:
        ray: The package, connected.
        address: By which it was connected.
    """
    if address.startswith("ray://"):
        return [("the cluster's head", address, HEAD_BACK_S)]
    here = ray.get_runtime_context()
    own = [f"{n['NodeManagerAddress']}:{n['NodeManagerPort']}" for n in alive(ray) if n["NodeID"] == here.get_node_id()]
    head = ("the cluster's head", str(here.gcs_address), HEAD_BACK_S)
    return [head, *(("this machine's part of the cluster", each, OWN_BACK_S) for each in own)]


def free_of(ray: Any) -> dict[str, dict[str, float]]:
    """What is free on every node; all it has, where Ray does not say."""
    nodes = {node["NodeID"]: dict(node["Resources"]) for node in alive(ray)}
    state = importlib.import_module("ray._private.state")
    if not hasattr(state, "available_resources_per_node"):
        return nodes
    return {**nodes, **{n: dict(free) for n, free in state.available_resources_per_node().items() if n in nodes}}


def on_node(node: str) -> Any:
    """Ray's word for a node where something has to run."""
    strategies = importlib.import_module("ray.util.scheduling_strategies")
    return strategies.NodeAffinitySchedulingStrategy(node_id=node, soft=False)


async def waited(ref: Any) -> Any:
    """What a reference stands for, once it is there."""
    return await asyncio.wrap_future(ref.future())


def brief(error: BaseException) -> str:
    """The line that says most: Ray's errors quote whole tracebacks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
