"""What people write about masks: lengths, boxes, flags, rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ip2p_cli.errors import UsageError
from ip2p_cli.io.mask_settings import (
    box_in_pixels,
    checked_mask,
    length_in_pixels,
    needs_area,
    read_mask_settings,
)
from ip2p_cli.types import MaskSettings

sides = st.integers(1, 5000)


@settings(deadline=5000)
@given(st.tuples(sides, sides), st.integers(0, 99), st.integers(0, 99), st.integers(1, 100), st.integers(1, 100))
def test_boxes_in_pixels_and_per_cent_agree(size: tuple[int, int], x: int, y: int, w: int, h: int) -> None:
    width, height = size
    percent = box_in_pixels(f"{x}%,{y}%,{w}%,{h}%", size)
    pixels = box_in_pixels(f"{x * width / 100},{y * height / 100},{w * width / 100},{h * height / 100}", size)
    assert percent == pixels
    left, top, right, bottom = percent
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


@pytest.mark.parametrize(
    ("box", "pixels"),
    [
        ("10,20,30,40", (10, 20, 40, 60)),
        ("50%,0,50%,100%", (100, 0, 200, 100)),
        ("-10,-10,20,20", (0, 0, 10, 10)),
        ("190,90,500,500", (190, 90, 200, 100)),
        ("10.4,10,0.2,1", (10, 10, 11, 11)),
    ],
)
def test_boxes_are_cut_off_at_the_borders(box: str, pixels: tuple[int, ...]) -> None:
    assert box_in_pixels(box, (200, 100)) == pixels


def test_a_box_outside_is_named() -> None:
    with pytest.raises(UsageError, match=r"box 200,0,5,5 lies outside the photo of 200 x 100"):
        box_in_pixels("200,0,5,5", (200, 100))


@pytest.mark.parametrize(
    ("value", "boxes"),
    [
        ("1,2,3,4", ("1,2,3,4",)),
        ("1,2,3,4; 10%,20 %,30px,40", ("1,2,3,4", "10%,20%,30,40")),
        ([1, 2, "30%", 4.5], ("1,2,30%,4.5",)),
        (["1,2,3,4", [5, 6, 7, 8]], ("1,2,3,4", "5,6,7,8")),
    ],
)
def test_boxes_are_texts_or_lists(value: object, boxes: tuple[str, ...]) -> None:
    assert read_mask_settings({"box": value}, "x").box == boxes


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"box": "1,2,3"}, "jobs.csv, row 2: box: 1,2,3 is not possible: give x,y,width,height"),
        ({"box": "1,2,0,3"}, "width and height must be above 0"),
        ({"box": 7}, "give x,y,width,height"),
        ({"grow": "much"}, "grow: 'much' is not possible: give pixels or per cent"),
        ({"grow": True}, "grow: True is not possible"),
        ({"grow": float("nan")}, "grow: nan is not possible"),
        ({"feather": "-2%"}, "feather: -2% is less than 0"),
        ({"invert_mask": "perhaps"}, "neither true nor false"),
        ({"mask_steps": "first"}, "use all or last"),
        ({"mask": ""}, "is not the name of a file or folder"),
        ({"region": " "}, "names no part of a photo"),
        ({"region": 3}, "names no part of a photo"),
        ({"region": "s" * 201}, "names no part of a photo"),
        ({"region_model": ""}, "region_model: '' is not the name of a file or folder"),
    ],
)
def test_mistakes_name_the_place(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        read_mask_settings(values, "jobs.csv, row 2")
    assert str(error.value).startswith("jobs.csv, row 2: ")
    assert message in str(error.value)


def test_lengths() -> None:
    assert length_in_pixels("2%", (300, 1000)) == 6
    assert length_in_pixels(-3, (300, 1000)) == -3
    assert length_in_pixels(None, (300, 1000)) == 0
    assert read_mask_settings({"grow": "-5px", "feather": " 2.50 %"}, "") == MaskSettings(grow=-5, feather="2.5%")


def test_what_is_said_of_a_mask_needs_one() -> None:
    with pytest.raises(UsageError, match=r"--feather needs --mask, --box or --region"):
        needs_area(MaskSettings(feather=3))
    assert needs_area(MaskSettings()) == MaskSettings()
    with pytest.raises(UsageError, match=r"MaskSettings: grow needs mask, box or region"):
        checked_mask(MaskSettings(grow=3))


def test_regions() -> None:
    assert read_mask_settings({"region": "  the   sky "}, "").region == "the sky"
    with pytest.raises(UsageError, match=r"MaskSettings: region_model needs region: say what is looked for"):
        checked_mask(MaskSettings(box=("1,2,3,4",), region_model="here"))
    own = MaskSettings(region="the car", region_model="a", feather=2)
    assert MaskSettings(region_model="b").or_else(own) == replace(own, region_model="b")
    assert MaskSettings(box=("1,2,3,4",)).or_else(own) == MaskSettings(box=("1,2,3,4",), feather=2)
    assert MaskSettings(region="left").or_else(MaskSettings(mask="m.png")) == MaskSettings(region="left")


def test_an_area_is_taken_whole() -> None:
    own = MaskSettings(mask="a.png", invert_mask=True, feather=2)
    assert MaskSettings(box=("1,2,3,4",)).or_else(own) == MaskSettings(box=("1,2,3,4",), feather=2)
    assert MaskSettings(grow=1).or_else(own) == MaskSettings(mask="a.png", invert_mask=True, grow=1, feather=2)
