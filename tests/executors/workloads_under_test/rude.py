"""Functions that behave, misbehave and crash; the keeper under test imports this file and calls ``run``."""

from __future__ import annotations

import ctypes
import hashlib
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy
import threadpoolctl

from flopwise.errors import NonFinite
from flopwise.wire import Measurement, Progress, Shutdown, encode

SLEEP_S = 300.0
"""As good as for ever."""


def run(config: Mapping[str, Any], context: Any) -> Any:
    """Do what ``config["do"]`` names."""
    act: Callable[[Mapping[str, Any], Any], Any] = globals()[config["do"]]
    return act(config, context)


def behave(config: Mapping[str, Any], context: Any) -> Any:
    context.report(1, loss=3.0)
    context.progress("half way", 1, 2)
    context.report(2, loss=2.0)
    context.note(tokens=7)
    return {"loss": config.get("value", 1.5)}


def give(config: Mapping[str, Any], context: Any) -> Any:
    """Return something awkward, by name: not all of it has a JSON form."""
    return {
        "text": "low",
        "none": None,
        "bool": True,
        "mapping_none": {"loss": None},
        "mapping_text": {"loss": "low"},
        "mapping_bool": {"loss": False},
        "complex": {"loss": 1j},
        "nan": {"loss": float("nan")},
        "inf": {"loss": float("inf")},
        "huge": {"loss": 10**400},
        "literal_1e400": {"loss": 1e400},
        "missing": {"accuracy": 0.5},
        "list": [1.0],
        "array": {"loss": numpy.array([1.0, 2.0])},
        "number": 0.25,
        "numpy": {"loss": numpy.float32(0.25)},
        "zero_dimensional": {"loss": numpy.array(0.25)},
        "extras": {"loss": 0.25, "note": "fine", "grad": float("inf")},
    }[config["what"]]


def fail(config: Mapping[str, Any], context: Any) -> Any:
    raise ValueError(config.get("text", "bad rate"))


def fail_long(config: Mapping[str, Any], context: Any) -> Any:
    raise ValueError("x" * 10_000_000)


def not_finite(config: Mapping[str, Any], context: Any) -> Any:
    raise NonFinite("loss is nan at step 3")


def exhaust(config: Mapping[str, Any], context: Any) -> Any:
    return bytearray(1 << 60)


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


def exhaust_device(config: Mapping[str, Any], context: Any) -> Any:
    raise OutOfMemoryError("CUDA out of memory")


def leave(config: Mapping[str, Any], context: Any) -> Any:
    sys.exit(config["status"])


def leave_hard(config: Mapping[str, Any], context: Any) -> Any:
    print("leaving", file=sys.stderr, flush=True)
    os._exit(config["status"])


def crash(config: Mapping[str, Any], context: Any) -> Any:
    ctypes.string_at(0)


def kill_self(config: Mapping[str, Any], context: Any) -> Any:
    os.kill(os.getpid(), config["signal"])
    time.sleep(SLEEP_S)


def chatter(config: Mapping[str, Any], context: Any) -> Any:
    for _ in range(1000):
        print("x" * 9_999)
    print("the last line", file=sys.stderr)
    raise ValueError("after all that")


def sleep(config: Mapping[str, Any], context: Any) -> Any:
    context.report(1, loss=9.0)
    time.sleep(config.get("seconds", SLEEP_S))
    return {"loss": 1.0}


def ignore_sigterm(config: Mapping[str, Any], context: Any) -> Any:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    context.report(1, loss=9.0)
    time.sleep(SLEEP_S)


def stop_when_asked(config: Mapping[str, Any], context: Any) -> Any:
    context.report(1, loss=9.0)
    while not context.should_stop():
        time.sleep(0.01)
    return {"loss": 8.0}


def finish_anyway(config: Mapping[str, Any], context: Any) -> Any:
    """Ends its work although SIGTERM came, without ever asking."""
    context.report(1, loss=9.0)
    time.sleep(0.3)
    return {"loss": 8.0}


def hurt_by_stop(config: Mapping[str, Any], context: Any) -> Any:
    """Its own child is in the group and dies of the SIGTERM, which it takes for a failure."""
    child = subprocess.Popen(["sleep", str(SLEEP_S)])
    context.report(1, loss=9.0)
    if child.wait() != 0:
        raise subprocess.CalledProcessError(child.returncode, "sleep")


def write_garbage(config: Mapping[str, Any], context: Any) -> Any:
    os.write(wire(), bytes.fromhex(config["hex"]))
    time.sleep(SLEEP_S)


def write_shutdown(config: Mapping[str, Any], context: Any) -> Any:
    os.write(wire(), encode(Shutdown()))
    time.sleep(SLEEP_S)


def forge(config: Mapping[str, Any], context: Any) -> Any:
    os.write(wire(), encode(Measurement("t9999.s0.a1", 1, 0.0, {"loss": 1.0})))
    return {"loss": 1.0}


def flood(config: Mapping[str, Any], context: Any) -> Any:
    """Past the throttle, straight into the pipe."""
    fd = wire()
    for number in range(config["frames"]):
        frame = memoryview(encode(Progress("", "x" * config["bytes"], number)))
        while frame:
            frame = frame[os.write(fd, frame) :]
    return {"loss": 1.0}


