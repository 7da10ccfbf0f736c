"""A report for the browser: one HTML file that holds everything it shows, and asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from ip2p_cli.errors import InputError
from ip2p_cli.io.images import read_image
from ip2p_cli.io.names import printable

MAX_ROWS = 1000
_SIDE, _MANY_SIDE, _MANY = 640, 256, 100  # pixels of a picture; of each where there are many

# The only script; the page's policy names its hash, so that nothing else can run, whatever the texts hold.
_SCRIPT = """
for (const range of document.querySelectorAll("input[type=range]"))
  range.addEventListener("input", () =>
    range.previousElementSibling.style.setProperty("--cut", range.value + "%"));
const rows = document.getElementById("rows");
document.getElementById("order").addEventListener("change", event => {
  const name = event.target.value;
  const value = row => name ? -(JSON.parse(row.dataset.numbers)[name] ?? -Infinity) : Number(row.dataset.place);
  rows.append(...[...rows.children].sort((a, b) => value(a) - value(b)));
});
for (const button of document.querySelectorAll("article button"))
  button.addEventListener("click", async () => {
    const text = button.previousElementSibling.textContent;
    try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; }
    catch { getSelection().selectAllChildren(button.previousElementSibling); }
  });
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One result: what it is, its picture's file, facts by name (numbers can be sorted by), how to make it again."""

    title: str
    picture: Path | None
    facts: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""


def report(
    title: str, rows: Sequence[Row], folder: Path, *, before: Path | None = None, facts: Mapping[str, Any] | None = None
) -> bytes:
    """The report as UTF-8 HTML. folder: where it will lie; links to the pictures are relative to it where they can be.

    before: the photo that all were made from. A picture that cannot be read is left out. Pictures are shown small, and
    at most MAX_ROWS results at all. Every text is escaped.
    """
    import jinja2
    from markupsafe import Markup

    rows = rows[:MAX_ROWS]
    side = _SIDE if len(rows) <= _MANY else _MANY_SIDE
    shown = [
        {
            "title": _text(row.title),
            "picture": row.picture and _data_uri(row.picture, side),
            "link": row.picture and _link(row.picture, folder),
            "facts": {_text(name): _text(value) for name, value in row.facts.items()},
            "numbers": json.dumps(_numbers(row.facts)),
            "command": _text(row.command),
        }
        for row in rows
    ]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(resources.files(__package__).joinpath("report.html.j2").read_text("utf-8"))
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    html = template.render(
        title=_text(title),
        facts={_text(name): _text(value) for name, value in (facts or {}).items()},
        before=before and _data_uri(before, side),
        rows=shown,
        numbers=list(dict.fromkeys(_text(name) for row in rows for name in _numbers(row.facts))),
        script=Markup(_SCRIPT),
        script_hash=f"sha256-{digest}",
    )
    return html.encode("utf-8")


def _numbers(facts: Mapping[str, Any]) -> dict[str, float]:
    return {name: v for name, v in facts.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}


def _text(value: Any) -> str:
    """Printable text: line breaks and lone surrogates of file names become visible."""
    return printable(str(value))


def _link(picture: Path, folder: Path) -> str:
    """A relative address of the picture; "./" before it, so that no name is taken for a scheme."""
    try:
        place = picture.relative_to(folder)
    except ValueError:
        place = Path(picture.name)
    return "./" + quote(place.as_posix().encode("utf-8", "surrogateescape"))


def _data_uri(path: Path, side: int) -> str:
    """A small JPEG of a picture; nothing for one that cannot be read."""
    try:
        image = read_image(path).rgb
    except InputError:
        return ""
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
