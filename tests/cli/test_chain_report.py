"""`ip2p chain --report`."""

from __future__ import annotations

import html
import re
import shlex
from pathlib import Path

from tests.cli.ip2p import Run, pixels, some_photo

QUICK = ("--edit", "winter", "--edit", "night", "--cfg-image", "1.5")


def commands(path: str) -> list[list[str]]:
    found = re.findall(r"<code[^>]*>(.*?)</code>", Path(path).read_text(), flags=re.S)
    return [shlex.split(html.unescape(one)) for one in found]


def test_a_folder_has_its_report_and_its_command_makes_it_again(ip2p: Run, photo: Path) -> None:
    done = ip2p("chain", photo, *QUICK, "--report", "-o", "out")
    assert done.code == 0, done.err
    said = Path("out/report.html").read_text()
    assert "winter, then night" in said
    assert said.count("<li>") == 2
    assert said.count("<article") == 1
    [command] = commands("out/report.html")
    assert command[:2] == ["ip2p", "chain"]
    again = ip2p(*command[1:], tiny=False)
    assert again.code == 0, again.err
    assert (pixels("out-again/photo/final.png") == pixels("out/photo/final.png")).all()


def test_a_rerun_replaces_its_report_and_no_other_file(ip2p: Run, photo: Path) -> None:
    assert ip2p("chain", photo, *QUICK, "-o", "out").code == 0
    Path("out/report.html").write_text("mine")
    for _ in range(2):
        assert ip2p("chain", photo, *QUICK, "-o", "out", "--report").code == 0
    assert Path("out/report.html").read_text() == "mine"
    assert len(commands("out/report-2.html")) == 1
    assert not Path("out/report-3.html").exists()


def test_several_photos_have_one_of_all_and_a_broken_one_stops_none(ip2p: Run, photo: Path) -> None:
    some_photo(65, 97, shift=9).save("b.png")
    Path("c.png").write_text("no picture")
    done = ip2p("chain", photo, "b.png", "c.png", *QUICK, "-o", "out", "--report")
    assert done.code != 0
    assert Path("out/report.html").read_text().count("<article") == 2
    assert [one[-1] for one in commands("out/report.html")] == ["photo.png", "b.png"]
    assert "./photo/final.png" in Path("out/report.html").read_text()


def test_each_result_of_a_tree_has_its_own_edits(ip2p: Run, photo: Path) -> None:
    Path("tree.yaml").write_text("name: tree\nedits: [winter, [night, [snow, fog]]]\n")
    done = ip2p("chain", photo, "tree.yaml", "-o", "out", "--report")
    assert done.code == 0, done.err
    titles = re.findall(r"<h2><a[^>]*>(.*?)</a></h2>", Path("out/report.html").read_text())
    assert titles == ["winter, then night", "winter, then snow, then fog"]
