"""A part of the cluster that goes is noticed at once, one that comes back in time is not missed."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from flopwise.executors.cluster.watch import until_gone

SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


class Part:
    """A server that says what Ray's would."""

    def __init__(self) -> None:
        self._connections: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server
        self.address = ""

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def kill(self) -> None:
        """As when its process is killed: no listener, and no connection left."""
        self._server.close()
        for connection in self._connections:
            connection.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.append(writer)
        writer.write(SETTINGS)
        with contextlib.suppress(OSError):
            while await reader.read(4096):
                pass
        writer.close()


def test_what_is_gone_is_gone() -> None:
    async def scene() -> None:
        part = Part()
        await part.start()
        watching = asyncio.ensure_future(until_gone(part.address, 0.3))
        await asyncio.sleep(0.5)
        assert not watching.done()
        part.kill()
        await asyncio.wait_for(watching, 10.0)

    asyncio.run(scene())


def test_what_comes_back_in_time_is_there_still() -> None:
    async def scene() -> None:
        part = Part()
        await part.start()
        watching = asyncio.ensure_future(until_gone(part.address, 20.0))
        await asyncio.sleep(0.3)
        part.kill()
        await part.start(int(part.address.rpartition(":")[2]))
        await asyncio.sleep(0.6)
        assert not watching.done()
        watching.cancel()
        part.kill()

    asyncio.run(scene())


def test_what_never_answered_is_not_called_gone() -> None:
    async def scene() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            watching = asyncio.ensure_future(until_gone(f"127.0.0.1:{unused.getsockname()[1]}", 0.0))
            await asyncio.sleep(0.3)
            assert not watching.done()
            watching.cancel()

    asyncio.run(scene())
