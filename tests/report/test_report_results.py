"""All runs at a glance, and some side by side."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from flopwise.errors import InputError
from flopwise.journal.log import Journal
from flopwise.report.compare import Side, compare, to_json
from flopwise.report.grid import Drawing
from flopwise.report.results import list_results, results_grid


def test_every_run_has_its_line_newest_first(story: Any, run_folder: Any, tmp_path: Any) -> None:
    run_folder(story().finished().events, "older")
    newer = story().searched()
    object.__setattr__(newer.events[0], "created", "2031-01-01T00:00:00+00:00")
    folder = run_folder(newer.events, "newer")
    with Journal.open(folder):
        first, second = list_results(tmp_path / "runs")
    assert (first.run, first.standing, first.best, first.confirmed) == ("newer", "running", 2.2, False)
    assert (second.run, second.standing, second.confirmed) == ("older", "GO", True)
    assert second.best == pytest.approx(2.21) and second.baseline == pytest.approx(2.5)
    assert second.evaluations == 16


def test_a_run_whose_process_is_gone_says_so(story: Any, run_folder: Any, tmp_path: Any) -> None:
    run_folder(story().searched().events)
    assert [result.standing for result in list_results(tmp_path / "runs")] == ["killed"]


def test_a_damaged_run_hides_no_other(story: Any, run_folder: Any, tmp_path: Any) -> None:
    run_folder(story().finished().events, "good")
    damaged = run_folder(story().finished().events, "bad").journal
    damaged.write_bytes(damaged.read_bytes().replace(b"pilot", b"pilat", 1))
    standings = {result.run: result.standing for result in list_results(tmp_path / "runs")}
    assert standings == {"good": "GO", "bad": "damaged"}


def test_no_runs_is_no_error(tmp_path: Any) -> None:
    assert list_results(tmp_path / "none") == []


def test_the_table_fits_80_columns(story: Any, run_folder: Any, tmp_path: Any) -> None:
    run_folder(story().finished().events, "a-run-with-a-name-of-sixty-four-letters-which-is-as-long-as-it-gets")
    run_folder(story().searched().events, "short")
    file = StringIO()
    Console(file=file, width=80).print(Drawing(results_grid(list_results(tmp_path / "runs"))))
    lines = file.getvalue().splitlines()
    assert len(lines) == 3 and max(map(len, lines)) <= 80
    assert "~2.200" in file.getvalue() and "2.210" in file.getvalue()


def side(name: str, run: Any) -> Side:
    return Side.of(name, run.events)


def test_runs_stand_side_by_side(story: Any) -> None:
    comparison = compare([side("a", story().finished()), side("b", story().searched())])
    figures = {row[0]: row[1:] for row in comparison.figures.rows}
    assert figures["verdict"] == ("GO", "running")
    assert figures["winner"] == ("2.210", "~2.200")
    assert figures["of the baseline"] == ("11.6%", "–")
    assert {row[0]: row[1:] for row in comparison.knobs.rows}["train.lr"] == ("0.003", "0.003")
    assert any("not confirmed" in note for note in comparison.notes)


def test_what_makes_runs_incomparable_is_said(story: Any) -> None:
    other = story(workload="function", evaluation={"stop": {"steps": 5.0}, "seeds": 1, "timeout": None})
    other.study["base"] = {"model": {"n_layer": 2}, "train": {"lr": 0.001, "batch": 8}}
    other.finished()
    prepared = next(event for event in other.events if type(event).__name__ == "DataPrepared")
    prepared.pin["sha256"] = "0ther"
    notes = " ".join(compare([side("a", story().finished()), side("b", other)]).notes)
    assert "The workload differs: language_model (a), function (b)" in notes
    assert "The data differs: sha256 da7a, tokens 1000 (a), sha256 0ther, tokens 1000 (b)" in notes
    assert "The length of an evaluation differs: flops 1.5e+11 (a), steps 5 (b)" in notes
    assert "The fixed train.batch differs: null (a), 8 (b)" in notes
    assert compare([side("a", story().finished()), side("b", story().finished())]).notes == ()


def test_different_metrics_are_refused(story: Any) -> None:
    other = story(objective={"metric": "accuracy", "direction": "maximize"}).finished()
    with pytest.raises(InputError, match="a: minimize val_loss; b: maximize accuracy"):
        compare([side("a", story().finished()), side("b", other)])


def test_the_comparison_for_programs_is_exact(story: Any) -> None:
    sides = [side("a", story().finished()), side("b", story().searched())]
    found = to_json(sides, compare(sides))
    assert [run["run"] for run in found["runs"]] == ["a", "b"]
    assert found["runs"][0]["winner"]["mean"] == pytest.approx(2.21)
    assert found["runs"][1]["chosen"]["of"] == 3
