"""What nano understands: the nearest look, and the regions that its weights were trained for."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ip2p_cli.looks.regions import REGIONS
from ip2p_cli.models.loader import Editor, load_editor
from ip2p_cli.models.nano.letters import LetterIndex
from ip2p_cli.models.nano.look_matcher import closest, known_regions, write_known
from ip2p_cli.models.registry import find_model


@pytest.fixture(scope="module")
def nano() -> Editor:
    return load_editor(find_model("nano"), device="cpu", dtype="fp32")


@pytest.mark.parametrize(
    ("instruction", "look"), [("make it winter", "winter"), ("black and white", "black_and_white"), ("blur it", "blur")]
)
def test_the_nearest_look(nano: Editor, instruction: str, look: str) -> None:
    found = closest(nano, instruction)
    assert found.looks[0] == look
    assert found.known
    assert found.region is None
    assert found.unknown_region is None


@pytest.mark.parametrize(
    ("instruction", "look"),
    [("let it rain hard!!", "rain"), ("make it wintre", "winter"), ("8 bit graphics", "pixel_art")],
)
def test_words_that_it_was_not_trained_with(nano: Editor, instruction: str, look: str) -> None:
    assert closest(nano, instruction).looks[0] == look


def test_letters() -> None:
    index = LetterIndex(["make it winter", "let it rain", "as a sketch"])
    assert index.similarities("MAKE  it: winter")[0] == pytest.approx(1)
    assert index.similarities("winterr").argmax() == 0
    assert index.similarities("") == pytest.approx([0, 0, 0])
    assert 0 < index.similarities("let it rain on the car")[1] < index.similarities("let it rain on")[1] < 1


def test_a_region_counts_as_known_only_where_the_weights_say_so(nano: Editor, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(nano.spec.source, folder)
    moved = replace(nano, spec=replace(nano.spec, source=str(folder)))
    (folder / "regions.json").write_text(json.dumps(["sky"]))
    assert closest(moved, "only the sky: black and white").region == "sky"
    assert closest(moved, "only the plants: black and white").masked_region == "plants"
    assert closest(moved, "only the car: black and white").unknown_region == "the car"
    (folder / "regions.json").unlink()
    assert known_regions(folder) == ()
    found = closest(moved, "only the sky: black and white")
    assert (found.masked_region, found.nearest, found.unknown_region) == ("sky", "black and white", None)
    write_known(moved, [("make it winter", "winter")], folder, tuple(REGIONS))
    assert known_regions(folder) == tuple(REGIONS)
