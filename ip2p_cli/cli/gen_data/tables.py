"""Formats tables for stdout."""

from __future__ import annotations

from collections.abc import Sequence

from ip2p_cli.io.names import printable


def table_text(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with the first column aligned left, the others right."""
    lines = [[printable(cell) for cell in line] for line in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
