"""The offline measures say what they are named for."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from ip2p_cli.editing.ranking import measure, order
from ip2p_cli.looks import apply
from tests.cli.ip2p import some_photo

PHOTO = some_photo(96, 64)


def look(name: str, amount: float = 1.0) -> Image.Image:
    painted = apply(name, np.asarray(PHOTO, dtype=np.float32) / 255, amount)
    return Image.fromarray((painted * 255).round().astype(np.uint8))


def test_nothing_and_noise_come_after_an_edit() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8))
    edits = [PHOTO, noise, look("sepia")]
    found = measure(PHOTO, edits, [None] * 3)
    assert order([one.score for one in found])[0] == 2
    assert found[0].score == 0
    assert found[0].facts["where"] == "nowhere"
    assert str(found[0].facts["measure"]).startswith("offline")


def test_where_it_changed() -> None:
    edit = PHOTO.copy()
    edit.paste((255, 0, 0), (0, 0, 30, 20))
    facts = measure(PHOTO, [edit], [None])[0].facts
    assert facts["where"] == "top left"
    assert 0.05 < float(facts["changed area"]) < 0.15


def test_near_duplicates_are_pointed_out() -> None:
    soft = look("sepia").filter(ImageFilter.GaussianBlur(0.2))
    found = measure(PHOTO, [look("sepia"), look("winter"), soft], [None] * 3)
    assert [one.like for one in found] == [None, None, 0]


def test_the_known_look_is_the_measure() -> None:
    found = measure(PHOTO, [look("sepia", 0.3), look("sepia"), look("winter")], ["sepia"] * 3)
    assert order([one.score for one in found])[0] == 1
    assert "sepia" in str(found[0].facts["measure"])
