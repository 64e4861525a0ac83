"""S3 and S4: what `resume` starts is what this account has started before, or what the user says may be started."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from flopwise.engine.assemble import plan, resume, train
from flopwise.engine.request import Finish, Request
from flopwise.engine.train import Training
from flopwise.engine.trust import recall, started_by
from flopwise.errors import InputError, RunError
from flopwise.events import RunCreated
from flopwise.journal.log import Journal, read_events
from flopwise.paths import RunFolder
from flopwise.report.view import SilentView
from flopwise.study import study_from_mapping
from flopwise.study.freeze import study_hash

PROGRAM = """\
import json, os, pathlib, sys
result = pathlib.Path(os.environ["FLOPWISE_CONFIG"]).with_name("result.json")
result.write_text(json.dumps({"loss": float(sys.argv[1])}))
"""
SMALL: dict[str, Any] = {
    "objective": {"metric": "loss"},
    "search": {"method": "random"},
    "tiers": {"only": {"trials": 2}},
    "calibration": {"seeds": 2},
    "confirm": {"top": 1, "seeds": 2},
    "execution": {"executor": "inline", "slots": 1},
}
COMMAND = {
    **SMALL,
    "name": "command",
    "workload": "command",
    "base": {"argv": ["{python}", "program.py", "{rate}"], "params": {"rate": 0.5}, "reads_flopwise": True},
    "space": {"params.rate": {"type": "float", "low": 0.1, "high": 1.0}},
}
FUNCTION = {
    **SMALL,
    "name": "function",
    "workload": "function",
    "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
}


class Told(SilentView):
    """Keeps what the user is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


@dataclass
class Planned:
    """A run of which the baseline has been calibrated."""

    root: Path
    folder: RunFolder
    view: Told = field(default_factory=Told)

    def resume(self, *, trust: bool = False) -> Finish:
        self.view.messages.clear()
        return resume(self.folder, Request(self.root / "runs", self.view, "test", trust=trust))

    def refused(self) -> str:
        """The refusal; nothing is written, and nothing is started."""
        before = {path: path.read_bytes() for path in self.folder.root.rglob("*") if path.is_file()}
        with pytest.raises(RunError) as caught:
            self.resume()
        assert {path: path.read_bytes() for path in self.folder.root.rglob("*") if path.is_file()} == before
        return str(caught.value)

    def forge(self, change: Any) -> None:
        """Write the journal anew, as whoever holds the folder can: whole, chained, with a study hash that fits."""
        events = read_events(self.folder.journal)[0]
        created = next(event for event in events if isinstance(event, RunCreated))
        study = change(created.study)
        forged = replace(created, study=study, study_hash=study_hash(study))
        self.folder.journal.unlink()
        self.folder.lock.unlink(missing_ok=True)
        with Journal.create(self.folder) as journal:
            journal.append([forged if event is created else event for event in events])
            journal.commit()


def planned(tmp_path: Path, study: dict[str, Any], objective: str = "") -> Planned:
    request = Request(tmp_path / "runs", Told(), "test", objective=objective or None, objective_id=objective)
    return Planned(tmp_path, RunFolder(plan(study_from_mapping(study), request).folder))


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planned:
    monkeypatch.chdir(tmp_path)
    Path("program.py").write_text(PROGRAM)
    return planned(tmp_path, COMMAND)


