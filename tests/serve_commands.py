"""Runs commands of flopwise in forks of one process that has imported what they need; a program for ``conftest.py``.

    python serve_commands.py FD

Starting an interpreter and importing takes a second or two, a fork some milliseconds, and the suite calls hundreds of
commands. Each of them still is a process of its own, with its own folder, environment and output, that ends as an
interpreter ends. What a fresh interpreter imports, and how long it takes, is tested elsewhere.

FD is a socket that keeps messages apart. A request is JSON (``folder``, ``arguments``, ``environment``) with four
descriptors: standard input, output and error, and a socket on which the pid and then the exit status are told.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import sys

PACKAGES = ("flopwise.cli", "flopwise.engine", "flopwise.report", "flopwise.searchers", "flopwise.policies")
PEERS = ("scipy.stats", "cmaes", "optuna", "matplotlib.pyplot")


def main() -> None:
    """Serve until the other end is closed; a child returns from here as the command."""
    for name in PACKAGES:
        for found in pkgutil.iter_modules(importlib.import_module(name).__path__, f"{name}."):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
    for name in PEERS:
        importlib.import_module(name)
    gc.freeze()
    requests = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, 1 << 20, 4)
        if not request:
            return
        if os.fork() == 0:
            requests.close()
            run(json.loads(request), *descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)


def run(request: dict[str, object], stdin: int, stdout: int, stderr: int, reply: int) -> None:
    """Wait for the command, or, in another fork, be it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid:
        os.write(reply, f"{pid}\n".encode())
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.write(reply, f"{status}\n".encode())
        os._exit(0)
    for number, descriptor in enumerate((stdin, stdout, stderr)):
        os.dup2(descriptor, number)
    for descriptor in (stdin, stdout, stderr, reply):
        os.close(descriptor)
    os.chdir(str(request["folder"]))
    path = os.environ.get("PYTHONPATH")
    os.environ.clear()
    os.environ.update(request["environment"])  # type: ignore[call-overload]
    if os.environ.get("PYTHONPATH") != path:  # read by an interpreter when it starts
        os.execv(sys.executable, [sys.executable, "-m", "flopwise.cli", *request["arguments"]])  # type: ignore[misc]
    sys.path[0] = str(request["folder"])
    sys.argv = ["flopwise", *request["arguments"]]  # type: ignore[misc]
    runpy.run_module("flopwise.cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
