"""Foreign text is made harmless; numbers read well."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopwise.report.text import (
    BARS,
    cell,
    clean,
    clip,
    compact,
    knob,
    number,
    percent,
    plain,
    short_keys,
    sparkline,
    tail,
)

HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07name",
    "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\",
    "\x1b]52;c;aGFjaw==\x07",
    "\x1bP+q544e\x1b\\dcs",
    "\x1b[2J\x1b[Hcleared",
    "\x9b31mc1",
    "\x9d0;c1 title\x9c",
    "cut off \x1b[",
    "cut off \x1b]0;never ended",
    "bell\x07 back\x08space del\x7f",
    "right\u202eto left",
    "line\u2028separator",
    "zero\u200bwidth",
    "lone \ud800 surrogate",
    "\x1bcreset",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_acts_on_a_terminal_survives(text: str) -> None:
    for made in (plain(text), clean(text), cell(text), *tail(text, 5)):
        assert all(char.isprintable() or char == "\n" for char in made), made


@given(st.text(alphabet=st.characters(codec=None), max_size=200))
def test_any_text_at_all_becomes_printable_and_one_line(text: str) -> None:
    made = plain(text)
    assert not any(char < " " or "\x7f" <= char <= "\x9f" for char in made)
    assert len(made.splitlines()) <= 1
    made.encode()


def test_what_is_around_an_escape_sequence_stays() -> None:
    assert plain("a\x1b[1;31mb\x1b[0mc \x1b]0;t\x07d") == "abc d"
    assert plain("two\nlines\tand  blanks") == "two lines and  blanks"


def test_output_keeps_its_lines_and_a_progress_bar_its_last_state() -> None:
    assert clean("a\r\nb\n  c\n") == "a\nb\n  c\n"
    assert tail("10%\r50%\r100%\n\n\nTraceback\n  f(x)\n  ~^^^\nError\n", 3) == ["Traceback", "  f(x)", "Error"]


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("a|b", r"a\|b"),
        ("<script>", r"\<script\>"),
        ("[x](http://y)", r"\[x\](http://y)"),
        ("`code` *bold*", r"\`code\` \*bold\*"),
        ("val_loss", "val_loss"),
        ("_under_ x_ _y", r"\_under\_ x\_ \_y"),
        ("a\nb", "a b"),
        ("&lt;", r"\&lt;"),
    ],
)
def test_markdown_takes_a_cell_literally(text: str, made: str) -> None:
    assert cell(text) == made


@pytest.mark.parametrize(
    ("value", "shown"),
    [(2.5, "2.500"), (0.0123456, "0.01235"), (123456.7, "123457"), (1e-5, "1.000e-05"), (1e7, "1.000e+07"),
     (-3.14159, "-3.142"), (0.0, "0"), (float("inf"), "inf"), (None, "–")],
)  # fmt: skip
def test_numbers_have_four_significant_digits(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_knobs_read_like_a_study_file() -> None:
    assert [knob(v) for v in (True, None, 3, 0.000316227, "gelu\x1b[0m")] == ["true", "null", "3", "0.0003162", "gelu"]


def test_percentages_have_two_or_three_digits() -> None:
    assert [percent(s) for s in (0.0042, 0.0423, 0.116, 1.0, -0.02)] == ["0.42%", "4.2%", "11.6%", "100%", "-2%"]


def test_short_keys_stay_unique() -> None:
    keys = ["model.lr", "train.lr", "train.warmup", "lr", "a.b.lr"]
    short = short_keys(keys)
    assert len(set(short.values())) == len(keys)
    assert short["train.warmup"] == "warmup"
    assert compact({"model.n_layer": 2, "train.lr": 0.1}) == "n_layer 2  lr 0.1"


def test_clip_and_sparkline() -> None:
    assert clip("abcdef", 4) == "abc…"
    assert clip("abcd", 4) == "abcd"
    assert sparkline([3.0, 2.0, 1.0]) == BARS[7] + BARS[4] + BARS[0]
    assert sparkline([1.0, 1.0]) == BARS[0] * 2
    assert sparkline([]) == ""
