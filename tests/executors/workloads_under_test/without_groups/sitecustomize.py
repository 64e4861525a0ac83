"""Python imports this at its start where PYTHONPATH names this folder: a machine that allows no control groups."""

from pathlib import Path

from flopwise.executors import cgroup

if __name__ == "sitecustomize":
    cgroup.join.__defaults__ = (Path("/nowhere"),)
