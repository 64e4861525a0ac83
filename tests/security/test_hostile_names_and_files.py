"""S1, S7 and S19: hostile files are refused cheaply, no name leads out of its folder, no stranger is ever killed."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from flopwise.errors import FlopwiseError
from flopwise.executors import linux
from flopwise.paths import NAME
from flopwise.study import study_from_mapping
from flopwise.workloads.command.config import CommandConfig

MIB = 1 << 20


def laughs(depth: int = 30) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, depth)]
    return "\n".join(lines)


FILES: dict[str, str | bytes] = {
    "billion laughs": laughs(),
    "a python object": "name: !!python/object/apply:os.system ['touch pwned']\n",
    "a python name": "name: !!python/name:os.system\n",
    "a mapping inside itself": "a: &a\n  b: *a\n",
    "deep brackets": "[" * 100_000,
    "deep mappings": "".join(" " * n + "a:\n" for n in range(2000)),
    "duplicate keys": "name: a\nname: b\n",
    "a hundred thousand keys": "".join(f"k{n}: 1\n" for n in range(100_000)),
    "not a number as a key": ".nan: 1\n.nan: 2\n",
    "zeros": bytes(MIB),
    "noise": random.Random(0).randbytes(MIB // 2),
    "a merge of everything": "a: &a {" + ", ".join(f"k{n}: {n}" for n in range(20_000)) + "}\nb: {<<: *a}\n",
    "one long line": "name: " + "x" * (MIB - 10),
    "many anchors": "".join(f"a{n}: &a{n} 1\n" for n in range(50_000)),
    "a hundred megabytes": b"name: x\n" + b"#" * (100 * MIB),
}

CHEAP = """
import json, resource, sys, time
from flopwise.errors import FlopwiseError
from flopwise.study import load_study
from pathlib import Path
load = lambda path: load_study(Path(path))
try:
    load(sys.argv[1])
except FlopwiseError as error:
    pass
began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[2:]:
    cpu = time.process_time()
    try:
        load(path)
        came = "accepted"
    except FlopwiseError as error:
        came = "refused"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - began
    print(json.dumps([path, came, time.process_time() - cpu, grown * 1024]))
"""


def test_hostile_study_files_are_refused_in_a_second_and_200_mb(tmp_path: Path) -> None:
    """Processor time and memory beyond what the first study takes."""
    (tmp_path / "first.yaml").write_text("name: x\n")
    paths = []
    for number, content in enumerate(FILES.values()):
        paths.append(tmp_path / f"{number}.yaml")
        paths[-1].write_bytes(content if isinstance(content, bytes) else content.encode())
    command = [sys.executable, "-c", CHEAP, str(tmp_path / "first.yaml"), *map(str, paths)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    rows = {name: json.loads(line) for name, line in zip(FILES, done.stdout.splitlines(), strict=True)}
    assert {name for name, (_, came, _, _) in rows.items() if came != "refused"} == set()
    assert {name: cpu_s for name, (_, _, cpu_s, _) in rows.items() if cpu_s > 1.0} == {}
    assert {name: grown for name, (*_, grown) in rows.items() if grown > 200e6} == {}
    assert not (tmp_path / "pwned").exists()


PARTS = ("..", ".", "%2e%2e", "%252e%252e", "..%00", "\u2024\u2024", "..;", "C:", "~", "~root", "$HOME", "{folder}")
SEPARATORS = ("/", "\\", "%2f", "%255c", "\u2215", "//", "/./", "\0")
TARGETS = ("etc", "passwd", "", "journal.log", "con")


def traversals() -> list[str]:
    """Five hundred ways to name a place elsewhere."""
    found = [
        f"{first}{separator}{second}{separator}{target}"
        for first, separator, second, target in itertools.product(PARTS, SEPARATORS, PARTS[:3], TARGETS)
    ]
    plain = ["..", ".", "", "/", "/etc/passwd", "\n", "a\nb", "a\0b", ".hidden", "-rf", "a/b", "a\\b", "\x7f", "x" * 65]
    return plain + random.Random(1).sample(found, 500 - len(plain))


STUDY: dict[str, Any] = {
    "name": "honest",
    "workload": "command",
    "base": {"argv": ["true", "{x}"], "params": {"x": 1.0}},
    "space": {"params.x": {"type": "float", "low": 0.5, "high": 2.0}},
    "objective": {"metric": "loss", "direction": "minimize"},
    "search": {"method": "random"},
    "tiers": {"only": {"trials": 2}},
}


def test_no_study_name_leads_elsewhere() -> None:
    assert [name for name in traversals() if NAME.fullmatch(name)] == []
    for name in traversals()[::25]:
        with pytest.raises(FlopwiseError, match="name"):
            study_from_mapping({**STUDY, "name": name})


@pytest.mark.parametrize("key", ["result_file", "metrics_file"])
def test_a_file_of_a_program_is_inside_its_attempt_or_refused(key: str) -> None:
    refused = 0
    for name in traversals():
        try:
            taken = CommandConfig(**{"argv": ["true"], key: name})
        except ValidationError:
            refused += 1
            continue
        inside = (Path("/folder") / getattr(taken, key)).resolve()
        assert inside.is_relative_to("/folder") and inside != Path("/folder"), name
    assert refused > 100


def test_an_honest_study_passes() -> None:
    assert study_from_mapping(STUDY).canonical["name"] == "honest"
    assert len(traversals()) == len(set(traversals())) == 500


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that nobody of flopwise started."""
    with subprocess.Popen(["sleep", "300"]) as process:
        yield process
        process.kill()


def test_a_number_that_is_used_again_is_no_reason_to_kill(
    stranger: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand times a process of the run has gone and a stranger has its number, at every moment of the look."""
    marker = f"FLOPWISE_RUN={os.getpid()}".encode()
    with subprocess.Popen(["true"]) as gone:
        old = os.pidfd_open(gone.pid)
    killed = sum(linux.kill_marked(stranger.pid, marker) for _ in range(5000))
    # The pidfd was opened before, on the process that had the number then; now a marked one has it.
    monkeypatch.setattr(os, "pidfd_open", lambda _: os.dup(old))
    monkeypatch.setattr(linux, "has_marker", lambda *_: True)
    killed += sum(linux.kill_marked(stranger.pid, marker) for _ in range(5000))
    os.close(old)
    assert killed == 0
    assert stranger.poll() is None
