"""The program of a process that trains its share of every batch: ``python -m … RANK``, the rest on standard input."""

from __future__ import annotations

import sys

from flopwise.errors import NonFinite
from flopwise.training import devices
from flopwise.training.distributed import meet
from flopwise.training.loop import follow
from flopwise.workloads.language_model.config import LanguageModelConfig
from flopwise.workloads.language_model.ranks import Share
from flopwise.workloads.language_model.run import parts


def main(rank: int, share: Share) -> None:
    """Follow the leader until there is no step left; what is not finite is for the leader to report."""
    config = LanguageModelConfig.model_validate(share.config)
    device = devices.choose(config.train.device, config.train.dtype)
    devices.keep_freed_memory()
    share.ready(rank).touch()
    with devices.reproducible(device, share.threads), meet(rank, share.size, device, share.meeting_place) as team:
        training = parts(config, share, device, team)
        try:
            follow(training.module, training.optimizer, training.batches, training.recipe, device, team, training.begun)
        except NonFinite:
            return


if __name__ == "__main__":
    main(int(sys.argv[1]), Share.from_json(sys.stdin.read()))
