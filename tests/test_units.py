"""Numbers with units: what is read, what is refused and how, and that printing is undone by reading."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise import units
from flopwise.errors import InputError

relaxed = settings(deadline=None, max_examples=200)
amounts = st.floats(min_value=1e-3, max_value=1e15)
anything = st.one_of(
    st.text(max_size=40), st.integers(), st.floats(), st.none(), st.booleans(), st.lists(st.integers())
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (90, 90),
        (0.5, 0.5),
        ("90", 90),
        ("90s", 90),
        ("90 sec", 90),
        ("250ms", 0.25),
        ("10m", 600),
        ("10 min", 600),
        ("1h30m", 5400),
        ("1h 30m 5s", 5405),
        ("1.5h", 5400),
        (" 2d ", 172800),
        (0, 0),
    ],
)
def test_reads_seconds(text: object, seconds: float) -> None:
    assert units.parse_seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "flops"), [(1.5e11, 1.5e11), ("1.5e11 FLOPs", 1.5e11), ("150 GFLOP", 1.5e11), ("2k", 2000)]
)
def test_reads_flops(text: object, flops: float) -> None:
    assert units.parse_flops(text) == pytest.approx(flops, rel=1e-15)


@pytest.mark.parametrize(("text", "count"), [("2.1 M", 2.1e6), ("300k", 3e5), ("7B", 7e9), (512, 512)])
def test_reads_counts(text: object, count: float) -> None:
    assert units.parse_count(text) == count


@pytest.mark.parametrize(("text", "size"), [("1.5 GiB", 1.5 * 2**30), ("512 MB", 512e6), (1024, 1024), ("7 B", 7)])
def test_reads_bytes(text: object, size: float) -> None:
    assert units.parse_bytes(text) == size


@pytest.mark.parametrize(("text", "money"), [("$0.0031", 0.0031), (0.2, 0.2), ("12", 12), ("$ 3", 3)])
def test_reads_money(text: object, money: float) -> None:
    assert units.parse_money(text) == money


@pytest.mark.parametrize(
    "parse", [units.parse_seconds, units.parse_flops, units.parse_count, units.parse_bytes, units.parse_money]
)
@pytest.mark.parametrize(
    "value", ["", "ten", "-1", -1, math.nan, math.inf, True, None, "1 parsec", "1e999", [], "1 2", "nan", "0x10"]
)
def test_refusals_say_what_was_expected_and_what_came(parse: object, value: object) -> None:
    with pytest.raises(InputError) as caught:
        parse(value)  # type: ignore[operator]
    assert caught.value.expected
    assert caught.value.got == repr(value)
    assert "such as" in str(caught.value)


@relaxed
@given(anything)
def test_nothing_else_comes_out_of_parsing(value: object) -> None:
    for parse in (units.parse_seconds, units.parse_flops, units.parse_count, units.parse_bytes, units.parse_money):
        try:
            assert math.isfinite(parse(value))
        except InputError:
            continue


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.0042, "4.2 ms"),
        (0.25, "250 ms"),
        (0.9996, "1.0 s"),
        (3.14, "3.1 s"),
        (59.96, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.6, "1 h 00 min"),
        (5400, "1 h 30 min"),
        (86399, "1 d 00 h"),
        (1e6, "11 d 14 h"),
    ],
)
def test_prints_durations_for_people(seconds: float, text: str) -> None:
    assert units.format_seconds(seconds) == text


def test_prints_flops_in_both_forms() -> None:
    assert units.format_flops(1.5e11) == "150 GFLOP"
    assert units.scientific_flops(1.5e11) == "1.5e11 FLOPs"
    assert units.scientific_flops(899678208) == "8.996782e8 FLOPs"
    assert units.scientific_flops(12) == "12 FLOPs"


def test_a_rounded_mantissa_takes_the_next_prefix() -> None:
    assert units.format_count(999_600) == "1 M"
    assert units.format_flops(999.7e9) == "1 TFLOP"
    assert units.format_bytes(1023.96 * 2**20) == "1.0 GiB"


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "$0.00"), (0.0031, "$0.0031"), (0.0999, "$0.10"), (12.5, "$12.50"), (1234.5, "$1,234.50")]
)
def test_prints_money(amount: float, text: str) -> None:
    assert units.format_money(amount) == text


@relaxed
@given(amounts)
def test_reading_undoes_printing(amount: float) -> None:
    assert units.parse_flops(units.format_flops(amount)) == pytest.approx(amount, rel=6e-3)
    assert units.parse_flops(units.scientific_flops(amount)) == pytest.approx(amount, rel=1e-5)
    assert units.parse_count(units.format_count(amount)) == pytest.approx(amount, rel=6e-3)
    assert units.parse_bytes(units.format_bytes(amount)) == pytest.approx(amount, rel=0.06, abs=0.51)
    assert units.parse_money(units.format_money(amount).replace(",", "")) == pytest.approx(amount, rel=0.06)
    assert units.parse_seconds(units.format_seconds(amount)) == pytest.approx(amount, rel=0.06)
