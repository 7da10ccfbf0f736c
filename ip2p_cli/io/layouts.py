"""Layouts of picture files that no decoder here reads rightly."""

from __future__ import annotations


class LayoutError(ValueError):
    """A picture is stored in a way that is not read here; the text names it."""
