"""`ip2p gen-data captions`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ip2p_cli.cli import options as shared
from ip2p_cli.cli.gen_data import options
from ip2p_cli.cli.gen_data.running import show_shards
from ip2p_cli.cli.output import Output
from ip2p_cli.errors import UsageError


def captions(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A .txt (a caption a line), .csv, .jsonl or .parquet, a folder of datasets.save_to_disk, or "
            "photos:FOLDER.",
        ),
    ],
    data: Annotated[Path, typer.Option("-o", "--output", metavar="DATA", help="The dataset's folder.")],
    column: options.Column = None,
    min_words: options.MinWords = 2,
    max_words: options.MaxWords = 60,
    language: options.Language = "en",
    near: options.Near = 0.8,
    limit: options.Limit = None,
    rows_per_shard: options.RowsPerShard = 1000,
    redo: shared.Redo = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
    debug: shared.Debug = False,
) -> None:
    """Read captions, clean them, drop duplicates, and write DATA/captions.

    The caption of a photo is the text in FILE.txt beside it, else it is made from the photo's name. A run that was
    stopped goes on where it was when the same command is given again.
    """
    from ip2p_cli.datagen.captions import CaptionSettings, source_of, write_captions
    from ip2p_cli.io.shards import Shards

    if min_words > max_words:
        raise UsageError(f"--min-words {min_words} is more than --max-words {max_words}")
    output = Output(json=json, quiet=quiet)
    settings = CaptionSettings(
        words=(min_words, max_words),
        language=language,
        near=near if near < 1 else None,
        limit=limit,
        rows=rows_per_shard,
    )
    written = write_captions(source_of(source, column), data, settings, redo=redo)
    results = ((marker.number, marker, existed) for marker, existed in written)
    markers = show_shards(Shards(folder=data / "captions"), results, output, count=None)
    if not any(marker.rows for marker in markers):
        output.warn("no caption was kept: see what was dropped, and the bounds of --help")
