"""A report for the browser: one HTML file that holds everything it shows, and asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from ip2p_cli.errors import InputError
from ip2p_cli.io.images import read_image
from ip2p_cli.io.names import printable

MAX_ROWS = 1000
_MANY = 100  # pictures; above it they are shown smaller, so that the file stays in bounds
_SIDE, _MANY_SIDE = 640, 256  # pixels of a picture; of each where there are many


@dataclass(frozen=True, kw_only=True)
class ReportStep:
    """One edit on the way to a result: its instruction, its picture's file where it was saved, its settings."""

    title: str
    picture: Path | None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ReportRow:
    """One result: what it is, its picture's file, facts by name (numbers can be sorted by), how to make it again.

    before: the photo it was made from. steps: the edits that led to it, in order, the last one included. note: a line
    below the title, such as whether the edit worked.
    """

    title: str
    picture: Path | None
    before: Path | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    steps: Sequence[ReportStep] = ()
    command: str = ""
    note: str = ""


def report(title: str, rows: Sequence[ReportRow], folder: Path, *, facts: Mapping[str, Any] | None = None) -> bytes:
    """The report as UTF-8 HTML. folder: where it will lie; links to the pictures are relative to it where they can be.

    A picture that cannot be read is left out. Pictures are shown small, and at most MAX_ROWS results at all. Every
    text is escaped.
    """
    import jinja2
    from markupsafe import Markup

    rows = rows[:MAX_ROWS]
    many = len(rows) + sum(len(row.steps) for row in rows) > _MANY
    side = _MANY_SIDE if many else _SIDE

    @cache
    def small(path: Path | None) -> str:
        return _data_uri(path, side) if path is not None else ""

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    script = _resource("report.js")
    html = environment.from_string(_resource("report.html.j2")).render(
        title=_text(title),
        facts=_texts(facts or {}),
        rows=[
            {
                "title": _text(row.title),
                "note": _text(row.note),
                "picture": small(row.picture),
                "before": small(row.before),
                "link": row.picture and _link(row.picture, folder),
                "facts": _texts(row.facts),
                "numbers": json.dumps(_numbers(row.facts)),
                "steps": [
                    {"title": _text(step.title), "picture": small(step.picture), "facts": _texts(step.facts)}
                    for step in row.steps
                ],
                "command": _text(row.command),
            }
            for row in rows
        ],
        numbers=list(dict.fromkeys(name for row in rows for name in _numbers(row.facts))),
        script=Markup(script),
        # The page's policy names the only script, so that nothing else can run, whatever the texts hold.
        script_hash="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return html.encode("utf-8")


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _numbers(facts: Mapping[str, Any]) -> dict[str, float]:
    numbers = {name: v for name, v in facts.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
    return {_text(name): value for name, value in numbers.items()}


def _texts(facts: Mapping[str, Any]) -> dict[str, str]:
    """Facts as people read them; what is not set is left out."""
    return {_text(name): _text(value) for name, value in facts.items() if value is not None}


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
