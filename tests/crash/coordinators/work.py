"""What the small studies of the fault tests evaluate: a valley with noise, and everything that can go wrong in one."""

from __future__ import annotations

import ctypes
import itertools
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

FOREVER_S = 300.0


def work(config: Mapping[str, Any], context: Any) -> Any:
    """Note that this attempt ran, then do what ``config["do"]`` names."""
    with (context.cache / "ran").open("a") as file:
        file.write(f"{context.folder.name} {os.getpid()}\n")
    act: Callable[[Mapping[str, Any], Any], Any] = globals()[config.get("do", "behave")]
    return act(config, context)


def behave(config: Mapping[str, Any], context: Any) -> dict[str, float]:
    """A row, a rest of ``pace_s`` seconds, and the value."""
    loss = (config["x"] - 3) ** 2 + 1 + context.seed % 13 / 50
    context.report(1, loss=2 * loss)
    time.sleep(config.get("pace_s", 0.0))
    context.report(2, loss=loss)
    return {"loss": loss}


def is_calm(context: Any) -> bool:
    """The baseline behaves, and everything does once there is a file ``calm``."""
    return bool(context.folder.name.startswith("t0000.")) or (context.cache / "calm").exists()


def stay(config: Mapping[str, Any], context: Any) -> Any:
    """Never ends, while it is not calm."""
    if is_calm(context):
        return behave(config, context)
    context.report(1, loss=9.0)
    return time.sleep(FOREVER_S)


def stay_deaf(config: Mapping[str, Any], context: Any) -> Any:
    """As ``stay``, and SIGTERM means nothing to it."""
    if not is_calm(context):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return stay(config, context)


def stop_when_asked(config: Mapping[str, Any], context: Any) -> Any:
    """A row every few milliseconds, until it is asked to end."""
    if is_calm(context):
        return behave(config, context)
    for step in itertools.count(1):
        context.report(step, loss=1.0 / step)
        if context.should_stop():
            break
        time.sleep(0.005)
    return {"loss": 9.0}


def fail_at_once(config: Mapping[str, Any], context: Any) -> Any:
    if is_calm(context):
        return behave(config, context)
    raise ValueError("no luck")


def leave_family(config: Mapping[str, Any], context: Any) -> Any:
    """A child, a deaf daemon in a session of its own, and one with nothing left of our environment; then it stays."""
    if not is_calm(context):
        forever = f"sleep {config['forever_s']}"
        subprocess.Popen(forever.split())
        subprocess.Popen(["setsid", "sh", "-c", f"trap '' TERM; {forever} & wait"], start_new_session=True)
        subprocess.Popen(["setsid", "sh", "-c", f"{forever} & wait"], env={"PATH": os.environ["PATH"]})
    return stay(config, context)


def leave_stdout_open(config: Mapping[str, Any], context: Any) -> Any:
    """A grandchild in its own session keeps stdout after the attempt has ended."""
    subprocess.Popen(["sh", "-c", f"sleep {FOREVER_S:g} & exec sleep {FOREVER_S:g}"], start_new_session=True)
    return behave(config, context)


def flood(config: Mapping[str, Any], context: Any) -> Any:
    """Rows as fast as they can be made: duplicates, out of order, and the true ones last."""
    if not is_calm(context):
        for step in range(20_000):
            context.report((step * 7919) % 100, loss=float(step))
    return behave(config, context)


def go_wrong(config: Mapping[str, Any], context: Any) -> Any:
    """What ``config["how"]`` names: an end without a result, or a value that is none."""
    if config["how"] in ENDS:
        return ENDS[config["how"]]()
    if config["how"] in VALUES:
        return {"loss": VALUES[config["how"]]}
    return behave({**config, "x": 1.0}, context)


def _touch_beyond_the_end() -> None:
    """SIGBUS: a page of a mapped file that is no longer there."""
    import mmap  # noqa: PLC0415 - so that the keeper does not load it

    with Path("mapped").open("w+b") as file:
        file.truncate(2 * mmap.PAGESIZE)
        pages = mmap.mmap(file.fileno(), 2 * mmap.PAGESIZE)
        file.truncate(0)
        print(pages[mmap.PAGESIZE])


def _fail_at_length() -> None:
    raise ValueError("x" * 10_000_000)


def _use_all_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    bytearray(4 << 30)


def _spin() -> None:
    while True:
        pass


def _deadlock() -> None:
    """In a C call that does not let go of the interpreter, so that no other thread and no signal handler runs."""
    ctypes.PyDLL(None).sleep(int(FOREVER_S))


class _Scalar:
    """A tensor without dimensions."""

    def item(self) -> float:
        return 0.25


ENDS: dict[str, Callable[[], None]] = {
    "exit_0": lambda: os._exit(0),
    "exit_1": lambda: os._exit(1),
    "sys_exit": lambda: sys.exit(0),
    "segv": lambda: ctypes.string_at(0),  # type: ignore[dict-item, return-value]
    "bus": _touch_beyond_the_end,
    "long_error": _fail_at_length,
    "memory": _use_all_memory,
    "sleep": lambda: time.sleep(FOREVER_S),
    "spin": _spin,
    "deadlock": _deadlock,
}
VALUES: dict[str, Any] = {
    "nan": float("nan"),
    "inf": float("inf"),
    "minus_inf": float("-inf"),
    "1e400": 1e400,
    "huge_int": 10**400,
    "text": "low",
    "none": None,
    "bool": True,
    "complex": 1j,
    "scalar": _Scalar(),
}
