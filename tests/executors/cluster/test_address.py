"""An address is asked before Ray is loaded: whoever does not answer is named in seconds."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flopwise.errors import ExecutorError
from flopwise.executors.cluster import knock
from flopwise.executors.cluster.executor import RayExecutor

SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


@contextmanager
def listening(answer: bytes | None = None) -> Iterator[str]:
    """Something that takes one connection; it says nothing where ``answer`` is None, and hangs up after it."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            connection.recv(len(knock.HELLO), socket.MSG_WAITALL)
            connection.sendall(answer or b"")
            connection.close()

        if answer is not None:
            threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "RAY_USE_TLS"):
        monkeypatch.delenv(name, raising=False)


def test_who_speaks_http_2_answers() -> None:
    for scheme in ("", "ray://"):
        with listening(SETTINGS) as address:
            assert knock.silence(scheme + address) == ""


def test_who_says_nothing_is_silent_in_time() -> None:
    with listening() as address:
        assert knock.silence(address, 0.2) == f"{address}: nothing was heard in 0.2 s"


def test_a_port_that_nobody_listens_at_is_refused() -> None:
    with listening() as address:
        pass
    assert knock.silence(address) == f"{address}: Connection refused"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"", b"\0\0"])
def test_a_program_of_another_kind_is_not_ray(answer: bytes) -> None:
    with listening(answer) as address:
        assert knock.silence(address) == f"{address}: what listens there is not Ray"


def test_auto_is_what_the_variable_says_and_else_for_ray_to_find(monkeypatch: pytest.MonkeyPatch) -> None:
    assert knock.silence("auto") == ""
    with listening() as address:
        pass
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert "Connection refused" in knock.silence("auto")


@pytest.mark.parametrize("listens", [True, False])
def test_the_executor_says_so_within_ten_seconds(listens: bool) -> None:
    """Ray is not needed for it: it has not been loaded by then."""
    with listening() as address:
        if not listens:
            address = "127.0.0.1:9"
        began = time.monotonic()
        with pytest.raises(ExecutorError, match=rf"no answer from the Ray cluster at {address}: ") as caught:
            RayExecutor.from_study({"slots": None, "threads": 1, "options": {"address": address}})
        assert time.monotonic() - began < 10.0
        assert "ray start --head" in str(caught.value)
