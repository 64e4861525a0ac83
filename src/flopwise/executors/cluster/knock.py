"""Whether anything like Ray answers at an address: known in seconds. Ray itself takes minutes to give up.

Ray's head and its client's server speak gRPC, so HTTP/2: whoever has connected is sent a SETTINGS frame at once
(RFC 9113, 3.4). A machine that is off, a port that nobody listens at, a process that hangs and a program of
another kind send none.
"""

from __future__ import annotations

import os
import socket
import time

HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""The client's preface, and an empty SETTINGS frame."""

HEADER_BYTES = 9
SETTINGS = 4
LIMIT_S = 5.0


def silence(address: str, limit_s: float = LIMIT_S) -> str:
    """Why nobody speaks there; empty where somebody does, and where only Ray knows what address is meant.

    Args:
        address: ``host:port``, ``ray://host:port``, or ``auto``: the variable ``RAY_ADDRESS`` if it is set.
        limit_s: Longest wait in seconds.
    """
    named = os.environ.get("RAY_ADDRESS", "auto") if address == "auto" else address
    host, port = parsed(named)
    if not host:
        return ""
    try:
        found = _first_frame(host, port, limit_s)
    except TimeoutError:
        return f"{named}: nothing was heard in {limit_s:g} s"
    except (OSError, OverflowError) as error:
        return f"{named}: {getattr(error, 'strerror', None) or error}"
    return "" if found == SETTINGS else f"{named}: what listens there is not Ray"


def parsed(address: str) -> tuple[str, int]:
    """Host and port; no host where the address is of another form.

    Example:
        >>> parsed("ray://head:10001"), parsed("auto")
        (('head', 10001), ('', 0))
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    return (host, int(port)) if port.isdigit() else ("", 0)


def _first_frame(host: str, port: int, limit_s: float) -> int | None:
    """The type of the first HTTP/2 frame that is sent; None for anything else. With TLS a connection has to do."""
    end = time.monotonic() + limit_s
    with socket.create_connection((host, port), limit_s) as connection:
        if os.environ.get("RAY_USE_TLS", "").lower() in ("1", "true"):
            return SETTINGS
        connection.sendall(HELLO)
        header = b""
        while len(header) < HEADER_BYTES:
            connection.settimeout(max(0.001, end - time.monotonic()))
            data = connection.recv(HEADER_BYTES - len(header))
            if not data:
                return None
            header += data
    return header[3]
