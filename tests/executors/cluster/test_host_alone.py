"""A host without Ray: it is an ordinary object, and the keeper below it is the real one."""

from __future__ import annotations

import io
import json
import os
import secrets
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from flopwise.executors.cluster.host import Host
from flopwise.executors.cluster.seats import Wish
from flopwise.wire import Ended, Frames, Hello, Job, KeeperLost, Message, Ready, Reported, Slot, StopAttempt, encode

CODE = """
import os
import time


def run(config, context):
    context.report(1, loss=2.0)
    open("model.bin", "wb").write(b"w" * 10)
    time.sleep(config.get("seconds", 0))
    context.note(token=os.environ.get("FLOPWISE_TEST_TOKEN", ""), here=os.getcwd())
    return {"loss": config["value"]}
"""
LIMIT_S = 30.0


class Seat:
    """A host with two slots, and what it has said."""

    def __init__(self, root: Path) -> None:
        self.host, self.root = Host(), root
        self.said: list[Message] = []
        self.files: dict[str, dict[str, bytes]] = {}
        self.sent = 0

    def open(self) -> Ready:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr("0/mine/study.py", CODE)
        hello = Hello(secrets.token_hex(8), "elsewhere", ("/nowhere",), ("study",), None, (), "import:study:run", "/x")
        hello = replace(hello, pass_env=("FLOPWISE_TEST_TOKEN",))
        passed = {"FLOPWISE_TEST_TOKEN": "s3cret"}
        frame, there, _ = self.host.open(
            encode(hello), asdict(Wish(slots=2)), [4, 5], passed, ["0/mine"], archive.getvalue()
        )
        assert there <= time.monotonic()
        (ready,) = Frames().feed(frame)
        assert isinstance(ready, Ready)
        return ready

    def job(self, name: str, slot: int, **config: Any) -> Job:
        return Job(name, "evaluate", "function", config, {}, 7, Slot(slot, (), 1), "/home", "/cache", metric="loss")

    def send(self, message: Message, number: int | None = None) -> None:
        self.host.send(self.sent if number is None else number, encode(message))
        self.sent += 1

    def listen(self, until: Callable[[], Any]) -> None:
        end = time.monotonic() + LIMIT_S
        while not until():
            assert time.monotonic() < end, self.said
            for frame, files in self.host.listen(1.0):
                (message,) = Frames().feed(frame)
                self.said.append(message)
                if isinstance(message, Ended):
                    self.files[message.attempt] = dict(files)

    def of(self, kind: type, attempt: str) -> Any:
        return next((m for m in self.said if isinstance(m, kind) and m.attempt == attempt), None)  # type: ignore[attr-defined]


@pytest.fixture
def seat(tmp_path: Path) -> Iterator[Seat]:
    before = dict(os.environ)
    made = Seat(tmp_path)
    yield made
    made.host.close()
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


def test_it_runs_shipped_code_in_its_own_folders_and_brings_everything_home(seat: Seat) -> None:
    assert seat.open().problems == ()
    name = "t0001.s0.a1"
    seat.send(seat.job(name, 5, value=0.5))
    seat.listen(lambda: seat.of(Ended, name))
    reported = seat.of(Reported, name)
    assert (reported.outcome, reported.metrics, reported.info["token"]) == ("ok", {"loss": 0.5}, "s3cret")
    files = seat.files[name]
    assert {"summary.json", "run.md", "stdout", "stderr", "model.bin"} == set(files)
    assert json.loads(files["summary.json"])["attempt"] == name
    assert not Path(reported.info["here"]).exists(), "what is home is not kept on the node"


def test_orders_count_in_the_order_of_their_numbers(seat: Seat) -> None:
    seat.open()
    name = "t0001.s0.a1"
    seat.send(StopAttempt(name, "over", 0.1), number=1)
    seat.send(seat.job(name, 4, value=1.0, seconds=60), number=0)
    seat.listen(lambda: seat.of(Ended, name))
    assert seat.of(Ended, name).reason == "stopped"


def test_a_prepared_file_is_found_by_attempts_of_this_node(seat: Seat) -> None:
    seat.open()
    seat.host.keep("tokens-ab.bin", b"one", b"two")
    (kept,) = list(Path(seat.host._root).glob("cache/*"))
    assert (kept.name, kept.read_bytes()) == ("tokens-ab.bin", b"onetwo")


def test_the_end_of_its_keeper_is_said_and_another_can_be_had(seat: Seat, processes: Any) -> None:
    ready = seat.open()
    name = "t0001.s0.a1"
    seat.send(seat.job(name, 4, value=1.0, seconds=60))
    seat.listen(lambda: seat.said)
    os.kill(ready.pid, 9)
    seat.listen(lambda: any(isinstance(message, KeeperLost) for message in seat.said))
    assert seat.open().pid != ready.pid
    again = "t0001.s0.a2"
    seat.send(seat.job(again, 4, value=1.0))
    seat.listen(lambda: seat.of(Ended, again))


def test_nothing_is_left_when_it_closes(seat: Seat, processes: Any) -> None:
    ready = seat.open()
    seat.send(seat.job("t0001.s0.a1", 4, value=1.0, seconds=60))
    seat.listen(lambda: seat.said)
    root = seat.host._root
    seat.host.close()
    assert not root.exists()
    processes.wait_for(lambda: not processes.is_alive(ready.pid))
