"""The report: whole in itself, and no text becomes markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ip2p_cli.io.report import ReportRow, ReportStep, _resource, report
from tests.cli.ip2p import some_photo

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def test_hostile_texts_and_names_stay_text(tmp_path: Path) -> None:
    name = HOSTILE.replace("/", "-") + "\n.png"
    some_photo().save(tmp_path / name)
    row = ReportRow(
        title=HOSTILE,
        picture=tmp_path / name,
        before=tmp_path / name,
        facts={HOSTILE: HOSTILE, "score": 0.5},
        steps=[ReportStep(title=HOSTILE, picture=tmp_path / name, facts={HOSTILE: HOSTILE})],
        command=f"ip2p {HOSTILE}",
    )
    html = report(HOSTILE, [row], tmp_path, facts={HOSTILE: HOSTILE}).decode()
    found = Tags(html)
    assert found.tags.count("script") == 1
    assert found.tags.count("img") == 3
    assert not any(name.startswith("on") for name, _ in found.attributes)
    sources = [value for name, value in found.attributes if name == "src"]
    assert all(value.startswith("data:image/jpeg;base64,") for value in sources)
    assert all(value.startswith("./") for name, value in found.attributes if name == "href")
    assert not re.search(
        r"https?:|//", re.sub(r"data:[^\"]*|<script>.*</script>", "", html, flags=re.S).replace("</", "<")
    )
    assert "http" not in _resource("report.js")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(text=st.text())
def test_any_text_adds_no_tag(tmp_path: Path, text: str) -> None:
    def tags(said: str) -> list[str]:
        step = ReportStep(title=said, picture=None, facts={said: said})
        row = ReportRow(title=said, picture=None, facts={said: said}, steps=[step], command="x" + said)
        return Tags(report(said, [row], tmp_path).decode()).tags

    assert tags(text) == tags("plain")


def test_a_picture_that_is_gone_is_left_out(tmp_path: Path) -> None:
    html = report("t", [ReportRow(title="gone", picture=tmp_path / "gone.png")], tmp_path).decode()
    assert "gone" in html
    assert "img" not in Tags(html).tags


def test_it_is_bounded(tmp_path: Path) -> None:
    some_photo(1500, 1000).save(tmp_path / "a.png")
    rows = [ReportRow(title=str(n), picture=tmp_path / "a.png") for n in range(3)]
    assert len(report("t", rows, tmp_path)) < 3 * 150_000