def report_much(config: Mapping[str, Any], context: Any) -> Any:
    for step in range(config["rows"]):
        context.report(step, loss=1.0)
    return {"loss": 1.0}


def note_too_much(config: Mapping[str, Any], context: Any) -> Any:
    context.note(text="x" * (5 << 20))
    return {"loss": 1.0}


def leave_child(config: Mapping[str, Any], context: Any) -> Any:
    """A plain child that never ends."""
    pid = os.fork()
    if pid == 0:
        time.sleep(SLEEP_S)
        os._exit(0)
    Path("pids").write_text(str(pid))
    return then(config, context)


def leave_daemon(config: Mapping[str, Any], context: Any) -> Any:
    """A double-forked grandchild in a session of its own, deaf to SIGTERM, that keeps stdout and the pipe."""
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.write(write, str(os.getpid()).encode())
            time.sleep(SLEEP_S)
        os._exit(0)
    Path("pids").write_bytes(os.read(read, 32))
    return then(config, context)


def leave_anonymous_daemon(config: Mapping[str, Any], context: Any) -> Any:
    """As above, and with nothing left of our environment."""
    script = f"setsid sh -c 'sleep {SLEEP_S:g} & echo $! > pids' & wait"
    subprocess.run(["/bin/sh", "-c", script], env={"PATH": os.environ["PATH"]}, check=True)
    while not Path("pids").exists() or not Path("pids").read_text().strip():
        time.sleep(0.01)
    return then(config, context)


def leave_brood(config: Mapping[str, Any], context: Any) -> Any:
    """Many processes, each with one of its own."""
    pids = []
    for _ in range(config["count"]):
        child = subprocess.Popen(["/bin/sh", "-c", f"sleep {SLEEP_S:g} & wait"], start_new_session=True)
        pids.append(str(child.pid))
    Path("pids").write_text("\n".join(pids))
    return then(config, context)


def then(config: Mapping[str, Any], context: Any) -> Any:
    context.report(1, loss=9.0)
    if config.get("then") == "stay":
        time.sleep(SLEEP_S)
    if config.get("then") == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return {"loss": 1.0}


def fork_and_return_twice(config: Mapping[str, Any], context: Any) -> Any:
    if os.fork() == 0:
        return {"loss": -1.0}
    os.wait()
    return {"loss": 1.0}


def leave_thread(config: Mapping[str, Any], context: Any) -> Any:
    threading.Thread(target=time.sleep, args=(SLEEP_S,)).start()
    return {"loss": 1.0}


def look_around(config: Mapping[str, Any], context: Any) -> Any:
    """Everything about the process that the keeper promises."""
    context.note(
        cores=sorted(os.sched_getaffinity(0)),
        environment=dict(os.environ),
        pools=[pool["num_threads"] for pool in threadpoolctl.threadpool_info()],
        folder=str(Path.cwd()),
        session=os.getsid(0) == os.getpid(),
        descriptors=sorted(str(Path(f"/proc/self/fd/{fd}").readlink()).split(":")[0] for fd in open_descriptors()),
        oom_score=int(Path("/proc/self/oom_score_adj").read_text()),
        blocked=sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        umask=os.umask(0o077),
        data=dict(context.data),
        threads=context.threads,
        stop=context.fidelity.to_json(),
    )
    return {"loss": 1.0}


def crowd(config: Mapping[str, Any], context: Any) -> Any:
    """64 threads and four processes that all compute: where they may run, and where the kernel ran them."""
    over = threading.Event()

    def compute() -> None:
        block = bytes(1 << 20)
        while not over.is_set():
            hashlib.sha256(block).digest()

    for _ in range(64):
        threading.Thread(target=compute).start()
    children = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(4)]
    allowed, ran_on = set[int](), set[int]()
    for _ in range(20):
        tasks = [Path(f"/proc/{pid}/task") for pid in (os.getpid(), *(child.pid for child in children))]
        threads = [thread for task in tasks for thread in task.iterdir()]
        for thread in threads:
            allowed |= os.sched_getaffinity(int(thread.name))
            ran_on.add(int((thread / "stat").read_text().rsplit(")", 1)[1].split()[36]))
        time.sleep(0.01)
    over.set()
    for child in children:
        child.kill()
    context.note(threads=len(threads), allowed=sorted(allowed), ran_on=sorted(ran_on))
    return {"loss": 1.0}


def measure_text(config: Mapping[str, Any], context: Any) -> Any:
    return {"loss": float(len(config["text"]))}


def draw(config: Mapping[str, Any], context: Any) -> Any:
    """Global random numbers and the order of a set."""
    context.note(order=list({"a", "b", "c", "d", "e"}))
    return {"loss": random.random(), "other": numpy.random.rand()}


def open_descriptors() -> list[int]:
    found = []
    for fd in range(3, 256):
        try:
            os.fstat(fd)
        except OSError:
            continue
        found.append(fd)
    return found


def wire() -> int:
    """The pipe to the keeper, found as a rude program would find it."""
    return next(fd for fd in open_descriptors() if stat.S_ISFIFO(os.fstat(fd).st_mode))


def hang_in_preload() -> None:
    """A warm step that ends the keeper."""
    print("cannot go on", flush=True)
    os._exit(3)


def start_thread() -> None:
    """A warm step that makes forking unsafe."""
    threading.Thread(target=time.sleep, args=(SLEEP_S,), daemon=True).start()
