"""The few things that are asked of Ray itself, besides actors."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any


def alive(ray: Any) -> list[dict[str, Any]]:
    """Nodes of the cluster."""
    return [node for node in ray.nodes() if node["Alive"]]


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
