"""``report.html``: the whole report in one file that opens from disk, with nothing fetched and nothing run.

Text of studies and workloads reaches the page only through :func:`_harmless` and jinja2's escaping. The
pictures are inside the file as data, and the page's own policy forbids everything else.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from flopwise.errors import RunError
from flopwise.paths import RunFolder
from flopwise.report.blocks import Block, say
from flopwise.report.document import sections, standing_word
from flopwise.report.evidence import Evidence
from flopwise.report.extra import load_extra
from flopwise.report.headline import Summary
from flopwise.report.plots.png import draw
from flopwise.report.text import number, percent, plain
from flopwise.report.weights import importance_grid
from flopwise.report.write import replace_file
from flopwise.units import format_money, format_seconds

TEMPLATE = "page.html"

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Content Security Policy: pictures from the page itself, its own style, and nothing else."""


@dataclass(frozen=True)
class Picture:
    """A plot on the page.

    Args:
        name: Of the plot; also its file name.
        caption: What to look for.
        data: ``data:`` address of the PNG.
    """

    name: str
    caption: str
    data: Markup


CAPTIONS: Mapping[str, str] = {
    "history": "Every trial at the evaluation that finished it. A line that still falls at its end says that more "
    "trials might have found more.",
    "spend": "What device time bought. Diamonds are means on fresh seeds; as far as they are worse than the "
    "search's best value, that value was luck.",
    "importance": "How differently a knob is set in the best quarter of the trials than in all of them, beside what "
    "the same trials show when their values are dealt out at random.",
    "slice": "Each knob by itself. Stars and diamonds are the winner and the baseline.",
    "parallel": "Each trial is a line through its values; good ones are dark and lie on top.",
    "frontier": "Speed against quality: how long a step takes, and how many it takes. On a dotted line the time to the "
    "target is the same; no config is both quicker a step and better a step than those on the frontier. Triangles did "
    "not reach the target: it would have taken them more steps.",
    "clocks": "The same validations on several clocks: what is best a step need not be best a second.",
    "survival": "The share of fresh seeds that had not reached the target by then (Kaplan and Meier's estimate); ticks "
    "are trainings that ended without reaching it.",
    "curves": "What the best trials and the baseline reported while they ran: as reported, faint, and as a running "
    "mean. Numbers in the legend are final values.",
}

PLACES: Mapping[str, str] = {
    "history": "How the search went",
    "spend": "How the search went",
    "curves": "How the search went",
    "frontier": "Speed and quality",
    "clocks": "Speed and quality",
    "survival": "Speed and quality",
    "importance": "Which knobs mattered",
    "slice": "Which knobs mattered",
    "parallel": "Which knobs mattered",
}
"""Section of each picture; others come under ``OTHERS``."""

OTHERS = "More pictures"


def write_page(folder: RunFolder, evidence: Evidence) -> None:
    """Write ``report.html``, and every picture as a PNG under ``plots/``.

    Args:
        folder: The run folder.
        evidence: Of the run.

    Raises:
        InputError: If the extra ``report`` is not installed.
        RunError: If ``plots`` is a link to elsewhere.
        OSError: If the folder cannot be written.
    """
    weighed = replace(evidence, importance=load_extra("analyses", "importance")(evidence))
    pictures = draw(weighed)
    if folder.plots.is_symlink():
        raise RunError(f"{folder.plots} is a link", expected="a folder of the run itself", fix="remove the link")
    folder.plots.mkdir(mode=0o700, exist_ok=True)
    for name, content in pictures.items():
        replace_file(folder.plots / f"{name}.png", content)
    replace_file(folder.report_html, render_page(weighed, pictures).encode())


def render_page(evidence: Evidence, pictures: Mapping[str, bytes]) -> str:
    """The page as text; the same evidence and pictures give the same page.

    Args:
        evidence: With its importance.
        pictures: Name to PNG.
    """
    summary = evidence.summary
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    first, *rest = _parts(evidence, pictures)
    page = environment.get_template(TEMPLATE).render(
        policy=POLICY,
        name=summary["name"],
        word=standing_word(summary),
        tone=TONES.get(standing_word(summary), "neutral"),
        lead=first,
        parts=rest,
        tiles=_tiles(summary),
        summary=summary,
        kind=lambda block: type(block).__name__,
        indent=lambda text: Markup(" " * (len(text) - len(text.lstrip(" ")))),
    )
    return page.lstrip()


TONES: Mapping[str, str] = {"GO": "go", "NO-GO": "no-go", "INCONCLUSIVE": "open"}


@dataclass(frozen=True)
class Part:
    """A section of the page: its blocks, then its pictures."""

    title: str
    blocks: list[Block]
    pictures: list[Picture]


def _parts(evidence: Evidence, pictures: Mapping[str, bytes]) -> list[Part]:
    """The report's sections, with those of pictures after the winner."""
    written = sections(evidence.summary)
    parts = [Part(title, blocks, []) for title, blocks in written.items()]
    drawn: dict[str, list[Picture]] = {"Speed and quality": [], "How the search went": [], "Which knobs mattered": []}
    for name, content in pictures.items():
        drawn.setdefault(PLACES.get(name, OTHERS), []).append(_picture(name, content))
    shown = [Part(title, _beside(title, evidence), found) for title, found in drawn.items()]
    at = 1 + ("Winner and baseline" in written)
    return [*parts[:at], *(part for part in shown if part.blocks or part.pictures), *parts[at:]]


def _beside(title: str, evidence: Evidence) -> list[Block]:
    """What is said before a section's pictures."""
    found = evidence.importance
    if title != "Which knobs mattered" or found is None:
        return []
    return [say(found.note), importance_grid(found)] if found.weights else [say(found.note)]


def _picture(name: str, content: bytes) -> Picture:
    data = base64.b64encode(content).decode()
    return Picture(name, CAPTIONS.get(name, ""), Markup("data:image/png;base64," + data))


def _tiles(summary: Summary) -> list[tuple[str, str]]:
    """The few figures to see first: label and value."""
    spend, verdict = summary["spend"], summary["verdict"]
    tiles = list(_gain(verdict["numbers"])) if verdict else []
    best = summary["best_so_far"]
    if not tiles and best:
        tiles.append((f"best {summary['objective']['metric']}, not confirmed", number(best[-1]["value"])))
    tiles.append(("evaluations", f"{spend['evaluations']:,}"))
    tiles.append(("device time", format_seconds(spend["device_s"])))
    tiles.append(("price", format_money(spend["total_price"])) if spend["total_price"] else
                 ("wall clock", format_seconds(spend["session_s"])))  # fmt: skip
    return tiles


def _gain(numbers: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Improvement and its lower bound, as shares where they mean something."""
    mean, lower, relative = (numbers.get(key) for key in ("mean_improvement", "lower", "relative"))
    if mean is None or lower is None:
        return []
    if relative is None:
        return [("improvement", number(mean)), ("95% lower bound", number(lower))]
    base = numbers["baseline_mean"]
    return [("improvement", percent(mean / base)), ("95% lower bound", percent(lower / base))]


def _harmless(value: Any) -> Any:
    """Every text on its way to the page: no control character, nothing that changes reading direction."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
