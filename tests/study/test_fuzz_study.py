"""Whatever the text, only the documented errors come out of reading a study."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flopwise.errors import InputError, StudyError
from flopwise.study import Study, parse_study, study_from_mapping
from flopwise.study.template import template

relaxed = settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
VALID = template("pilot").replace("language_model", "toy")
YAML_BITS = [
    *(
        "{",
        "}",
        "[",
        "]",
        ":",
        ": ",
        "-",
        "- ",
        "\n",
        "\n  ",
        ",",
        "#",
        "&a ",
        "*a",
        "!",
        "!!python/name:x",
        "|",
        ">",
        "%",
    ),
    *(
        "'",
        '"',
        "? ",
        "---",
        "...",
        "\t",
        "\\",
        "~",
        "<<",
        "1e-4",
        ".nan",
        "1e999",
        "true",
        "0x",
        "\u2028",
        "\x00",
        "\ufeff",
        "@",
    ),
    *(
        "name",
        "workload",
        "toy",
        "base",
        "space",
        "train.lr",
        "type",
        "float",
        "low",
        "high",
        "choices",
        "stop",
        "flops",
        "tiers",
        "when",
        "constraints",
        "derived",
        "groups",
        "freeze",
        "train.lr < 1",
        "net.width % 2",
    ),
]


def only_documented_errors(text: str) -> None:
    """A study or a ``StudyError`` with places; anything else fails the test."""
    try:
        assert isinstance(parse_study(text, "s.yaml"), Study)
    except StudyError as error:
        assert error.problems
        assert all(problem.where.startswith("s.yaml:") for problem in error.problems)
        assert all(problem.key and problem.message for problem in error.problems)


@relaxed
@given(st.text(max_size=300))
def test_random_text(text: str) -> None:
    only_documented_errors(text)


@relaxed
@given(st.lists(st.sampled_from(YAML_BITS), max_size=40))
def test_random_yaml_pieces(bits: list[str]) -> None:
    only_documented_errors("".join(bits))


@relaxed
@given(st.data())
def test_mutated_valid_files(data: st.DataObject) -> None:
    text = VALID
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        length = data.draw(st.integers(0, 30))
        piece = data.draw(st.one_of(st.sampled_from(YAML_BITS), st.text(max_size=4), st.just(text[start : start + 15])))
        text = text[:start] + piece + text[start + length :]
    only_documented_errors(text)


scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=2),
    st.sampled_from(YAML_BITS),
)
names = st.one_of(
    st.sampled_from([*YAML_BITS, "search", "method", "draws", "policies", "watch", "train", "lr"]), scalars
)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5), max_leaves=20
)
RELATIONS = ["constraints", "derived", "groups"]
SECTIONS = [
    "name",
    "workload",
    "base",
    "space",
    *RELATIONS,
    "objective",
    "evaluation",
    "search",
    "tiers",
    "limits",
    "execution",
]


@relaxed
@given(st.dictionaries(st.sampled_from([*SECTIONS, "policies", "calibration", "confirm"]), trees))
def test_random_mappings(mapping: dict[str, Any]) -> None:
    try:
        study_from_mapping({"name": "x", "workload": "toy", **mapping})
    except InputError as error:
        assert str(error)
