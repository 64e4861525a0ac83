"""The Markdown report and the files on disk."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from flopwise.paths import RunFolder
from flopwise.report.document import render_markdown
from flopwise.report.summary import summarise
from flopwise.report.write import write_report


def test_the_verdict_comes_first_and_the_rest_follows(story: Any) -> None:
    text = render_markdown(summarise(story().finished().events))
    lines = text.splitlines()
    assert lines[0] == "# pilot: GO"
    assert lines[2] == "**trial 3 beats the baseline by 11.6% (95% lower bound 10.3%) on 3 fresh seeds.**"
    titles = [line[3:] for line in lines if line.startswith("## ")]
    assert titles == [
        "Winner and baseline",
        "Larger tier",
        "Best so far",
        "Trials",
        "Failures",
        "Slots",
        "Spent",
        "Planned and taken",
        "The same again",
    ]


def test_the_numbers_are_there(story: Any) -> None:
    text = render_markdown(summarise(story().finished().events))
    for row in (
        "| train.lr | 0.001 | 0.003 |",
        "| fresh seed 1 | 2.510 | 2.200 | 0.3100 |",
        "| mean | 2.500 | 2.210 | 0.2900 |",
        "| 3 | 3 | 0.003 | 2.200 | best | 10.0 s |",
        "| nan | 1 | the loss is nan at step 12 | t0002.s0.a1 |",
        "| decide | 6 | 1 min 00 s | $0.030 |",
        "| total | 16 | 2 min 40 s | $0.16 |",
        "| evaluations | 14 | 14 |",
        "| wall clock | 1 min 10 s | 2 min 20 s |",
        "```sh\nflopwise run pilot.yaml --tier min\n```",
        "| data sha256 | da7a |",
    ):
        assert row in text, row
    assert "one-sided 95% bounds 0.2563 and 0.3237, paired by seed, n = 3; asked for: 0.02500." in text


def test_the_winners_yaml_gives_back_its_config_exactly(story: Any) -> None:
    events = story().finished().events
    summary = summarise(events)
    summary["winner"]["config"] = {"model.kind": "a: {b}", "model.tied": True, "train.lr": 0.0031622776601683794}
    block = re.search(r"```yaml\n(.*?)\n```", render_markdown(summary), re.DOTALL)
    assert block is not None
    assert YAML(typ="safe").load(block[1]) == {
        "model": {"kind": "a: {b}", "tied": True},
        "train": {"lr": 0.0031622776601683794},
    }


def test_a_run_that_has_only_begun_has_a_report_too(story: Any) -> None:
    for run in (story(), story().opened(), story().opened().calibrated(2.5, 2.6)):
        text = render_markdown(summarise(run.events))
        assert text.startswith("# pilot: ")
        assert "## Winner" not in text


def test_an_early_end_says_why(story: Any) -> None:
    run = story().searched().raised("crash_rate", "pause", "3 of 4 evaluations failed").closed("paused", "crash_rate")
    text = render_markdown(summarise(run.events))
    assert text.startswith("# pilot: paused\n")
    assert (
        "\ncrash\\_rate (pause): 3 of 4 evaluations failed." in text
        or "\ncrash_rate (pause): 3 of 4 evaluations failed." in text
    )


def test_flags_of_attempts_are_shown(story: Any) -> None:
    run = story().opened().calibrated(2.5).phase("search").proposed(1, "search")
    run.ran(1, 9.0, info={"flags": ["no better than at initialisation"]})
    assert "| no better than at initialisation | 1 | t0001.s0.a1 |" in render_markdown(summarise(run.events))


def test_foreign_text_cannot_break_out(story: Any) -> None:
    evil = "\x1b[31m|x|\n# head <script>alert(1)</script> ```"
    run = story(objective={"metric": "a|b", "direction": "minimize"}).opened().calibrated(2.5).tier().phase("search")
    run.proposed(1, "search", **{"k|ey": evil}).ran(1, None, cause=evil, info={"flags": [evil]})
    run.raised(evil, "pause", evil).closed("failed", evil)
    text = render_markdown(summarise(run.events))
    assert "\x1b" not in text
    assert "<script>" not in text.replace(r"\<script\>", "")
    assert not any(line.startswith("# head") for line in text.splitlines())
    for line in text.splitlines():
        if line.startswith("| error"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 5


def test_a_fence_in_the_command_does_not_end_the_block(story: Any) -> None:
    summary = summarise(story().finished().events)
    summary["command"] = "flopwise run '```'"
    assert "````sh\nflopwise run '```'\n````" in render_markdown(summary)


def test_files_are_private_whole_and_the_same_again(story: Any, tmp_path: Path) -> None:
    folder, events = RunFolder(tmp_path), story().finished().events
    folder.report_md.write_text("old")
    folder.report_md.chmod(0o644)
    write_report(folder, events)
    first = folder.report_md.read_bytes(), folder.report_json.read_bytes()
    write_report(folder, events)
    assert (folder.report_md.read_bytes(), folder.report_json.read_bytes()) == first
    assert json.loads(first[1]) == json.loads(json.dumps(summarise(events)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json", "report.md"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_a_failed_write_leaves_the_old_report(story: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path)
    folder.report_json.write_text("old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_report(folder, story().finished().events)
    assert folder.report_json.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_a_planted_link_is_not_followed(story: Any, tmp_path: Path) -> None:
    runs, target = tmp_path / "run", tmp_path / "target"
    runs.mkdir()
    target.write_text("mine")
    folder = RunFolder(runs)
    folder.report_md.symlink_to(target)
    write_report(folder, story().finished().events)
    assert target.read_text() == "mine"
    assert not folder.report_md.is_symlink()
