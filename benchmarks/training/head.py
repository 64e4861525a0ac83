"""Does it pay to compute the loss in pieces? ``python -m benchmarks.training.head``.

Loss of a linear head and its gradients, all scores at once and in pieces, in turns. The code takes pieces only where
there are more scores than :data:`flopwise.training.cross_entropy.AT_ONCE` twice over.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from flopwise.training import devices
from flopwise.training.cross_entropy import AT_ONCE, ELSEWHERE, in_pieces


def seconds(device: devices.Device, x: Tensor, weight: Tensor, targets: Tensor, tokens: int | None) -> float:
    """Of one forward and backward pass; ``tokens`` at a time, None for all at once."""
    device.synchronize()
    began = time.perf_counter()
    with device.precision():
        if tokens is None:
            loss = F.cross_entropy(F.linear(x, weight), targets, reduction="sum")
        else:
            loss = in_pieces(x, weight, targets, tokens)
    torch.autograd.grad(loss, (x, weight))
    device.synchronize()
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    device = devices.choose(options.device)
    devices.keep_freed_memory()
    torch.set_num_threads(1)
    print("| vocabulary | tokens at a time | at once ms | in pieces ms | pieces are |\n|---|---|---|---|---|")
    for vocabulary in (8192, 50304):
        x = torch.randn(options.tokens, options.width, device=device.name, requires_grad=True)
        weight = (0.02 * torch.randn(vocabulary, options.width, device=device.name)).requires_grad_()
        targets = torch.randint(vocabulary, (options.tokens,), device=device.name)
        tokens = AT_ONCE.get(device.name, ELSEWHERE) // vocabulary
        rounds = [[seconds(device, x, weight, targets, n) for n in (None, tokens)] for _ in range(options.rounds + 1)][
            1:
        ]
        whole, pieces = (statistics.median(column) * 1e3 for column in zip(*rounds, strict=True))
        ratio = statistics.median(a / b for a, b in rounds)
        print(f"| {vocabulary:,} | {tokens} | {whole:.0f} | {pieces:.0f} | {ratio:.2f} x as fast |", flush=True)


if __name__ == "__main__":
    main()
