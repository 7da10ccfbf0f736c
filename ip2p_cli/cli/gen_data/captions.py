"""`ip2p gen-data captions`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from typer import Argument, Option

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.flags import CommonFlags
from ip2p_cli.cli.gen_data import flags as gen
from ip2p_cli.cli.gen_data.running import show_shards
from ip2p_cli.cli.output import Output
from ip2p_cli.errors import UsageError

Source = Annotated[
    str,
    Argument(
        metavar="SOURCE",
        help="A .txt (a caption a line), .csv, .jsonl or .parquet, a folder of datasets.save_to_disk, or "
        "photos:FOLDER.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class CaptionFlags:
    """Which captions are kept, and how many there are in a shard."""

    column: Annotated[
        str | None, Option(help="Column of a table with the captions. Default: caption, input, text …")
    ] = None
    min_words: Annotated[int, Option(min=1, help="The fewest words of a caption.")] = 2
    max_words: Annotated[int, Option(min=1, help="The most words of a caption.")] = 60
    language: Annotated[
        str,
        Option(
            help="Keep captions in this language (a code), or any. Without the extra “language” only the script is "
            "checked."
        ),
    ] = "en"
    near: Annotated[
        float,
        Option(
            min=0.5, max=1.0, help="Similarity from which two captions count as the same; 1: only exact duplicates."
        ),
    ] = 0.8
    limit: Annotated[int | None, Option(min=1, help="The most rows.")] = None
    rows_per_shard: Annotated[int, Option(min=1, max=100_000, help="Rows in a shard.")] = 1000


def captions(
    source: Source, data: gen.DataOption, flags: CaptionFlags, common: CommonFlags, redo: opt.Redo = False
) -> Iterator[None]:
    """Read captions, clean them, drop duplicates, and write DATA/captions.

    The caption of a photo is the text in FILE.txt beside it, else it is made from the photo's name. A run that was
    stopped goes on where it was when the same command is given again.
    """
    from ip2p_cli.datagen.captions import CaptionSettings, source_of, write_captions
    from ip2p_cli.datagen.captions.cleaning import language_check
    from ip2p_cli.io.shards import Shards

    if flags.min_words > flags.max_words:
        raise UsageError(f"--min-words {flags.min_words} is more than --max-words {flags.max_words}")
    output, found = Output(json=common.json, quiet=common.quiet), source_of(source, flags.column)
    language_check(flags.language)
    found.check()
    yield
    settings = CaptionSettings(
        words=(flags.min_words, flags.max_words),
        language=flags.language,
        near=flags.near if flags.near < 1 else None,
        limit=flags.limit,
        rows=flags.rows_per_shard,
    )
    written = write_captions(found, data, settings, redo=redo)
    results = ((marker.number, marker, existed) for marker, existed in written)
    markers = show_shards(Shards(folder=data / "captions"), results, output, count=None)
    if not any(marker.rows for marker in markers):
        output.warn("no caption was kept: see what was dropped, and the bounds of --help")
