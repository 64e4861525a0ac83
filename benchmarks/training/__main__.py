"""Tokens a second of one training step: ``python -m benchmarks.training``.

    python -m benchmarks.training                   GPT and AdamW beside loops written by hand; Muon's share of a step
    python -m benchmarks.training --quick           one round of each, for a look
    python -m benchmarks.training --device cuda     11 x 768, vocabulary 50,304, sequences of 1,024, bfloat16, compiled

All contenders take turns in one process, a few steps a round, so that a busy machine is busy for all of them; figures
are medians of the rounds, ratios are medians of the rounds' ratios. Exit code 1 when a promise is broken: at least the
throughput of a plain loop with the same architecture, and at most 10% of a Muon step of 16,384 tokens spent in Muon.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from benchmarks.training import ours, plain
from benchmarks.training.shape import Shape

from flopwise.training import devices

SMALL = Shape(4, 4, 256, 680, 8192, 256, 8, 8)
SHARES = Shape(4, 4, 256, 680, 8192, 256, 64, 8)
LARGE = Shape(11, 6, 768, 2048, 50304, 1024, 64, 16)
MOST_SHARE, LEAST_RATIO = 0.10, 1.0
MUON = {"kind": "muon"}
OPTIMIZERS: dict[str, Mapping[str, Any]] = {
    "gpt, adamw": {},
    "gpt, muon, polar express": {"train": {"optimizer": MUON}},
    "gpt, muon, newton-schulz": {"train": {"optimizer": {**MUON, "orthogonalisation": "newton_schulz"}}},
    "gpt, muon, VR and CWD": {
        "train": {"optimizer": {**MUON, "variance_reduction": True, "cautious_weight_decay": True}}
    },
    "ngpt, muon, polar express": {"model": {"kind": "ngpt"}, "train": {"optimizer": MUON}},
}

Steps = Callable[[int], None]


def measured(
    contenders: Mapping[str, Steps], rounds: int, count: int, device: devices.Device
) -> dict[str, list[float]]:
    """Seconds a step of every contender in every round."""
    for steps in contenders.values():
        steps(2)
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, steps in contenders.items():
            device.synchronize()
            began = time.perf_counter()
            steps(count)
            device.synchronize()
            found[name].append((time.perf_counter() - began) / count)
    return found


def beside_plain(shape: Shape, device: devices.Device, compiled: bool, rounds: int, count: int) -> bool:
    """flopwise's GPT and AdamW beside plain loops; whether the promise is kept."""
    tokens = text(shape)
    steps, _ = ours.steps_of(shape, tokens, device, {}, compiled, timed=False)
    contenders = {
        "flopwise": steps,
        "plain loop": plain.steps_of(shape, tokens, device.name, "modern", compiled),
        "plain nanoGPT": plain.steps_of(shape, tokens, device.name, "nanogpt", compiled),
    }
    seconds = measured(contenders, rounds, count, device)
    print(f"\n{title(shape, device)}\n\n| | tokens/s | flopwise is |\n|---|---|---|")
    ratios = {}
    for name, each in seconds.items():
        ratios[name] = statistics.median(b / a for a, b in zip(seconds["flopwise"], each, strict=True))
        print(f"| {name} | {shape.tokens / statistics.median(each):,.0f} | {ratios[name]:.2f} x |", flush=True)
    return ratios["plain loop"] >= LEAST_RATIO


def shares(shape: Shape, device: devices.Device, compiled: bool, rounds: int) -> bool:
    """How much of a step the optimizer takes; whether the promise is kept."""
    tokens = text(shape)
    both = {
        name: ours.steps_of(shape, tokens, device, settings, compiled, timed=True)
        for name, settings in OPTIMIZERS.items()
    }
    before = {}
    for name, (steps, spent) in both.items():
        steps(2)
        before[name] = spent()
    seconds: dict[str, list[float]] = {name: [] for name in both}
    for _ in range(rounds):
        for name, (steps, _) in both.items():
            began = time.perf_counter()
            steps(1)
            device.synchronize()
            seconds[name].append(time.perf_counter() - began)
    print(f"\n{title(shape, device)}\n\n| | tokens/s | optimizer, of a step |\n|---|---|---|")
    found = {}
    for name, (_, spent) in both.items():
        found[name] = (spent() - before[name]) / sum(seconds[name])
        print(f"| {name} | {shape.tokens / statistics.median(seconds[name]):,.0f} | {found[name]:.1%} |", flush=True)
    return max(found.values()) <= MOST_SHARE


def text(shape: Shape) -> np.ndarray:
    """Random tokens; what they are does not matter here."""
    return np.random.default_rng(0).integers(shape.vocabulary, size=1 << 20, dtype=np.uint16)


def title(shape: Shape, device: devices.Device) -> str:
    """Shape and device, for the reader."""
    size = f"{shape.layers} x {shape.width}, vocabulary {shape.vocabulary:,}"
    return f"{size}, {shape.batch} sequences of {shape.length} tokens a step, {device.name}, {device.dtype}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    device, on_cuda = devices.choose(options.device), options.device == "cuda"
    devices.keep_freed_memory()
    rounds = 1 if options.quick else options.rounds
    with devices.reproducible(devices.Device("cpu"), options.threads):
        fast = beside_plain(LARGE if on_cuda else SMALL, device, on_cuda, rounds, count=20 if on_cuda else 2)
        lean = shares(LARGE if on_cuda else SHARES, device, on_cuda, max(1, rounds // 2))
    for kept, promise in ((fast, "at least as fast as a plain loop"), (lean, "at most 10% of a step in the optimizer")):
        print(f"{'kept' if kept else 'BROKEN'}: {promise}")
    return 0 if fast and lean else 1


if __name__ == "__main__":
    sys.exit(main())
