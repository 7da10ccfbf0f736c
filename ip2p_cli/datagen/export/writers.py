"""Writers of the files of an export, one a layout. A file or folder is written whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from ip2p_cli.datagen.dataset.columns import METADATA_NAMES, PICTURES, PROMPT_NAMES
from ip2p_cli.datagen.dataset.original import METADATA, PROMPT
from ip2p_cli.datagen.export.parquet import write_parquet
from ip2p_cli.datagen.export.plan import ExportPlan, Layout, Part
from ip2p_cli.errors import OutputError
from ip2p_cli.io.files import as_output_error, temporary_beside
from ip2p_cli.io.names import printable
from ip2p_cli.io.shards import Sample, Shards, ShardWriter, whole_file

Written = Iterator[dict[str, Any]]  # rows with the `file` (or folder) and the number of its `pairs`


def _shards(plan: ExportPlan, part: Part) -> Written:
    shards = Shards(folder=plan.out / part.split, format="tar")
    with shards.writing(part.number, keep=True) as writer:
        _add_all(writer, plan.samples(part))
    yield {"file": str(shards.path(part.number).relative_to(plan.out)), "pairs": writer.rows}


def _webdataset(plan: ExportPlan, part: Part) -> Written:
    target = plan.out / f"{part.split or 'train'}-{part.number:06d}.tar"
    with whole_file(target, keep=True) as file:
        writer = ShardWriter(file, "tar")
        _add_all(writer, plan.samples(part))
        writer.finish()
    yield {"file": target.name, "pairs": writer.rows}


def _parquet(plan: ExportPlan, part: Part) -> Written:
    target = plan.out / "data" / f"{part.split or 'train'}-{part.number:05d}-of-{part.of:05d}.parquet"
    with whole_file(target, keep=True) as file:
        count = write_parquet(file, plan.samples(part), plan.scores)
    yield {"file": str(target.relative_to(plan.out)), "pairs": count}


def _add_all(writer: ShardWriter, samples: Iterator[Sample]) -> None:
    for sample in samples:
        writer.add(sample.row, sample.pictures)


def _original(plan: ExportPlan, part: Part) -> Written:
    by_triplet = groupby(plan.samples(part), key=lambda sample: sample.row["triplet"])
    for number, (_, samples) in enumerate(by_triplet, start=part.first):
        folder = plan.out / part.split / f"{number:07d}"
        files, seeds = _files_of(samples)
        if not folder.exists():
            _write_folder(folder, files)
        if any(not (folder / name).is_file() or (folder / name).read_bytes() != files[name] for name in files):
            raise OutputError(f"{printable(folder)} exists already with other files: move it away")
        yield {"file": str(folder.relative_to(plan.out)), "pairs": len(seeds), "seeds": seeds}


def _files_of(samples: Iterator[Sample]) -> tuple[dict[str, bytes], list[int]]:
    """The files of a triplet's folder, and its seeds."""
    files: dict[str, bytes] = {}
    rows, seeds = [], []
    for sample in samples:
        row = sample.row
        seed = int(row.get("seed") or 0)
        while seed in seeds:  # the pictures are named after it
            seed += 1
        seeds.append(seed)
        files |= {f"{seed}_{number}.jpg": sample.pictures[name] for number, name in enumerate(PICTURES)}
        theirs = {their: row[ours] for ours, their in METADATA_NAMES.items() if row.get(ours) is not None}
        rows.append({**row, **theirs, "seed": seed})
        prompt = {their: row.get(ours) for ours, their in PROMPT_NAMES.items()}
        files[PROMPT] = (json.dumps(prompt, ensure_ascii=False) + "\n").encode()
    files[METADATA] = "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows).encode()
    return files, seeds


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder whole or not at all; one that another process has written meanwhile stays."""
    temporary = temporary_beside(folder)
    with as_output_error(folder):
        temporary.mkdir(parents=True)
        try:
            for name, data in files.items():
                with whole_file(temporary / name) as file:
                    file.write(data)
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


# Write the files of a part, and yield rows about them. A file that is there already with the same bytes stays.
# They raise OutputError where a file cannot be written or another one has its name, InputError for unreadable pairs.
WRITERS: dict[Layout, Callable[[ExportPlan, Part], Written]] = {
    "shards": _shards,
    "original": _original,
    "parquet": _parquet,
    "webdataset": _webdataset,
}
