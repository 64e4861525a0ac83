"""Every plot of the registry as a PNG."""

from __future__ import annotations

import io
import warnings

from flopwise.registry import names
from flopwise.report.evidence import Evidence
from flopwise.report.extra import load_extra
from flopwise.report.plots.style import styled


def draw(evidence: Evidence) -> dict[str, bytes]:
    """Name to PNG, without the plots that have nothing to show. The same evidence gives the same bytes."""
    drawn = {}
    with styled(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # an unknown letter is drawn as a box
        for name in names("plots"):
            figure = load_extra("plots", name)(evidence)
            if figure is not None:
                target = io.BytesIO()
                figure.savefig(target, format="png", metadata={"Software": None})
                drawn[name] = target.getvalue()
    return drawn
