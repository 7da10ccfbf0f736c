"""The flags about whether edits worked; as `options`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from ip2p_cli.cli.verdicts import read_verdicts

_CHOOSING = "Choosing"


def _checked(flag: str) -> Callable[[str | None], str | None]:
    """Return what refuses names that are no verdicts, before anything is done."""

    def check(text: str | None) -> str | None:
        read_verdicts(text, flag)
        return text

    return check


RedoVerdict = Annotated[
    str | None,
    typer.Option(
        metavar="VERDICT,…",
        callback=_checked("--redo-verdict"),
        help="Make again, with the settings given now, only what got one of these verdicts; the rest counts as done.",
        rich_help_panel="Many photos",
    ),
]
FailOn = Annotated[
    str | None,
    typer.Option(
        metavar="VERDICT,…",
        callback=_checked("--fail-on"),
        help="End with exit code 8 if a result is one of: no-change, over-edit, off-target. Its files are written.",
        rich_help_panel="Output",
    ),
]
Clip = Annotated[
    str | None,
    typer.Option(
        help="Judge, rank and choose with the CLIP model in this folder. Default: where edits are ranked or chosen, "
        "one in the hub's cache, else none.",
        rich_help_panel=_CHOOSING,
    ),
]
AutoTune = Annotated[
    bool,
    typer.Option(
        "--auto-tune",
        help="Where an edit is not ok, try other scales, then other seeds, and keep the best.",
        rich_help_panel=_CHOOSING,
    ),
]
MaxTries = Annotated[
    int | None,
    typer.Option(min=1, max=64, help="Tries of --auto-tune after the first. Default: 6.", rich_help_panel=_CHOOSING),
]
