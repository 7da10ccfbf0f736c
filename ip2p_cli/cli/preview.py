"""Pictures in the terminal, on stderr: kitty's, iTerm2's or sixel graphics, or blocks of colour.

They are drawn by libchafa, which comes with the extra `preview`.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ip2p_cli.cli.output import Output
from ip2p_cli.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

_SHARE_OF_ROWS = 0.6  # so that the lines before the picture stay in sight
_CELL = (8, 16)  # pixels, for a terminal that does not tell


def check_preview() -> None:
    """Check, before the work, that the library is installed.

    Raises:
        UsageError: It is not; the message has the command that installs it.
    """
    try:
        import chafa  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: its library does not load here
        raise UsageError(f"--preview cannot draw ({error}): pip install 'ip2p[preview]'") from error


def preview(image: Image, output: Output) -> None:
    """Draw a picture if stderr is a terminal that can; otherwise warn that nothing was drawn.

    Raises:
        UsageError: The library is not installed.
    """
    check_preview()
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        output.warn("--preview: stderr is not a terminal that can draw; nothing was drawn.")
        return
    columns, rows = os.get_terminal_size(sys.stderr.fileno())
    cell = _cell_size(sys.stderr.fileno())
    output.draw(rendered(image, columns, max(1, int(rows * _SHARE_OF_ROWS)), cell) + b"\n")


def rendered(image: Image, columns: int, rows: int, cell: tuple[int, int] = _CELL) -> bytes:
    """Make the bytes that draw a picture in at most `columns` x `rows` cells of `cell` (width, height) pixels."""
    import chafa

    terminal = chafa.TermDb().detect()
    config = chafa.CanvasConfig()
    config.canvas_mode, config.pixel_mode = _modes(terminal)
    config.cell_width, config.cell_height = cell
    config.width, config.height = columns, rows
    config.calc_canvas_geometry(image.width, image.height, cell[0] / cell[1])
    canvas = chafa.Canvas(config)
    rgb = image.convert("RGB")
    # More pixels than the cells have would only cost time.
    rgb.thumbnail((max(1, config.width * cell[0]), max(1, config.height * cell[1])))
    canvas.draw_all_pixels(chafa.PixelType.CHAFA_PIXEL_RGB8, rgb.tobytes(), rgb.width, rgb.height, rgb.width * 3)
    return bytes(canvas.print(term_info=terminal))


def _modes(terminal: object) -> tuple[object, object]:
    """Return the colours and graphics that a terminal can: libchafa would ask it through stdout, which is for data."""
    from chafa import CanvasMode, PixelMode, TermInfo, TermSeq

    assert isinstance(terminal, TermInfo)
    graphics = (
        (TermSeq.CHAFA_TERM_SEQ_BEGIN_KITTY_IMMEDIATE_IMAGE_V1, PixelMode.CHAFA_PIXEL_MODE_KITTY),
        (TermSeq.CHAFA_TERM_SEQ_BEGIN_ITERM2_IMAGE, PixelMode.CHAFA_PIXEL_MODE_ITERM2),
        (TermSeq.CHAFA_TERM_SEQ_BEGIN_SIXELS, PixelMode.CHAFA_PIXEL_MODE_SIXELS),
    )
    colours = (
        (TermSeq.CHAFA_TERM_SEQ_SET_COLOR_FGBG_DIRECT, CanvasMode.CHAFA_CANVAS_MODE_TRUECOLOR),
        (TermSeq.CHAFA_TERM_SEQ_SET_COLOR_FGBG_256, CanvasMode.CHAFA_CANVAS_MODE_INDEXED_240),
        (TermSeq.CHAFA_TERM_SEQ_SET_COLOR_FGBG_16, CanvasMode.CHAFA_CANVAS_MODE_INDEXED_16),
    )
    mode = next((mode for sequence, mode in colours if terminal.have_seq(sequence)), CanvasMode.CHAFA_CANVAS_MODE_FGBG)
    drawing = next((mode for sequence, mode in graphics if terminal.have_seq(sequence)), None)
    return mode, drawing or PixelMode.CHAFA_PIXEL_MODE_SYMBOLS


def _cell_size(terminal: int) -> tuple[int, int]:
    """Ask the terminal for the (width, height) of a cell in pixels."""
    try:
        import fcntl
        import struct
        import termios

        answer = fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8))
    except (ImportError, OSError):  # Windows; not a terminal
        return _CELL
    rows, columns, width, height = struct.unpack("HHHH", answer)
    return (width // columns, height // rows) if rows and columns and width and height else _CELL
