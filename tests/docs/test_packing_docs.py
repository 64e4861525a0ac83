"""docs/executors.md, Packing: the table is what the code makes of the numbers that the page says it is made of."""

from __future__ import annotations

import re
from pathlib import Path

from rich.console import Console

from flopwise.budget.packing import Pair, candidates, choose, evaluations_per_hour, next_pair
from flopwise.events import PackingChosen, PackingMeasured, SessionOpened
from flopwise.report.grid import Drawing
from flopwise.report.packing import Packings, packing_grid, packing_sentences
from flopwise.report.tables import render

DOC = (Path(__file__).parents[2] / "docs" / "executors.md").read_text()
GIB = 2**30


def seconds(threads: int) -> float:
    """225 s on one thread, of which 30% gain by more."""
    return 225 * (0.7 + 0.3 / threads)


def measured(pair: Pair) -> PackingMeasured:
    each = [seconds(pair.threads)] * pair.slots
    rate = evaluations_per_hour(pair.slots, each)
    return PackingMeasured(pair.slots, pair.threads, each, rate, 3 * GIB // 2, "", sum(each), 0.0, 0.0)


def test_the_table_of_128_cores_is_what_comes_of_its_numbers() -> None:
    settled: dict[Pair, PackingMeasured] = {}
    packings = Packings()
    packings.apply(SessionOpened(1, 1, "", "", "", {"cores": 128}, [], "", 0.0))
    pairs = candidates(128, None, most=300, nodes=2)
    while (pair := next_pair(pairs, settled, 512 * GIB)) is not None:
        settled[pair] = measured(pair)
        packings.apply(settled[pair])
    choice = choose(pairs, settled)
    assert choice is not None
    packings.apply(PackingChosen(choice.pair.slots, choice.pair.threads, 128, choice.reason))
    packing = packings.to_json(price_per_hour=3.50)
    assert packing is not None
    table = render(Drawing(packing_grid(packing)), console=Console(width=80))
    (shown,) = re.findall(r"```text\n(slots × threads.*?)\n```", DOC, re.DOTALL)
    assert "\n".join([table, "", *packing_sentences(packing)]) == shown


def test_what_15_workers_of_6_threads_would_do() -> None:
    rate = evaluations_per_hour(15, [seconds(6)])
    assert f"15 × 6 would do {rate:.0f} an hour" in DOC
