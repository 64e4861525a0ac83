"""Expressions: what they compute, what they refuse and where, and that nothing can be reached or kept busy."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopwise.errors import ExpressionError
from flopwise.expression import equal, parse
from flopwise.grammar import MAX_LENGTH

VALUES: dict[str, Any] = {
    "model.n_embd": 64,
    "model.n_head": 4,
    "train.lr": 3e-3,
    "model.kind": "gpt",
    "tied": True,
    "a-b": 2,
    "clip": None,
}


def value(text: str) -> Any:
    return parse(text).value(VALUES.__getitem__)


def complaint(text: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        value(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model.n_embd % model.n_head == 0", True),
        ("model.n_embd // 10", 6),
        ("-7 // 2 * 3 - 1", -13),
        ("2 ** -1 + 2 ** 3 ** 2", 512.5),
        ("7 / 2", 3.5),
        ("1 <= model.n_head < 4", False),
        ("1 <= model.n_head <= 4 <= model.n_embd", True),
        ("model.n_head in [2, 4.0, 8]", True),
        ("model.n_head not in (2, 4)", False),
        ("model.kind in ['gpt', \"other\"]", True),
        ("model.kind == 'gpt' and not model.n_head > 4", True),
        ("tied == true and tied != false and tied == True", True),
        ("tied", True),
        ("tied == 1", False),
        ("1 == 1.0", True),
        ("clip == null", True),
        ("clip == null or clip > 3", True),
        ("clip != null and clip > 3", False),
        ("min(model.n_head, 3) + max(1, 2, 9)", 12),
        ("abs(-3) + round(2.6) + floor(2.6) + ceil(2.1)", 11),
        ("round(train.lr * 7, 2)", 0.02),
        ("sqrt(model.n_embd) + log(1)", 8.0),
        ("64 if model.kind == 'gpt' else 1 / 0", 64),
        ("key('a-b') + 1", 3),
        ("  model.n_head\n  + 1 ", 5),
        ("1e-4 * 1_000", 0.1),
    ],
)
def test_what_expressions_come_to(text: str, expected: Any) -> None:
    found = value(text)
    assert found == expected and type(found) is type(expected)


def test_the_keys_of_an_expression_in_order_with_their_places() -> None:
    expression = parse("min(a.x, b) <= a.x if key('c-d') else tied")
    assert [tuple(key) for key in expression.keys] == [
        ("a.x", 5),
        ("b", 10),
        ("a.x", 16),
        ("c-d", 23),
        ("tied", 39),
    ]
    assert expression.names == {"a.x", "b", "c-d", "tied"}


def test_places_count_characters_and_not_bytes() -> None:
    assert complaint("'ééé' == model.kind or 3").position == 24


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("", 1, "got nothing"),
        ("   ", 1, "got nothing"),
        ("model.n_head = 4", 14, "a comparison is written =="),
        ("model.n_head ==", 16, "ends too early"),
        ("1 + (2", 5, "never closed"),
        ("model.n_head # heads", 14, "no comments"),
        ("1 + pow(2, 3)", 5, "expected one of the functions min, max, abs"),
        ("min(1)", 1, "min takes 2 to 20 plain arguments, got 1"),
        ("abs(1, 2)", 1, "abs takes 1 plain arguments, got 2"),
        ("round(2, ndigits=1)", 1, "plain arguments"),
        ("model.n_head in model.kind", 17, "expected a list such as [1, 2, 4]"),
        ("model.kind + 1", 1, "expected a number, got 'gpt'"),
        ("1 + tied", 5, "expected a number, got true"),
        ("model.n_head and tied", 1, "expected true or false, got 4"),
        ("not clip", 5, "expected true or false, got null"),
        ("model.kind < 'z'", 1, "expected a number"),
        ("1 + model.n_head / (4 - model.n_head)", 5, "a division by zero"),
        ("1 % 0", 1, "a division by zero"),
        ("2 * log(0)", 5, "numbers above zero"),
        ("sqrt(-1)", 1, "numbers above zero"),
        ("(-8) ** 0.5", 1, "a root of a negative number"),
        ("1e308 * 10", 1, "too large"),
        ("10.0 ** 400", 1, "too large"),
        ("1e999", 1, "expected a finite number"),
        ("round(1.5, 99)", 1, "digits"),
        ("key(model)", 1, "key takes one text"),
        ("'a' * 9", 1, "expected a number, got 'a'"),
    ],
)
def test_mistakes_name_their_place(text: str, position: int, words: str) -> None:
    error = complaint(text)
    assert words in error.message
    assert error.position == position
    assert f"at character {position} of " in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "().__class__.__bases__",
        "'a'.join",
        "model.__class__()",
        "[x for x in [1]]",
        "(lambda: 1)()",
        "f'{model.n_head}'",
        "model[0]",
        "[1, 2]",
        "{'a': 1}",
        "(x := 3)",
        "b'bytes'",
        "...",
        "1j",
        "1 is 1",
        "2 @ 3",
        "1 << 9",
        "~1",
        "min(*[1, 2])",
        "await x",
        "yield",
        "x; y",
        "import os",
        "a\x00b",
        "x if tied",
    ],
)
def test_syntax_beyond_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "9" * 400 + " ** 99999999",
        "9 ** 9 ** 9 ** 9",
        "2 ** 100000000",
        "10 ** 299 * 10 ** 299",
        "(" * 240 + "1" + ")" * 240,
        "-" * 499 + "1",
        "not " * 100 + "tied",
        "+".join(["1"] * 249),
        "[" * 400,
        "1 " * 400,
    ],
)
def test_hostile_expressions_are_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        value(text[:MAX_LENGTH])


def test_long_expressions_are_refused() -> None:
    with pytest.raises(ExpressionError, match="501 characters, expected at most 500"):
        parse("1" * 501)


def test_a_long_expression_is_shown_around_the_mistake() -> None:
    text = " + ".join(["model.n_head"] * 20) + " + model.kind"
    assert "model.kind" in str(complaint(text)) and len(str(complaint(text))) < 200


texts = st.text(st.sampled_from("abm.n_ ()[]'\"+-*/%<>=!0123456789e,:andortifls#\n"), max_size=60)


@settings(deadline=None, max_examples=300)
@given(st.one_of(texts, st.text(max_size=40)))
def test_any_text_is_an_expression_or_a_documented_error(text: str) -> None:
    try:
        found = parse(text).value(lambda _: 3)
    except ExpressionError as error:
        assert 1 <= error.position <= len(text) + 1
    else:
        assert found is None or type(found) in (bool, int, float, str)


numbers = st.integers(-50, 50) | st.floats(-50, 50).map(lambda x: round(x, 3))


@settings(deadline=None, max_examples=200)
@given(a=numbers, b=numbers, c=numbers)
def test_arithmetic_is_that_of_python(a: float, b: float, c: float) -> None:
    values = {"a": a, "b": b, "c": c}
    assert parse("a + b * c - (a - b)").value(values.__getitem__) == a + b * c - (a - b)
    assert parse("a < b <= c or c > a").value(values.__getitem__) is (a < b <= c or c > a)
    if b:
        assert parse("a // b + a % b").value(values.__getitem__) == a // b + a % b


def test_equality_keeps_booleans_and_numbers_apart() -> None:
    assert equal(1, 1.0) and equal("a", "a") and equal(True, True) and equal(None, None)
    assert not equal(1, True) and not equal(0, False) and not equal("1", 1) and not equal(None, False)
