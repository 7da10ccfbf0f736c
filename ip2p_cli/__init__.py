"""Edit photos from written instructions: InstructPix2Pix as a command-line tool, and from Python.

    from ip2p_cli import Editor, EditSettings

Importing the package imports nothing heavy; `Editor` brings torch with it when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ip2p_cli.api import Editor
    from ip2p_cli.errors import Ip2pError
    from ip2p_cli.types import EditResult, EditSettings, MaskSettings

__version__ = "0.1.0"
__all__ = ["EditResult", "EditSettings", "Editor", "Ip2pError", "MaskSettings", "__version__"]

_HOMES = (
    ("Editor", ".api"),
    ("EditResult", ".types"),
    ("EditSettings", ".types"),
    ("Ip2pError", ".errors"),
    ("MaskSettings", ".types"),
)


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first used (PEP 562)."""
    for public, module in _HOMES:
        if name == public:
            return getattr(import_module(module, __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
