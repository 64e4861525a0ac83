"""The cheapest and the fastest machine for every tier, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from flopwise.budget.machines import Advice, Catalogue, Offer
from flopwise.report.grid import Column, Drawing, Grid, right
from flopwise.report.tables import render
from flopwise.report.text import plain
from flopwise.units import format_money, format_seconds


def machines_grid(advice: Iterable[Advice]) -> Grid:
    """Two rows a tier: the cheapest machine and the fastest."""
    titles = ("slots × threads", "each", "wall clock", "price")
    columns: list[str | Column] = ["tier", "", "machine", *map(right, titles)]
    return Grid.of(columns, [row for each in advice for row in _rows(each)])


def _rows(advice: Advice) -> Iterator[tuple[str, ...]]:
    if advice.cheapest is None or advice.fastest is None:
        yield (advice.tier, "", "none of the catalogue fits", "", "", "", "")
        return
    yield (advice.tier, "cheapest", *_cells(advice.cheapest))
    yield ("", "fastest", *_cells(advice.fastest))


def _cells(offer: Offer) -> tuple[str, ...]:
    cut = f"{offer.slots} × {offer.threads}"
    return offer.machine, cut, format_seconds(offer.seconds), format_seconds(offer.wall_s), format_money(offer.price)


def machines_text(
    advice: Sequence[Advice], catalogue: Catalogue, assumed: Sequence[str], console: Console | None = None
) -> str:
    """Table, source of the prices, and what is assumed.

    Args:
        advice: For every tier.
        catalogue: Where the machines are from.
        assumed: Sentences.
        console: Whose width and colours count; None for standard output's.
    """
    source = f"Prices in {plain(catalogue.currency)} of {plain(catalogue.priced)}: {plain(catalogue.source)}."
    sentences = [Text(plain(sentence)) for sentence in (source, *assumed)]
    return render(Drawing(machines_grid(advice)), Text(""), *sentences, console=console)


def machines_json(advice: Iterable[Advice], catalogue: Catalogue, assumed: Sequence[str]) -> dict[str, Any]:
    """The same for programs: every machine that fits, and which of them are cheapest and fastest."""
    about = {"currency": catalogue.currency, "priced": catalogue.priced, "source": catalogue.source}
    return {**about, "assumed": list(assumed), "tiers": [asdict(each) for each in advice]}
