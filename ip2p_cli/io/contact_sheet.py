"""Contact sheets: many small pictures in one, with labels for each, for columns and for rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

MAX_SIDE = 8000
_CELL, _GAP, _TEXT, _LINE = 320, 8, 16, 22
_INK, _PAPER, _BLANK = "#202020", "#ffffff", "#e4e4e4"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The layout of a sheet: labels of columns and rows (empty for none), and the index of the picture in each cell."""

    columns: tuple[str, ...]
    rows: tuple[str, ...]
    cells: tuple[tuple[int | None, ...], ...]


def grid_of(values: Sequence[Sequence[str]]) -> Grid:
    """Lay out pictures by the values that they were made with.

    Args:
        values: The values of each picture, as many for each. The last value is the column, the others are the row.
            Pictures with a single value, or of which two have the same values, fill about as many rows as columns.
    """
    if values and len(values[0]) > 1:
        columns = tuple(dict.fromkeys(value[-1] for value in values))
        rows = tuple(dict.fromkeys(", ".join(value[:-1]) for value in values))
        indices = {(", ".join(value[:-1]), value[-1]): index for index, value in enumerate(values)}
        if len(indices) == len(values):
            cells = tuple(tuple(indices.get((row, column)) for column in columns) for row in rows)
            return Grid(columns=columns, rows=rows, cells=cells)
    across = max(1, math.ceil(math.sqrt(len(values))))
    lines = [range(start, min(start + across, len(values))) for start in range(0, len(values), across)]
    filled = tuple(tuple(line) + (None,) * (across - len(line)) for line in lines)
    return Grid(columns=(), rows=(), cells=filled)


def contact_sheet(pictures: Sequence[Image.Image | None], labels: Sequence[str], grid: Grid) -> Image.Image:
    """Draw a sheet: RGB, at most MAX_SIDE pixels a side.

    Args:
        pictures: The pictures; for None the cell is grey.
        labels: The text below each picture, cut to its width.
        grid: The layout.
    """
    across, down = max(map(len, grid.cells)), len(grid.cells)
    left = 160 if grid.rows else _GAP
    top = _LINE + 2 * _GAP if grid.columns else _GAP
    width = max(8, min(_CELL, (MAX_SIDE - left) // across - _GAP))
    shape = next((picture for picture in pictures if picture is not None), None)
    height = width if shape is None else max(1, min(2 * width, round(width * shape.height / shape.width)))
    height = max(1, min(height, (MAX_SIDE - top) // down - _GAP - _LINE))
    step_x, step_y = width + _GAP, height + _LINE + _GAP
    sheet = Image.new("RGB", (left + across * step_x, top + down * step_y), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT)
    for column, text in enumerate(grid.columns):
        _write(draw, (left + column * step_x, _GAP), text, width, font)
    for y, row in enumerate(grid.cells):
        if grid.rows:
            _write(draw, (_GAP, top + y * step_y + height // 2), grid.rows[y], left - 2 * _GAP, font)
        for x, index in enumerate(row):
            if index is None:
                continue
            corner = (left + x * step_x, top + y * step_y)
            _paste(sheet, pictures[index], corner, (width, height))
            _write(draw, (corner[0], corner[1] + height + 2), labels[index], width, font)
    return sheet


def _paste(sheet: Image.Image, picture: Image.Image | None, corner: tuple[int, int], size: tuple[int, int]) -> None:
    if picture is None:
        sheet.paste(_BLANK, (*corner, corner[0] + size[0], corner[1] + size[1]))
        return
    thumbnail = picture.convert("RGB")
    thumbnail.thumbnail(size, Image.Resampling.LANCZOS)
    sheet.paste(thumbnail, (corner[0] + (size[0] - thumbnail.width) // 2, corner[1]))


def _write(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    text: str,
    width: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """Write a line, cut to `width` pixels."""
    shown = " ".join(text.split())[:200]
    while shown and draw.textlength(shown, font=font) > width:
        shown = shown[:-2].rstrip("…") + "…" if len(shown) > 2 else ""
    draw.text(corner, shown, fill=_INK, font=font)
