"""An HTML page about pairs: tables, histograms and small pictures in one file that fetches nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from ip2p_cli.errors import InputError
from ip2p_cli.io.encoded import data_uri
from ip2p_cli.io.names import printable
from ip2p_cli.io.shards import Sample

MAX_CARDS = 200
_WIDTH, _HEIGHT = 400, 120


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of text; the first cell of a row names the row."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Counts in equal bins of the range from `low` to `high`, with vertical lines at `bounds`."""

    label: str
    low: float
    high: float
    heights: Sequence[int]
    bounds: Sequence[float] = ()


@dataclass(frozen=True, kw_only=True)
class Card:
    """A pair to show, with the reason why it was dropped, if it was."""

    sample: Sample
    why: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def pairs_page(
    title: str,
    sections: Mapping[str, Sequence[Card]],
    *,
    facts: Mapping[str, Any],
    tables: Sequence[Table] = (),
    histograms: Sequence[Histogram] = (),
) -> bytes:
    """Render the page as UTF-8 HTML in which every text is escaped.

    At most MAX_CARDS pairs of a section are shown; pairs whose pictures cannot be read are left out.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: printable(value) if isinstance(value, str) else value,
    )
    template = environment.from_string(resources.files(__package__).joinpath("pairs.html.j2").read_text("utf-8"))
    shown = {name: [made for card in cards[:MAX_CARDS] if (made := _card(card))] for name, cards in sections.items()}
    drawn = map(_drawn, histograms)
    return template.render(title=title, facts=facts, tables=tables, histograms=list(drawn), sections=shown).encode()


def _card(card: Card) -> dict[str, Any] | None:
    row, pictures = card.sample.row, card.sample.pictures
    try:
        original, edited = (data_uri(pictures[f"{name}.jpg"], name) for name in ("original", "edited"))
    except (InputError, KeyError):
        return None
    title = str(row.get("instruction") or row.get("key") or "")
    caption = str(row.get("caption") or "no caption")
    return {
        "original": original,
        "edited": edited,
        "title": title,
        "caption": caption,
        "why": card.why,
        "facts": card.facts,
    }


def _drawn(histogram: Histogram) -> dict[str, Any]:
    """The histogram's bars and lines in units of the drawing, _WIDTH by _HEIGHT."""
    highest, width = max([1, *histogram.heights]), _WIDTH / max(1, len(histogram.heights))
    heights = [round(_HEIGHT * count / highest, 1) for count in histogram.heights]
    bars = [
        {"x": round(index * width, 1), "y": _HEIGHT - height, "width": round(width * 0.9, 1), "height": height}
        for index, height in enumerate(heights)
    ]
    span = max(1e-9, histogram.high - histogram.low)
    lines = [round(_WIDTH * (bound - histogram.low) / span, 1) for bound in histogram.bounds]
    return {"label": histogram.label, "bars": bars, "lines": [x for x in lines if 0 <= x <= _WIDTH]}
