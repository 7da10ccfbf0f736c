"""A page about pairs for the browser: tables, histograms and small pictures in one HTML file that fetches nothing."""

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
    """Rows of cells under a head; the first cell of a row names it."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Counts of equal parts of the range from `low` to `high`; bounds: values to mark."""

    label: str
    low: float
    high: float
    heights: Sequence[int]
    bounds: Sequence[float] = ()


@dataclass(frozen=True, kw_only=True)
class Card:
    """A pair to show. why: for what reason it was dropped."""

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
    """The page as UTF-8 HTML. Every text is escaped; each section shows at most MAX_CARDS pairs.

    A pair whose pictures cannot be read is left out.
    """
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(resources.files(__package__).joinpath("pairs.html.j2").read_text("utf-8"))
    shown = [
        {"title": name, "cards": [made for card in cards[:MAX_CARDS] if (made := _card(card)) is not None]}
        for name, cards in sections.items()
    ]
    html = template.render(
        title=printable(title),
        facts={name: printable(str(value)) for name, value in facts.items()},
        tables=[
            {"title": one.title, "head": one.head, "rows": [[printable(cell) for cell in row] for row in one.rows]}
            for one in tables
        ],
        histograms=[_histogram(one) for one in histograms],
        sections=shown,
    )
    return html.encode("utf-8")


def _card(card: Card) -> dict[str, Any] | None:
    row = card.sample.row
    try:
        pictures = {name: data_uri(card.sample.pictures[f"{name}.jpg"], name) for name in ("original", "edited")}
    except (InputError, KeyError):
        return None
    return {
        **pictures,
        "title": printable(str(row.get("instruction") or row.get("key") or "")),
        "caption": printable(str(row.get("caption") or "no caption")),
        "why": printable(card.why),
        "facts": {name: printable(str(value)) for name, value in card.facts.items()},
    }


def _histogram(one: Histogram) -> dict[str, Any]:
    highest, width, span = max([1, *one.heights]), _WIDTH / max(1, len(one.heights)), max(1e-9, one.high - one.low)
    bars = []
    for place, count in enumerate(one.heights):
        height = round(_HEIGHT * count / highest, 1)
        bars.append(
            {"x": round(place * width, 1), "y": _HEIGHT - height, "width": round(width * 0.9, 1), "height": height}
        )
    lines = [round(_WIDTH * (bound - one.low) / span, 1) for bound in one.bounds]
    return {"label": printable(one.label), "bars": bars, "lines": [x for x in lines if 0 <= x <= _WIDTH]}
