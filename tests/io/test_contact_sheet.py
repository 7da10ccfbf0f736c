"""The contact sheet: what lies where, and how large it may become."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ip2p_cli.io.contact_sheet import MAX_SIDE, contact_sheet, grid_of


def flat(colour: str, size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.new("RGB", size, colour)


def colours(sheet: Image.Image) -> set[tuple[int, ...]]:
    return {tuple(pixel) for pixel in np.unique(np.asarray(sheet).reshape(-1, 3), axis=0).tolist()}


def test_two_axes_make_columns_and_rows() -> None:
    values = [(seed, image) for seed in ("seed 1", "seed 2") for image in ("image 1.2", "image 1.5", "image 1.8")]
    grid = grid_of(values)
    assert grid.columns == ("image 1.2", "image 1.5", "image 1.8")
    assert grid.rows == ("seed 1", "seed 2")
    assert grid.cells == ((0, 1, 2), (3, 4, 5))
    assert grid_of([*values[:2], *values[3:]]).cells == ((0, 1, None), (2, 3, 4))


def test_one_axis_fills_rows() -> None:
    grid = grid_of([(str(n),) for n in range(5)])
    assert (grid.columns, grid.rows) == ((), ())
    assert grid.cells == ((0, 1, 2), (3, 4, None))
    assert grid_of([]).cells == ()


def test_values_that_are_alike_lose_no_picture() -> None:
    cells = grid_of([("1", "a"), ("1", "a"), ("2", "a")]).cells
    assert sorted(index for row in cells for index in row if index is not None) == [0, 1, 2]


def test_pictures_stand_where_their_cells_are() -> None:
    pictures = [flat("red", (400, 300)), flat("lime", (400, 300)), None, flat("blue", (400, 300))]
    grid = grid_of([("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")])
    sheet = contact_sheet(pictures, [""] * 4, grid)
    pixels = np.asarray(sheet)

    def middle(colour: tuple[int, int, int]) -> tuple[float, float]:
        found = np.argwhere((pixels == colour).all(axis=-1))
        assert len(found) >= 40 * 30
        return tuple(found.mean(axis=0))  # type: ignore[return-value]

    red, lime, blue, blank = (middle(c) for c in ((255, 0, 0), (0, 255, 0), (0, 0, 255), (228, 228, 228)))
    # A few pixels of the labels' edges have the blank cell's grey.
    assert red[0] == lime[0] < blue[0] == pytest.approx(blank[0], abs=1)
    assert red[1] == pytest.approx(blank[1], abs=1)
    assert red[1] < lime[1] == blue[1]


def test_labels_are_drawn_and_cut_to_their_cell() -> None:
    grid = grid_of([("1",)])
    plain, short, long = (contact_sheet([flat("red")], [text], grid) for text in ("", "seed 1", "seed " * 200))
    assert plain.size == short.size == long.size
    assert len(colours(plain)) < len(colours(short))
    ink = np.argwhere(np.asarray(long)[-24:].min(axis=-1) < 200)
    assert ink[:, 1].max() < long.width - 4


def test_a_thousand_odd_shapes_stay_in_bounds() -> None:
    for size in ((4000, 3), (3, 4000)):
        grid = grid_of([(str(n),) for n in range(1000)])
        sheet = contact_sheet([flat("red", size)] * 1000, ["x"] * 1000, grid)
        assert max(sheet.size) <= MAX_SIDE
    row = grid_of([("a", str(n)) for n in range(400)])
    assert max(contact_sheet([flat("red")] * 400, [""] * 400, row).size) <= MAX_SIDE
