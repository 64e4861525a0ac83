"""The same seed gives the same bits: every loss of the curve, alone and beside a busy process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from pathlib import Path
from flopwise.trial import Fidelity
from flopwise.workloads.language_model.run import prepare, run

class Context:
    validate_every = target = None
    count_validation = reached_target = False
    def __init__(self, cache, seed, data):
        self.cache = self.folder = cache
        self.seed, self.fidelity, self.threads, self.data = seed, Fidelity("steps", 20), 1, data
    def report(self, step, **values):
        print(step, *(f"{name}={value.hex()}" for name, value in sorted(values.items())))
    def progress(self, text, done=0.0, total=0.0):
        pass
    def note(self, **facts):
        pass
    def should_stop(self):
        return False

config = {
    "model": {"n_layer": 2, "n_embd": 48, "n_head": 4, "n_kv_head": 2},
    "data": {"valid_tokens": 4096},
    "train": {"batch_size": 8, "sequence_length": 64, "micro_batch_size": 5, "device": "cpu"},
}
cache = Path(sys.argv[1])
pin = prepare(config, Context(cache, 0, {}))
print("ready", flush=True)
sys.stdin.readline()
for seed in sys.argv[2:]:
    for name, value in sorted(run(config, Context(cache, int(seed), pin)).items()):
        print(name, value.hex())
"""
HOG = "x = bytearray(2**24)\nwhile True:\n    x[:] = x[::-1]"


def curves(cache: Path, *seeds: int, beside: str | None = None) -> list[str]:
    """What trainings report, in a process of their own; what runs beside them begins when the data is there."""
    command = [sys.executable, "-c", SCRIPT, str(cache), *map(str, seeds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        hog = None if beside is None else subprocess.Popen([sys.executable, "-c", beside])
        try:
            printed, _ = process.communicate("go\n", timeout=120)
        finally:
            if hog is not None:
                hog.kill()
                hog.wait()
    assert process.returncode == 0
    return printed.splitlines()


def test_the_same_seed_gives_the_same_bits_alone_and_beside_a_busy_process(tmp_path: Path) -> None:
    alone = curves(tmp_path, 5, 6)
    beside = curves(tmp_path, 5, beside=HOG)
    lines = 20 + 3
    assert len(alone) == 2 * lines
    assert beside == alone[:lines]
    assert not set(alone[:lines]) & set(alone[lines:])
