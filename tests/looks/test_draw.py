"""A draw is all that is random in a look, and the same noise is the same draw."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ip2p_cli.looks import Draw, apply, looks
from ip2p_cli.looks.base import CHANNELS, cell_size

PLAIN = np.full((256, 320, 3), 0.5, np.float32)


def test_a_draw_has_a_cell_for_four_pixels_of_a_256_pixel_photo() -> None:
    draw = Draw.from_seed(1, 256, 320)
    assert draw.fields.shape == (CHANNELS, 64, 80)
    assert draw.numbers.shape == (CHANNELS,)
    assert Draw.from_seed(1, 512, 640).fields.shape == (CHANNELS, 64, 80)
    np.testing.assert_array_equal(draw.fields, Draw.from_seed(1, 256, 320).fields)


@given(st.integers(1, 3000), st.integers(1, 3000))
@settings(max_examples=30, deadline=None)
def test_a_draw_never_has_more_cells_than_pixels(height: int, width: int) -> None:
    size = cell_size(height, width)
    assert np.ceil(height / size) <= height
    assert np.ceil(width / size) <= width


def test_between_is_uniform() -> None:
    values = [Draw.from_seed(seed, 4, 4).between(0, 2, 6) for seed in range(2000)]
    assert 2 <= min(values) < 2.1
    assert 5.9 < max(values) <= 6
    assert abs(np.mean(values) - 4) < 0.1


@pytest.mark.parametrize("size", [8, 16, 32])
def test_a_field_is_about_standard_normal(size: float) -> None:
    surfaces = [Draw.from_seed(seed, 256, 320).field(2, PLAIN, size) for seed in range(20)]
    assert surfaces[0].shape == (256, 320)
    assert 0.7 < np.std(surfaces) < 1.3
    assert abs(np.mean(surfaces)) < 0.3


def test_marks_lie_in_the_cells_of_their_field() -> None:
    draw = Draw.from_seed(5, 256, 320)
    marks = draw.marks(0, 0.05, PLAIN)
    assert 0.03 < len(marks) / (64 * 80) < 0.07
    assert marks[:, 2].min() >= 0
    assert marks[:, 2].max() <= 1
    cells = draw.fields[0, (marks[:, 1] // 4).astype(int), (marks[:, 0] // 4).astype(int)]
    assert cells.min() > 1.6  # the level that 5 % of standard normal values exceed
    assert len(draw.marks(0, 0.1, PLAIN)) > len(marks)


def test_a_look_depends_on_its_draw_alone() -> None:
    photo = np.random.default_rng(0).random((64, 80, 3), dtype=np.float32)
    for name, look in looks().items():
        first, again, other = (look.paint(photo, 1.0, Draw.from_seed(seed, 64, 80)) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert look.exact == np.array_equal(first, other), name
        np.testing.assert_array_equal(first, apply(name, photo, 1.0, 1))
