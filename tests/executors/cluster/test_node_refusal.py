"""Which nodes get no work, and what their owner is told to do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import flopwise
from flopwise.executors.cluster import probe

OURS = {"python": (3, 11, 7), "flopwise": "1.0", "digest": "d"}
GOOD = {
    "host": "n1",
    "python": [3, 11, 2],
    "executable": "/opt/bin/python",
    "platform": "linux",
    "flopwise": "1.0",
    "digest": "d",
    "problem": "",
    "cpu": "",
}


def test_a_node_as_it_should_be_is_taken() -> None:
    assert probe.refusal(GOOD, "n1", OURS) is None


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"python": [3, 12, 0]}, "it has Python 3.12.0, this is 3.11.7; there: start Ray there with Python 3.11"),
        ({"problem": "ModuleNotFoundError: No module named 'flopwise'"}, "/opt/bin/python -m pip install 'flopwise["),
        ({"flopwise": "0.9"}, "it has flopwise 0.9, this is 1.0; there: /opt/bin/python -m pip install"),
        ({"digest": "e"}, "other sources than this one"),
        ({"platform": "darwin"}, "attempts need Linux"),
    ],
)
def test_any_other_is_named_with_what_mends_it(found: dict[str, object], said: str) -> None:
    text = probe.refusal({**GOOD, **found}, "n1 (10.0.0.7)", OURS)
    assert text is not None and text.startswith("node n1 (10.0.0.7) is left out: ") and said in text


def test_a_node_that_cannot_be_asked_is_left_out() -> None:
    assert "could not be asked (gone)" in (probe.refusal({"problem": "gone"}, "n1", OURS) or "")


def test_this_machine_would_be_taken() -> None:
    found = probe.look()
    ours = {
        "python": sys.version_info[:3],
        "flopwise": flopwise.__version__,
        "digest": probe.digest(Path(flopwise.__file__).parent),
    }
    assert probe.refusal(found, "here", ours) is None
