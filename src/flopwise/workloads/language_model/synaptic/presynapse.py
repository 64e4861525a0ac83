"""The presynaptic side: what calcium and vesicles an edge has, and how likely it releases.

Shapes: B sequences, N heads, I queries (time passes along them), J keys.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from flopwise.workloads.language_model.synaptic.config import SynapticConfig
from flopwise.workloads.language_model.synaptic.counts import EDGE_CHUNK
from flopwise.workloads.language_model.synaptic.recurrence import Dynamics, Recurrence, leak
from flopwise.workloads.language_model.synaptic.release import log_release, release_probability

EDGE = math.sqrt(3)
"""Half the width of the even distribution with variance 1."""


class Presynapse(nn.Module):
    """Log of the release of every edge, from the attention logits of all queries so far.

    For the edge from key j, as queries i = j, j + 1, … look at it with logit s:

        calcium    c_i = tau_c c_{i-1} + alpha_c softplus(s_i)
        sensors    p_i = [share c⁴/(c⁴ + syt1_kd⁴) + (1 - share) c²/(c² + syt7_kd²)]
                         * [1 - clamp complexin_kd²/(c² + complexin_kd²)]
        vesicles   y_i = (1 - rec_rate) y_{i-1} + p_i                       released, not yet recycled
                   z_i = (1 - prime_rate) z_{i-1} + rec_rate y_{i-1}        recycled, not yet primed
                   n_i = init_rrp / (1 + y_{i-1} + z_{i-1})                 readily releasable
        release    r_i = spontaneous + 1 - exp(-n_i p_i)                    at least one vesicle of n_i

    Exactly, a vesicle that is not in the pool cannot be released: y would grow by p n / init_rrp, and the recurrence
    would not be linear. This form has the same pool at rest, to first order in p, and in the steady state of any
    constant p, which is init_rrp / (1 + p (1/prime_rate + 1/rec_rate)); on the way there it empties more slowly (by
    at most a quarter of init_rrp for p = 0.4), and it never leaves 0 to init_rrp.

    In training a share of the edges releases a random number of vesicles in place of n p: mean n p and variance
    n p (1 - p) of a binomial count, drawn so that gradients pass through it, and never below zero.

    Sources: pool and recovery, Tsodyks and Markram, PNAS 94:719, 1997; release of at least one vesicle, Dobrunz and
    Stevens, Neuron 18:995, 1997; Hill exponents of the two sensors and the clamp, Südhof, Neuron 80:675, 2013.

    Args:
        config: The knobs.
        longest: Most queries there will be.
    """

    def __init__(self, config: SynapticConfig, longest: int) -> None:
        super().__init__()
        self.config = config
        self.calcium = Recurrence(leak(config.tau_c, config.alpha_c), EDGE_CHUNK, longest)
        self.spent = Recurrence(_vesicle_cycle(config), EDGE_CHUNK, longest)

    def forward(self, scores_bnij: Tensor, noise_bnij: Tensor | None) -> Tensor:
        """Log release, of the shape of the logits.

        Args:
            scores_bnij: Attention logits; minus infinity where a key comes after the query.
            noise_bnij: Deviation of the released vesicles from their mean, in standard deviations; None for none.
        """
        p_bnij = release_probability(self.calcium(F.softplus(scores_bnij)), self.config)
        return log_release(p_bnij, self.spent(p_bnij), noise_bnij, self.config)


class ReleaseNoise:
    """Random deviations for a share of edges, from a seed of their own: the global random state is not touched.

    Deviations are even between -√3 and √3 (mean 0, variance 1), so one random number both chooses an edge and
    draws its deviation.

    Args:
        share: Of the edges, above 0.
        seed: Equal seeds give equal noise on the same kind of device.
    """

    def __init__(self, share: float, seed: int) -> None:
        self._share, self._seed = share, seed
        self._generators: dict[torch.device, torch.Generator] = {}

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def draw(self, like: Tensor) -> Tensor:
        """The next deviations, of the shape of ``like``; zero where release is not random."""
        most = EDGE * (2 / self._share - 1)
        even = torch.empty_like(like).uniform_(-EDGE, most, generator=self._generator(like.device))
        return even.masked_fill_(even >= EDGE, 0.0)

    def state(self) -> dict[str, Tensor]:
        """Where its random streams stand, by device."""
        return {str(device): generator.get_state() for device, generator in self._generators.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Inverse of :meth:`state`; a device that is not in it starts from the seed."""
        for name, stream in state.items():
            device = torch.device(name)
            self._generators[device] = torch.Generator(device)
            self._generators[device].set_state(stream)

    def _generator(self, device: torch.device) -> torch.Generator | None:
        if device.type == "meta":
            return None
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]


def _vesicle_cycle(config: SynapticConfig) -> Dynamics:
    """Vesicles missing from the pool: released ones are recycled, then primed."""
    transition = [[1 - config.rec_rate, 0.0], [config.rec_rate, 1 - config.prime_rate]]
    return Dynamics(transition, inflow=[1.0, 0.0], outflow=[1.0, 1.0], lagged=True)
