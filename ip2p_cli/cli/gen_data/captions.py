"""`ip2p gen-data captions`: the first stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ip2p_cli.cli import options as shared
from ip2p_cli.cli.gen_data import options
from ip2p_cli.cli.output import Output
from ip2p_cli.cli.running import counting
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
    """Read captions, clean them, drop what is there twice, and write DATA/captions.

    Of photos, a caption is what FILE.txt beside the photo says, else what the file's name says. A run that was stopped,
    however, goes on where it was when the same command is given again.
    """
    from ip2p_cli.datagen.captions import CaptionSettings, caption_shards
    from ip2p_cli.datagen.captions.sources import source_of
    from ip2p_cli.datagen.stages import total_counts

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
    folder = data / "captions"
    markers = []
    with (
        counting(2, output, folder=folder, noun="shards", goes_on=True, verb="written") as tally,
        output.progress("captions") as bar,
    ):
        for marker, there in caption_shards(source_of(source, column), data, settings, redo=redo):
            markers.append(marker)
            tally.count = len(markers)
            tally.skipped += there
            tally.done += not there
            bar(sum(m.rows for m in markers), limit or 0)
            path = folder / f"{marker.number:05d}.jsonl"
            if not there:
                output.data_only(str(path), {"stage": "captions", "path": str(path), **vars(marker)})
    dropped = ", ".join(f"{count} {why}" for why, count in total_counts(markers).items())
    rows = sum(marker.rows for marker in markers)
    output.say(f"{folder}: {rows} rows" + (f"; dropped: {dropped}" if dropped else ""))
    if not rows:
        output.warn("no caption was kept: see what was dropped, and the bounds of --help")
