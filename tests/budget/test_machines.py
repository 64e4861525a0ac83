"""Cheapest and fastest machine for each tier, from what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flopwise.budget.machines import Catalogue, Machine, Scaling, advise, assumptions, scalings
from flopwise.budget.plan import Calibration, Plan, make_plan
from flopwise.engine.catalogue import load_catalogue
from flopwise.errors import InputError, StudyError
from flopwise.report.machines import machines_json, machines_text
from flopwise.study import parse_study

GIB = 2.0**30
STUDY = parse_study(
    """
name: priced
workload: function
space: {x: {type: float, low: 0, high: 1}}
objective: {metric: loss}
search: {method: cmaes}
tiers: {min: {population: 8, generations: 2}, target: {population: 16, generations: 10}}
confirm: {top: 2, seeds: 4}
"""
).canonical
FAST = Machine("fast", 32, 128 * GIB, 10.0)
CHEAP = Machine("cheap", 4, 16 * GIB, 0.5)
ODD = Machine("odd", 3, 12 * GIB, 0.6)
CATALOGUE = Catalogue("USD", "2026-01-30", "a list", (CHEAP, ODD, FAST))


def planned(peak: int | None = None) -> Plan:
    calibration = Calibration((10.0, 10.0), (1.0, 1.1), peak)
    return make_plan(STUDY, calibration, slots=4)


def test_more_slots_are_faster_and_the_cheapest_has_none_idle() -> None:
    first, second = advise(STUDY, planned(), [Scaling(1, ((1.0, 10.0),))], CATALOGUE)
    assert (first.tier, second.tier) == ("min", "target")
    assert first.cheapest is not None and first.fastest is not None
    assert (first.cheapest.machine, first.fastest.machine) == ("cheap", "fast")
    assert first.cheapest.slots == 4
    assert first.cheapest.wall_s == 10.0 * (2 * 2 + 1 + 2)
    assert first.cheapest.price == pytest.approx(0.5 / 3600 * first.cheapest.wall_s)
    assert first.fastest.wall_s == 10.0 * (2 + 1 + 1)
    assert [offer.slots for offer in first.offers] == [4, 3, 8], "a generation of 8 fills no more than 8"
    assert second.fastest is not None and second.fastest.slots == 16


def test_memory_bounds_the_slots_and_what_does_not_fit_is_not_offered() -> None:
    scaling = Scaling(1, ((1.0, 10.0),), peak_rss_bytes=int(6 * GIB))
    assert [scaling.slots(machine) for machine in CATALOGUE.machines] == [2, 1, 19]
    assert Scaling(8, ((1.0, 10.0),)).slots(CHEAP) == 0
    (advice, _) = advise(STUDY, planned(), [Scaling(64, ((1.0, 10.0),))], CATALOGUE)
    assert advice.cheapest is None and advice.offers == ()


def test_evaluations_slow_each_other_down_as_they_did_here() -> None:
    scaling = Scaling(1, ((0.25, 10.0), (1.0, 40.0)))
    assert scaling.seconds(CHEAP, 1) == 10.0
    assert scaling.seconds(CHEAP, 4) == 40.0
    assert scaling.seconds(CHEAP, 2) == pytest.approx(20.0)
    assert scaling.seconds(FAST, 1) == 10.0


def test_only_the_measured_kind_of_gpu_is_compared() -> None:
    scaling = Scaling(2, ((0.5, 10.0),), gpus=1, gpu="H200")
    rows = [Machine("a", 16, 64 * GIB, 4.0, 2, "H200"), Machine("b", 16, 64 * GIB, 1.0, 8, "T4"), CHEAP]
    assert [scaling.slots(machine) for machine in rows] == [2, 0, 0]
    assert any("kind of GPU" in sentence for sentence in assumptions([scaling], None))


def test_a_measured_packing_gives_one_scaling_a_number_of_threads() -> None:
    def pair(slots: int, threads: int, seconds: float | None, peak: int) -> dict[str, Any]:
        return {"slots": slots, "threads": threads, "seconds": seconds, "peak_rss_bytes": peak}

    packing = {"pairs": [pair(1, 4, 5.0, 100), pair(2, 2, 8.0, 90), pair(4, 1, 20.0, 80), pair(8, 1, None, 0)]}
    found = scalings(planned(), {"cores": 4}, {"threads": 1}, packing)
    assert [(s.threads, s.points, s.peak_rss_bytes) for s in found] == [
        (1, ((1.0, 20.0),), 80),
        (2, ((1.0, 8.0),), 90),
        (4, ((1.0, 5.0),), 100),
    ]
    (alone,) = scalings(planned(7), {"cores": 8, "accelerators": []}, {"threads": 1}, None)
    assert alone == Scaling(1, ((0.5, 10.0),), 7)


def test_the_shipped_catalogue_is_that_of_the_document() -> None:
    shipped = load_catalogue("azure-d-v7")
    prices = {machine.name: (machine.cores, machine.price_per_hour) for machine in shipped.machines}
    assert prices["D4as_v7"] == (4, 0.20) and prices["D128as_v7"] == (128, 3.50) and len(prices) == 7
    assert shipped.priced == "2026-01-30" and "NAS CLI" in shipped.source
    assert shipped.machines[-1].memory_bytes == 512 * GIB


def test_a_catalogue_with_mistakes_names_all_of_them_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "priced: 2026-02-01\nsource: me\nmachines:\n"
        "  - {name: a, cores: 2, memory: 8 GiB, price_per_hour: 0.1, cpus: 2}\n"
        "  - {name: b, cores: 0, memory: 8 GiB, price_per_hour: 0.1}\n"
        "  - {name: c, cores: 2, memory: 8, price_per_hour: cheap}\n"
    )
    with pytest.raises(StudyError) as caught:
        load_catalogue(str(file))
    said = str(caught.value)
    for line, what in (
        (4, "machines.0.cpus"),
        (5, "machines.1.cores"),
        (6, "machines.2.memory"),
        (6, "price_per_hour"),
    ):
        assert f"mine.yaml:{line}" in said and what in said
    file.write_text(
        "priced: 2026-02-01\nsource: me\nmachines:\n"
        "  - {name: a, cores: 2, memory: 8 GiB, price_per_hour: 0.1}\n"
        "  - {name: a, cores: 4, memory: 8 GiB, price_per_hour: 0.1}\n"
    )
    with pytest.raises(StudyError, match="a is there twice"):
        load_catalogue(str(file))
    with pytest.raises(InputError, match="azure-d-v7"):
        load_catalogue("azure-e-v9")


def test_the_table_says_where_prices_are_from_and_what_is_assumed() -> None:
    measured = [Scaling(1, ((1.0, 10.0),))]
    advice, assumed = advise(STUDY, planned(), measured, CATALOGUE), assumptions(measured, None)
    text = machines_text(advice, CATALOGUE, assumed)
    assert "cheapest" in text and "4 × 1" in text and "2026-01-30" in text and "threads: auto" in text
    as_json = json.loads(json.dumps(machines_json(advice, CATALOGUE, assumed)))
    assert as_json["tiers"][0]["cheapest"]["machine"] == "cheap" and len(as_json["tiers"][0]["offers"]) == 3
