"""How a bridge joins the cluster; each step is told to the coordinator, which has a limit of its own for it."""

from __future__ import annotations

import asyncio
import importlib
import os
from typing import Any

from flopwise.executors.cluster import knock, probe
from flopwise.executors.cluster.messages import Connect, Note, Surveyed
from flopwise.executors.cluster.options import Options
from flopwise.executors.cluster.ray_calls import brief
from flopwise.wire import encode

START = "start one with `ray start --head`, or set RAY_ADDRESS or execution.options.address; `ray status` asks it"


async def join(connect: Connect, writer: asyncio.StreamWriter) -> Any | None:
    """Be a driver of the cluster.

    Args:
        connect: What is asked for.
        writer: Towards the coordinator.

    Returns:
        The package ray; None when it cannot be, which the coordinator has been told.
    """
    address = Options(**connect.options).address
    silence = knock.silence(address)
    if silence:
        writer.write(encode(Surveyed(problem=f"no answer from the Ray cluster at {silence}", fix=START)))
        return None
    await _say("answers", writer)
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        problem = f"the executor ray needs the package ray, which cannot be imported: {error}"
        writer.write(encode(Surveyed(problem=problem, fix="pip install 'flopwise[cluster]'")))
        return None
    await _say("loaded", writer)
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False, namespace=f"flopwise-{os.getpid()}")
    except Exception as error:
        writer.write(encode(Surveyed(problem=f"no Ray cluster at {address}: {brief(error)}", fix=START)))
        return None
    await _say("connected", writer)
    importlib.import_module("ray.cloudpickle").register_pickle_by_value(probe)
    return ray


async def _say(step: str, writer: asyncio.StreamWriter) -> None:
    writer.write(encode(Note(step)))
    await writer.drain()
