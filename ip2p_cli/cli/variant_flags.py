"""The flags of `ip2p variants` alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from ip2p_cli.cli import listing
from ip2p_cli.cli import verdict_options as verdict_opt
from ip2p_cli.errors import UsageError

_VARY = "What to vary"
_RANK = "Choosing"


@dataclass(frozen=True, kw_only=True)
class VaryFlags:
    """What to vary."""

    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="N|A,B,…|A..B",
            help="8: eight seeds, from --seed or 0 on. 3,5,8 and 10..17: those.",
            rich_help_panel=_VARY,
        ),
    ] = None
    cfg_text: Annotated[
        str | None,
        typer.Option("--cfg-text", metavar="A,B,…", help="Text guidance s_T, one or several.", rich_help_panel=_VARY),
    ] = None
    cfg_image: Annotated[
        str | None,
        typer.Option("--cfg-image", metavar="A,B,…", help="Image guidance s_I, one or several.", rich_help_panel=_VARY),
    ] = None
    steps: Annotated[
        str | None, typer.Option("--steps", metavar="A,B,…", help="Denoising steps.", rich_help_panel=_VARY)
    ] = None
    sampler: Annotated[
        str | None,
        typer.Option(
            "--sampler",
            metavar="A,B,…",
            help="Samplers; `--sampler help` lists them.",
            callback=listing.sampler_or_help,
            is_eager=True,
            rich_help_panel=_VARY,
        ),
    ] = None
    instruction: Annotated[
        list[str] | None,
        typer.Option("--instruction", help="A further instruction; may be repeated.", rich_help_panel=_VARY),
    ] = None
    random: Annotated[
        int | None,
        typer.Option(
            "--random",
            min=1,
            metavar="N",
            help="N variants with seeds of their own and both scales drawn from ranges: --cfg-text 6..9 --cfg-image "
            "1.2..1.8, or a fifth around the model's own.",
            rich_help_panel=_VARY,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class RankFlags:
    """How to choose."""

    rank: Annotated[
        bool, typer.Option("--rank", help="Measure the variants, and put the best first.", rich_help_panel=_RANK)
    ] = False
    keep: Annotated[
        int | None,
        typer.Option(
            min=1, help="Tell and show only the best K (ranks them); the files of all stay.", rich_help_panel=_RANK
        ),
    ] = None
    clip: verdict_opt.Clip = None
    caption: Annotated[
        str | None, typer.Option(help="What the photo shows, for ranking with CLIP.", rich_help_panel=_RANK)
    ] = None
    target_caption: Annotated[
        str | None, typer.Option(help="What the edit should show, for ranking with CLIP.", rich_help_panel=_RANK)
    ] = None

    @property
    def captions(self) -> tuple[str, str] | None:
        """What the photo and the edit show; raises UsageError if only one was given."""
        if (self.caption is None) != (self.target_caption is None):
            raise UsageError("--caption and --target-caption belong together: give both or neither.")
        return (self.caption, self.target_caption) if self.caption and self.target_caption else None