@pytest.fixture
def function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planned:
    monkeypatch.chdir(tmp_path)
    Path("own_objective.py").write_text("def loss(config):\n    return config['x']\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield planned(tmp_path, FUNCTION, "import:own_objective:loss")
    sys.modules.pop("own_objective", None)


def test_a_run_of_ones_own_goes_on_and_says_what_it_starts(command: Planned) -> None:
    assert command.resume().reason == "finished"
    (said,) = [text for text in command.view.messages if text.startswith("starts ")]
    assert "program.py" in said and "sha256" in said and str(command.root.resolve()) in said


def test_a_journal_that_names_another_program_is_refused(command: Planned) -> None:
    canary = command.root / "canary"
    evil = command.root / "evil.py"
    evil.write_text(f"open({str(canary)!r}, 'w')\n" + PROGRAM)
    command.forge(lambda study: {**study, "base": {**study["base"], "argv": ["{python}", str(evil), "{rate}"]}})
    said = command.refused()
    assert "names other code than was started" in said
    assert "program.py" in said and "evil.py" in said and said.count("sha256") >= 2 and "--trust" in said
    assert not canary.exists()


def test_a_value_or_variable_that_becomes_code_is_seen(command: Planned) -> None:
    command.forge(lambda study: {**study, "base": {**study["base"], "env": {"PERL5LIB": "/tmp/x"}}})
    assert "names other code than was started" in command.refused()


def test_a_run_from_elsewhere_needs_trust_once(command: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(command.root / "other"))
    said = command.refused()
    assert "was not started by this account" in said and "program.py (sha256 " in said
    assert command.resume(trust=True).reason == "finished"
    kept = list((command.root / "other").rglob("*.json"))
    assert len(kept) == 1 and kept[0].stat().st_mode & 0o777 == 0o600 and kept[0].parent.stat().st_mode & 0o777 == 0o700


def test_training_a_config_of_a_run_asks_for_the_same_trust(command: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Request(command.root / "runs", command.view, "test")
    own = train(command.folder, asked, Training(0))
    assert own.reason == "planned" and own.summary["trials"][0]["values"] == [0.5]
    monkeypatch.setenv("XDG_STATE_HOME", str(command.root / "other"))
    before = sorted((command.root / "runs").iterdir())
    with pytest.raises(RunError, match="was not started by this account"):
        train(command.folder, asked, Training(0))
    assert sorted((command.root / "runs").iterdir()) == before
    assert train(command.folder, replace(asked, trust=True), Training(0)).reason == "planned"


def test_checkpoints_are_refused_where_the_workload_writes_none(command: Planned) -> None:
    asked = Request(command.root / "runs", command.view, "test")
    for training in (Training(0, every=5), Training(0, start=Path(__file__))):
        with pytest.raises(InputError, match=r"'command' writes no checkpoints[\s\S]*FLOPWISE_FOLDER"):
            train(command.folder, asked, training)
    assert [path.name for path in asked.runs.iterdir() if path.name[0] != "."] == ["command"]


def test_a_function_that_can_be_imported_is_trained_too(function: Planned) -> None:
    done = train(function.folder, Request(function.root / "runs", function.view, "test"), Training(0))
    assert done.reason == "planned" and done.summary["name"] == "function-trial-0"


def test_changed_code_is_refused_until_the_user_says_so(command: Planned) -> None:
    program = Path("program.py")
    program.write_text(PROGRAM + "\n# faster\n")
    said = command.refused()
    assert "has changed since it was started" in said and f"{program.resolve()} sha256 " in said
    program.write_text(PROGRAM)
    assert command.resume().reason == "finished"


def test_the_file_of_an_importable_function_counts(function: Planned) -> None:
    source = Path("own_objective.py").read_text()
    Path("own_objective.py").write_text(source + "# other\n")
    assert "has changed since it was started" in function.refused()
    assert function.resume(trust=True).reason == "finished"


def test_a_module_of_the_same_name_elsewhere_is_not_the_one_that_was_started(
    function: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = function.root / "other"
    other.mkdir()
    (other / "own_objective.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(other)
    assert "has changed since it was started" in function.refused()


@pytest.mark.parametrize("home", ["", "relative", "/dev/null"])
def test_without_a_place_to_write_it_down_the_user_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", home)
    Path("program.py").write_text(PROGRAM)
    view = Told()
    done = plan(study_from_mapping(COMMAND), Request(tmp_path / "runs", view, "test"))
    assert any("will ask for --trust" in text for text in view.messages)
    run = Planned(tmp_path, RunFolder(done.folder))
    assert "was not started by this account" in run.refused()
    assert run.resume(trust=True).reason == "finished"


def test_what_is_flopwises_own_needs_no_trust() -> None:
    assert started_by({"workload": "language_model", "base": {}}, "", "/") is None
    assert started_by({"workload": "function", "base": {}}, "source:ab", "/") is None


@pytest.mark.parametrize("run_id", ["", "../../etc/passwd", "A" * 16, "ab/cd" * 4, "0" * 65])
def test_an_id_from_a_journal_leads_nowhere(run_id: str) -> None:
    assert recall(run_id) is None
