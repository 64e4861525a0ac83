"""What does synaptic attention cost beside plain attention, and do its knobs do anything?

    python benchmarks/synaptic.py                          tokens a second of both kinds, 4 x 4 x 128, 8 x 256 tokens
    python benchmarks/synaptic.py --device cuda --compile  the same on an accelerator, compiled
    python benchmarks/synaptic.py --knobs                  held-out loss with each knob at either end of its range
    python benchmarks/synaptic.py --knobs --small          with 2 x 2 x 64 on 4 x 128 tokens: minutes, not an hour

The first trains both kinds in turn, one step each, in one process on one core, and prints the median time of a
whole step (forward, backward, clipping, update) and the median of the ratios of neighbouring steps: a busy machine
slows both.

The second trains the baseline of the pilot with several seeds, then with the first of them each end of the ten ranges,
everything else equal, and prints how far apart the ends are, in nats and in standard deviations of the seeds. What is
done is kept in --kept and not done again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from flopwise.paths import shipped_studies
from flopwise.study import load_study, space_of
from flopwise.study.freeze import with_keys
from flopwise.training import devices
from flopwise.training.loop import accumulate
from flopwise.training.optimizers.adamw import AdamWOptions, adamw
from flopwise.trial import Fidelity
from flopwise.workloads.language_model import run as workload
from flopwise.workloads.language_model.config import ModelConfig
from flopwise.workloads.language_model.model import build

BATCH, LENGTH, VOCABULARY = 8, 256, 256
PILOT = "synaptic/phase1.yaml"
SMALL = {
    "model.n_layer": 2,
    "model.n_head": 2,
    "model.n_kv_head": 2,
    "model.n_embd": 64,
    "train.batch_size": 4,
    "train.sequence_length": 128,
}


def stepper(kind: str, device: devices.Device, compiled: bool) -> Callable[[], float]:
    """A function that makes one training step and returns its seconds."""
    model = build(ModelConfig(kind=kind), VOCABULARY, LENGTH, seed=0).to(device.name)  # type: ignore[arg-type]
    optimizer = adamw(model, AdamWOptions(lr=3e-3))
    run = workload.compiled(model) if compiled else model
    batch = torch.randint(VOCABULARY, (BATCH, LENGTH + 1), generator=torch.Generator().manual_seed(0))

    def step() -> float:
        device.synchronize()
        began = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        accumulate(run, batch, BATCH, device)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        device.synchronize()
        return time.perf_counter() - began

    return step


def cost(device: devices.Device, compiled: bool, rounds: int) -> None:
    plain, synaptic = (stepper(kind, device, compiled) for kind in ("gpt", "synaptic"))
    for _ in range(3):
        plain(), synaptic()
    times = [(plain(), synaptic()) for _ in range(rounds)]
    for kind, column in zip(("gpt", "synaptic"), zip(*times, strict=True), strict=True):
        median = statistics.median(column)
        print(f"{kind:9} {median * 1e3:8.1f} ms a step  {BATCH * LENGTH / median:10,.0f} tokens/s")
    ratios = sorted(there / here for here, there in times)
    low, high = ratios[rounds // 4], ratios[-1 - rounds // 4]
    print(f"synaptic / gpt: {statistics.median(ratios):.2f} x (middle half {low:.2f} to {high:.2f}) on {device.name}")


class Quiet:
    """A workload's context that keeps nothing but what a training needs."""

    def __init__(self, folder: Path, seed: int, steps: int) -> None:
        self.cache = self.folder = folder
        self.seed, self.fidelity, self.threads = seed, Fidelity("steps", steps), 1
        self.data: Mapping[str, Any] = {}

    def report(self, step: int, **values: float) -> None: ...

    def progress(self, text: str, done: float = 0.0, total: float = 0.0) -> None: ...

    def note(self, **facts: Any) -> None: ...

    def should_stop(self) -> bool:
        return False


class Trainings:
    """Held-out losses of configs, each trained once and kept."""

    def __init__(self, base: Mapping[str, Any], steps: int, kept: Path) -> None:
        self._base, self._steps, self._kept = base, steps, kept
        self._losses = json.loads(kept.read_text()) if kept.exists() else {}
        self._folder = Path(tempfile.mkdtemp())
        self._data = workload.prepare(base, Quiet(self._folder, 0, steps))

    def loss(self, seed: int, **changes: float) -> float:
        """Held-out loss with some keys changed."""
        name = json.dumps([self._steps, seed, changes], sort_keys=True)
        if name not in self._losses:
            context = Quiet(self._folder, seed, self._steps)
            context.data = self._data
            self._losses[name] = workload.run(with_keys(self._base, changes), context)["val_loss"]
            self._kept.write_text(json.dumps(self._losses, indent=1))
        return float(self._losses[name])


def knobs(steps: int, seeds: int, kept: Path, small: bool) -> None:
    canonical = load_study(shipped_studies() / PILOT).canonical
    trainings = Trainings(with_keys(canonical["base"], SMALL if small else {}), steps, kept)
    losses = [trainings.loss(seed) for seed in range(seeds)]
    noise = statistics.stdev(losses)
    print(f"baseline {statistics.mean(losses):.5f}, seed SD {noise:.5f} over {seeds} seeds, {steps} steps")
    print(f"plain attention, seed 0: {trainings.loss(0, **{'model.kind': 'gpt'}):.5f}\n")
    print("| knob | low | high | loss at low | at high | apart | seed SDs |\n|---|---|---|---|---|---|---|")
    for key, parameter in space_of(canonical).parameters.items():
        ends = parameter.low, parameter.high
        low, high = (trainings.loss(0, **{key: end}) for end in ends)
        span = max(low, high, losses[0]) - min(low, high, losses[0])
        row = [f"`{key.rpartition('.')[2]}`", *(f"{end:g}" for end in ends), f"{low:.5f}", f"{high:.5f}"]
        print("| " + " | ".join([*row, f"{span:.5f}", f"{span / noise:.1f}"]) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda", "mps"])
    parser.add_argument("--compile", action="store_true", help="torch.compile both")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--knobs", action="store_true", help="what each knob does to the held-out loss")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="with a smaller model")
    parser.add_argument("--kept", type=Path, help="where losses are kept (default: synaptic-knobs[-small].json)")
    arguments = parser.parse_args()
    devices.keep_freed_memory()
    torch.set_num_threads(1)
    if arguments.knobs:
        kept = arguments.kept or Path("synaptic-knobs-small.json" if arguments.small else "synaptic-knobs.json")
        knobs(arguments.steps, arguments.seeds, kept, arguments.small)
        return
    device = devices.choose(arguments.device)
    with devices.reproducible(device, threads=1):
        cost(device, arguments.compile, arguments.rounds)


if __name__ == "__main__":
    main()
