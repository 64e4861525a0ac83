"""Whether a part of the cluster is still there: a connection that ends says so at once, Ray in up to a minute."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

from flopwise.executors.cluster import knock

ASK_S = 2.0
AGAIN_S = 0.2
SILENT_S = (socket.TCP_KEEPIDLE, 5), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3)
"""A machine that is off ends no connection: the kernel asks after 5 s of silence, and every 5 s, three times."""


async def until_gone(address: str, patience_s: float) -> None:
    """Wait until nobody has answered at an address for a while; for ever where nobody does from the beginning.

    Args:
        address: ``host:port`` of a part of Ray.
        patience_s: How long it may take to come back, in seconds.
    """
    if await _is_silent(address):
        await asyncio.Event().wait()
    seen = time.monotonic()
    while time.monotonic() - seen <= patience_s:
        if not await _is_silent(address):
            await _until_hung_up(address)
            seen = time.monotonic()
        await asyncio.sleep(AGAIN_S)


async def _is_silent(address: str) -> bool:
    return bool(await asyncio.to_thread(knock.silence, address, ASK_S))


async def _until_hung_up(address: str) -> None:
    """Hold a connection until the other side ends it."""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection(*knock.parsed(address))
        with contextlib.closing(writer):
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in SILENT_S:
                connection.setsockopt(socket.IPPROTO_TCP, option, value)
            writer.write(knock.HELLO)
            while await reader.read(4096):
                pass
