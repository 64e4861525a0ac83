"""Configs spread over a study's space, and what makes two evaluations the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flopwise.registry import load
from flopwise.searchers.constrained import Constrained
from flopwise.seeds import derive
from flopwise.study import baseline_config, rules_of, space_of
from flopwise.trial import Proposal

DRAWS = 4
"""Proposals looked at for every spread config that is wanted: a small space repeats itself."""


def spread(study: Mapping[str, Any], count: int) -> list[Proposal]:
    """Different configs all over the space: the first of a scrambled Sobol sequence, or those of a fixed list.

    Args:
        study: Canonical; its constraints hold in all of them.
        count: How many; fewer where there are no more.
    """
    search, space, rules = study["search"], space_of(study), rules_of(study)
    method = "fixed" if search["method"] == "fixed" else "qmc"
    kind = load("searchers", method)
    options = kind.Options(**search["options"]) if method == "fixed" else kind.Options()

    def make(seed: int) -> Any:
        return kind(space, seed, options, centre=baseline_config(study), population=None)

    seed = derive(search["seed"], "signal")
    searcher = Constrained(make, seed, space, rules.allows) if rules else make(seed)
    most = min(DRAWS * count, kind.size(space, options)) if method == "fixed" else DRAWS * count
    found: dict[str, Proposal] = {}
    for number in range(1, most + 1):
        if len(found) == count:
            break
        (proposal,) = searcher.ask([number])
        found.setdefault(name_of(proposal.config, {}, ()), proposal)
    return list(found.values())


def name_of(config: Mapping[str, Any], stop: Mapping[str, float], seeds: Sequence[int]) -> str:
    """Equal for what need not be evaluated twice; 1 is not true in it."""
    return json.dumps([config, {unit: float(amount) for unit, amount in stop.items()}, list(seeds)], sort_keys=True)
