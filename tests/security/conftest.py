"""A finished run of a program, with canaries in everything that a run could give away."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from flopwise.paths import RunFolder

MEASURE = """\
env
echo "the program's own words" >&2
if [ "$1" = bad ]; then exit 3; fi
echo '{"loss": 1.5}' > "$2"
"""
STUDY = """\
name: secret
workload: command
base:
  argv: [sh, measure.sh, "{kind}", "{result_file}"]
  params: {kind: good}
space:
  params.kind: {type: categorical, choices: [good, bad, better]}
objective: {metric: loss, direction: minimize}
search: {method: grid}
tiers: {only: {trials: 3}}
calibration: {seeds: 2}
confirm: {top: 1, seeds: 2}
execution: {slots: 1}
policies: {crash_rate: false, crash_loop: false}
"""
WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "PASSWD")
SHAPES = ("ghp_{}", "hf_{}", "AKIA{}", "xoxb-{}", "https://user:{}@host/", "sk-{}", "-----BEGIN PRIVATE KEY-----{}")


def canaries() -> dict[str, str]:
    """Fifty variables that nobody asked for; every value holds a word found nowhere else."""
    found: dict[str, str] = {"HTTP_PROXY": "http://user:canary00@proxy:1", "DATABASE_URL": "postgres://u:canary01@db"}
    places = ("HF_{}", "CUDA_{}", "SLURM_{}", "PYTHON{}", "TORCH_{}", "MY_{}", "AWS_{}", "XDG_{}")
    while len(found) < 50:
        number = len(found)
        name = places[number % len(places)].format(f"{WORDS[number % len(WORDS)]}{chr(65 + number // 8)}")
        found[name] = SHAPES[number % len(SHAPES)].format(f"canary{number:02d}")
    return found


@dataclass(frozen=True)
class Secret:
    """A run, where it was made, and what it printed.

    Args:
        place: Folder of study file, program and runs.
        printed: By ``flopwise run``.
        planted: The canaries, by variable.
    """

    place: Path
    printed: str
    planted: dict[str, str]

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.place / "runs" / "secret")


@pytest.fixture(scope="session")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Secret:
    """Run under a umask that hides nothing, in a folder with an ``.env`` file, with fifty canaries about."""
    place = tmp_path_factory.mktemp("secret")
    (place / "measure.sh").write_text(MEASURE)
    (place / "secret.yaml").write_text(STUDY)
    (place / ".env").write_text("API_KEY=canary-of-a-file\n")
    command = f"umask 0; exec {sys.executable} -m flopwise.cli run secret.yaml --yes"
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=place,
        env={**os.environ, **canaries()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return Secret(place, done.stdout, canaries())
