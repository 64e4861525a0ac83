"""docs/data.md tells the truth: its files and commands work on small texts, and its messages are those that come."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flopwise.errors import StudyError
from flopwise.study import load_study
from flopwise.workloads.language_model.config import DataConfig, SourceConfig
from flopwise.workloads.language_model.counts import VOCABULARY
from flopwise.workloads.language_model.documents import JSON_LINES, NOT_TEXT, PARQUET

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "data.md").read_text()
SOURCES = sorted((ROOT / "src" / "flopwise").glob("workloads/language_model/*.py"))
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))
OUTPUTS = dict(re.findall(r"<!-- output: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))
CONSOLES = [
    re.findall(r"^\$ (.+)$", block, re.MULTILINE) for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
]

WORDS = ["loss", "gradient", "tensor", "learning", "naïve", "schedule", "warmup", "embedding", "optimizer", "the"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files, a small corpus, and a ``flopwise`` to call."""
    folder = tmp_path_factory.mktemp("page")
    for name, text in FILES.items():  # what is measured of knobs and signal says nothing of data, and takes time
        (folder / name).write_text(text.replace("{seeds: 2}", "{seeds: 2, signal: false, knobs: false}"))
    (folder / "corpus" / "more").mkdir(parents=True)
    for number in range(12):
        words = random.Random(number).choices(WORDS, k=500)
        place = folder / "corpus" / ("more" if number > 9 else ".")
        (place / f"{number}.txt").write_text(" ".join(words) + "\n", encoding="utf-8")
    (folder / "bin").mkdir()
    for name, command in {"flopwise": ["-m", "flopwise.cli"], "python": []}.items():
        program = folder / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, *command])} "$@"\n')
        program.chmod(0o700)
    return folder


def enter(folder: Path, *lines: str) -> subprocess.CompletedProcess[str]:
    """Type lines of the page."""
    return subprocess.run(
        ["bash", "-euc", "\n".join(lines)],
        cwd=folder,
        env={**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "NO_COLOR": "1", "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


def pin(folder: Path, run: str) -> dict[str, Any]:
    """What the journal says about the data."""
    journal = (folder / "runs" / run / "journal.log").read_text()
    (found,) = [line for line in journal.splitlines() if "DataPrepared" in line]
    return dict(json.loads(found[found.index("{") : found.rindex("}") + 1])["pin"])


def test_the_study_over_files_of_text_runs_to_its_verdict(folder: Path) -> None:
    done = enter(folder, *CONSOLES[0])
    assert done.returncode == 0, done.stderr
    assert "verdict" in done.stdout + done.stderr
    found = pin(folder, "words")
    assert (found["documents"], found["vocabulary"], found["dtype"]) == (12, 300, "uint16")
    assert found["bytes_per_token"] > 2
    assert found["started_in"] == str(folder)
    report = json.loads((folder / "runs" / "words" / "report.json").read_text())
    assert 0 < report["baseline"]["mean"] < 8, "bits a byte"


def test_the_page_s_shards_are_written_read_and_priced(folder: Path) -> None:
    done = enter(folder, *CONSOLES[1])
    assert done.returncode == 0, done.stderr
    found = pin(folder, "shards")
    assert (found["train_tokens"], found["valid_tokens"], found["bytes_per_token"]) == (18_000, 2_000, None)


def test_the_page_s_mixture_is_mixed_and_priced(folder: Path) -> None:
    done = enter(folder, *CONSOLES[2])
    assert done.returncode == 0, done.stderr
    first, second = pin(folder, "mix")["parts"]
    assert (first["source"], first["weight"], second["source"], second["weight"]) == ("text", 3.0, "stdlib", 1.0)
    assert first["valid_tokens"] == pytest.approx(3 * second["valid_tokens"], abs=2)


def test_a_study_with_bad_files_ends_before_anything_is_trained(folder: Path) -> None:
    (folder / "train_0.bin").write_bytes(b"\0" * 2000)
    (folder / "bad.yaml").write_text(FILES["shards.yaml"].replace("name: shards", "name: bad"))
    done = enter(folder, "flopwise run bad.yaml")
    (folder / "train_0.bin").unlink()
    assert done.returncode == 2
    assert "this is not a token shard" in done.stderr
    assert str(folder / "train_0.bin") in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "runs" / "bad").exists()


def test_the_page_s_wrong_study_gives_the_page_s_problems(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(StudyError) as caught:
        load_study(Path("wrong.yaml"))
    assert str(caught.value) + "\n" == OUTPUTS["wrong.yaml"]


def test_every_setting_ending_and_tokenizer_is_explained() -> None:
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    unexplained = [name for name in DataConfig.model_fields if not re.search(rf"`{name}[`:]|: {name}`", prose)]
    assert unexplained == ["valid_span"], "that one is on the workload's page"
    assert all(f"`{name}`" in PAGE for name in SourceConfig.model_fields)
    assert all(f"| `{name}` | {'256' if name == 'byte' else ''}" in PAGE for name in VOCABULARY)
    assert all(f"`{ending}`" in PAGE for ending in (*JSON_LINES, PARQUET, *list(NOT_TEXT)[:1]))
    for name, count in VOCABULARY.items():
        assert name == "ids" or str(count) in PAGE


def test_every_message_of_the_page_is_one_that_comes() -> None:
    text = " ".join("\n".join(path.read_text() for path in SOURCES).split())
    text += (ROOT / "src" / "flopwise" / "training" / "shards.py").read_text()
    rows = re.findall(r"^\| ([^|`]+) \| [^|]+ \|$", PAGE.split("## When something is wrong")[1], re.MULTILINE)
    messages = [part.strip() for row in rows if row != "message" for part in re.sub(r" \(.*?\)", "", row).split(";")]
    assert len(messages) > 15
    for message in messages:
        words = message.replace("'text'", "{").split("{")[0].split(", is ")[0].strip()
        assert words in text, message


def test_every_command_is_used_here() -> None:
    assert set(FILES) == {"words.yaml", "shards.py", "shards.yaml", "mix.yaml", "wrong.yaml"}
    assert len(CONSOLES) == 3
