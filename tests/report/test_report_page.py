"""report.html: one file, the verdict first, and nothing in it that runs or is fetched."""

from __future__ import annotations

import base64
import re
import sys
from html.parser import HTMLParser
from typing import Any

import pytest

from flopwise.errors import InputError, RunError
from flopwise.report.evidence import gather
from flopwise.report.extra import load_extra
from flopwise.report.page import render_page, write_page

XSS = [
    "<script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "<iframe src=//evil.example></iframe>",
    "<a href=data:text/html,<script>alert(1)</script>>x</a>",
    "{{ 7 * 7 }}{% raw %}",
    "<!-- --><meta http-equiv=refresh content='0;url=//evil.example'>",
    "</pre></section><base href=//evil.example>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\x00<\x00script>\u202e\u2028alert(1)",
    "url(//evil.example/x.png)",
]


class Skeleton(HTMLParser):
    """Every tag with its attributes, and all text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def skeleton(page: str) -> Skeleton:
    found = Skeleton()
    found.feed(page)
    found.close()
    return found


def poisoned(story: Any, text: str) -> list[Any]:
    """A finished run with the text wherever a study or a workload may put one."""
    space = {
        text: {"type": "categorical", "choices": [text, "other"]},
        f"other-{text}": {"type": "int", "low": 1, "high": 4, "scale": "linear", "step": 1},
    }
    run = story(name=text, workload=text, space=space, objective={"metric": text, "direction": "minimize"}, base={})
    config = {text: text, f"other-{text}": 2}
    run.opened().phase("calibrate").proposed(0, "calibrate", 2, **config).ran(0, 2.5, 2.6)
    run.events[-1].info["flags"] = [text]
    run.tier().phase("search").proposed(1, "search", **config).ran(1, 2.0)
    run.proposed(2, "search", **config).ran(2, None, outcome="error", cause=text, tail=text)
    run.raised(text, "end_search", text).phase("decide", chosen=1, seeds=2)
    run.proposed(3, "decide", 2, 0, **config).proposed(4, "decide", 2, 1, **config)
    run.ran(3, 2.5, 2.6).ran(4, 2.0, 2.1).verdict().closed("finished", text)
    verdict = next(event for event in run.events if type(event).__name__ == "VerdictReached")
    verdict.reasons[:] = [text, text]
    chosen = next(event for event in run.events if type(event).__name__ == "TierChosen")
    chosen.plan["warnings"] = [text]
    created, opened = run.events[0], next(e for e in run.events if type(e).__name__ == "SessionOpened")
    created.versions[text] = text
    opened.machine[text] = text
    object.__setattr__(opened, "command", text)
    return list(run.events)


@pytest.mark.parametrize("text", XSS)
def test_hostile_text_stays_text(story: Any, text: str) -> None:
    harmless = skeleton(render_page(gather(poisoned(story, "harmless")), {}))
    page = render_page(gather(poisoned(story, text)), {})
    hostile = skeleton(page)
    assert hostile.tags == harmless.tags
    assert not any(ord(char) < 32 and char != "\n" for char in page)
    assert "\u202e" not in page and "\u2028" not in page


def test_the_text_itself_is_there(story: Any) -> None:
    page = skeleton(render_page(gather(poisoned(story, XSS[0])), {}))
    assert page.text.count(XSS[0]) > 10


def test_nothing_is_fetched_and_nothing_runs(story: Any) -> None:
    page = render_page(gather(story().finished().events), {"history": b"png"})
    found = skeleton(page)
    policy = next(dict(attrs)["content"] for tag, attrs in found.tags if dict(attrs).get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    assert {tag for tag, _ in found.tags} & {
        "script",
        "link",
        "iframe",
        "object",
        "embed",
        "form",
        "a",
        "base",
    } == set()
    addresses = [value for _, attrs in found.tags for name, value in attrs if name in ("src", "href")]
    assert addresses == ["data:image/png;base64," + base64.b64encode(b"png").decode()]
    assert "http:" not in page and "https:" not in page and "url(" not in page


def test_the_verdict_comes_first(story: Any) -> None:
    text = [part.strip() for part in skeleton(render_page(gather(story().finished().events), {})).text]
    shown = [part for part in text[text.index("pilot") :] if part]
    assert "GO" in shown[:4]
    claim = "trial 3 beats the baseline by 11.6% (95% lower bound 10.3%) on 3 fresh seeds."
    assert shown.index(claim) < shown.index("Winner and baseline")


def test_a_run_at_any_stage_has_a_page(story: Any) -> None:
    for run in (story(), story().opened(), story().opened().calibrated(2.5), story().searched()):
        assert "<h1>pilot</h1>" in render_page(gather(run.events), {})


def test_the_winners_yaml_keeps_its_indentation(story: Any) -> None:
    page = render_page(gather(story().finished().events), {})
    assert re.search(r"<pre>model:\n  n_layer: 3\ntrain:\n  lr: 0.003\n</pre>", page)


def test_the_page_and_the_pictures_are_written(story: Any, run_folder: Any) -> None:
    events = story().long(24, lambda config: config["train.lr"]).events
    folder = run_folder(events)
    write_page(folder, gather(events))
    page = folder.report_html.read_text()
    pictures = {path.stem: path.read_bytes() for path in folder.plots.iterdir()}
    assert set(pictures) == {"history", "spend", "curves", "importance", "slice", "parallel"}
    for content in pictures.values():
        assert base64.b64encode(content).decode() in page
    assert folder.report_html.stat().st_mode & 0o077 == 0
    assert "Which knobs mattered" in page and "train.lr" in page


def test_too_few_trials_for_importance_is_said(story: Any, run_folder: Any) -> None:
    folder = run_folder(story().finished().events)
    write_page(folder, gather(story().finished().events))
    assert (
        "Too few finished search trials to tell knobs from luck: 3, and it takes 20." in folder.report_html.read_text()
    )


def test_a_planted_link_is_refused(story: Any, run_folder: Any, tmp_path: Any) -> None:
    folder = run_folder(story().finished().events)
    (tmp_path / "elsewhere").mkdir()
    folder.plots.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="is a link"):
        write_page(folder, gather(story().finished().events))
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("package", ["matplotlib", "jinja2", "optuna"])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for module in [
        name for name in sys.modules if name.split(".")[0] == package or name.startswith("flopwise.report.")
    ]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    family, name = ("exports", "optuna") if package == "optuna" else ("pages", "html")
    with pytest.raises(InputError, match=package) as caught:
        load_extra(family, name)
    assert caught.value.fix == "pip install 'flopwise[report]'"
