"""Functions that take too long, too much memory, too much disk, or others' CPU time."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy

from flopwise.wire import Measurement, encode

MEBIBYTE = 1 << 20
SLEEP_S = 300.0
"""As good as for ever."""


def run(config: Mapping[str, Any], context: Any) -> Any:
    """Do what ``config["do"]`` names."""
    act: Callable[[Mapping[str, Any], Any], Any] = globals()[config["do"]]
    return act(config, context)


# Silence.


def sleep(config: Mapping[str, Any], context: Any) -> Any:
    context.report(1, loss=9.0)
    time.sleep(SLEEP_S)


def spin(config: Mapping[str, Any], context: Any) -> Any:
    end = time.monotonic() + config.get("seconds", SLEEP_S)
    while time.monotonic() < end:
        pass
    return {"loss": 1.0}


def deadlock(config: Mapping[str, Any], context: Any) -> Any:
    """A mutex locked twice, with the interpreter's own lock held: no handler of a signal can run."""
    mutex = ctypes.create_string_buffer(64)
    ctypes.PyDLL(None).pthread_mutex_lock(mutex)
    ctypes.PyDLL(None).pthread_mutex_lock(mutex)


def chat(config: Mapping[str, Any], context: Any) -> Any:
    """Progress, but not of the learning curve."""
    while True:
        context.progress("still busy", 1, 2)
        print("still busy", flush=True)
        time.sleep(0.02)


def plod(config: Mapping[str, Any], context: Any) -> Any:
    """Slow, but not silent."""
    for step in range(config["rows"]):
        time.sleep(config["seconds"])
        context.report(step, loss=1.0)
    return {"loss": 1.0}


def flood_rows(config: Mapping[str, Any], context: Any) -> Any:
    """Long rows, past the throttle and straight into the pipe."""
    fd = _wire()
    values = {"x" * 40_000: 1.0}
    for step in range(config["rows"]):
        frame = memoryview(encode(Measurement("", step, 0.0, values)))
        while frame:
            frame = frame[os.write(fd, frame) :]
    return {"loss": 1.0}


def hang_up(config: Mapping[str, Any], context: Any) -> Any:
    """Close the pipe to the keeper, and go on."""
    os.close(_wire())
    if config.get("then") == "stay":
        time.sleep(SLEEP_S)
    return {"loss": 1.0}


def _wire() -> int:
    """The pipe to the keeper."""
    return next(fd for fd in range(3, 256) if _is_pipe(fd))


def _is_pipe(fd: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False


# Memory.


def hold(config: Mapping[str, Any], context: Any) -> Any:
    """Take memory, with the help of some children, and keep it."""
    read, write = os.pipe()
    for _ in range(config.get("children", 0)):
        if os.fork() == 0:
            block = _take(config["mebibytes"])
            os.write(write, b"!")
            _stay(block)
    block = _take(config["mebibytes"])
    for _ in range(config.get("children", 0)):
        os.read(read, 1)
    context.report(1, loss=9.0)
    time.sleep(SLEEP_S if config.get("then") == "stay" else 1.5)
    return {"loss": float(block[0])}


def share(config: Mapping[str, Any], context: Any) -> Any:
    """Take memory once, and have children read it."""
    block = _take(config["mebibytes"])
    for _ in range(config["children"]):
        if os.fork() == 0:
            block.sum()
            _stay(block)
    time.sleep(1.5)
    return {"loss": 1.0}


def read_mapped(config: Mapping[str, Any], context: Any) -> Any:
    """Map a large file and read all of it: the kernel may drop those pages whenever it likes."""
    with Path(config["path"]).open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        total = sum(int(mapped[at]) for at in range(0, len(mapped), mmap.PAGESIZE))
    time.sleep(0.6)
    return {"loss": float(total)}


def hog_in_child(config: Mapping[str, Any], context: Any) -> Any:
    """The child takes too much; its parent only waits for it."""
    pid = os.fork()
    if pid == 0:
        _stay(_take(config["mebibytes"]))
    os.waitpid(pid, 0)
    time.sleep(SLEEP_S)


def _take(mebibytes: int) -> Any:
    return numpy.ones(mebibytes * MEBIBYTE, dtype=numpy.uint8)


def _stay(block: Any) -> None:
    time.sleep(SLEEP_S)
    os._exit(int(block[0]))


# Output.


def print_much(config: Mapping[str, Any], context: Any) -> Any:
    """Numbered lines; then wait until the file ``go`` is there."""
    print("the first line")
    line = "x" * 1023 + "\n"
    for _ in range(config["kibibytes"]):
        sys.stdout.write(line)
    sys.stdout.flush()
    context.report(1, loss=9.0)
    while config.get("wait") and not Path("go").exists():
        time.sleep(0.005)
    print("the last line")
    return {"loss": 1.0}


def print_and_die(config: Mapping[str, Any], context: Any) -> Any:
    for _ in range(config["kibibytes"]):
        sys.stderr.write("x" * 1023 + "\n")
    print("the last words", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def empty_output(config: Mapping[str, Any], context: Any) -> Any:
    """As a shell does with ``> /dev/stdout``."""
    print("x" * 300_000, flush=True)
    time.sleep(0.3)
    os.close(os.open("/dev/stdout", os.O_WRONLY | os.O_TRUNC))
    print("after", flush=True)
    return {"loss": 1.0}


# CPU time.


def spin_in_child(config: Mapping[str, Any], context: Any) -> Any:
    """Nobody waits for the child, so its CPU time is not the worker's."""
    if os.fork() == 0:
        spin({}, context)
    return spin(config, context)
