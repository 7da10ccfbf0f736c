"""The writers of an export's files, one a layout. Each writes a part whole or not at all, and says what it wrote."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from ip2p_cli.datagen.dataset.original import METADATA, PROMPT, THEIR_NAMES
from ip2p_cli.datagen.export.parquet import write_parquet
from ip2p_cli.datagen.export.plan import Layout, Part, Plan
from ip2p_cli.errors import OutputError
from ip2p_cli.io.files import as_output_error
from ip2p_cli.io.names import printable
from ip2p_cli.io.shards import Sample, Shards, ShardWriter

Written = Iterator[dict[str, Any]]  # a row a file (in the authors' layout a folder): its path in the export, its pairs


def write_part(plan: Plan, part: Part) -> Written:
    """Write the files of a part. Raises OutputError where another file is in their place, InputError as reading does.

    A file that is there already with the same bytes, from a run that was stopped, stays.
    """
    yield from _WRITERS[plan.layout](plan, part)


def _shards(plan: Plan, part: Part) -> Written:
    shards = Shards(folder=plan.out / part.split, kind="tar")
    target = shards.path(part.number)
    if target.exists() and part.number not in shards.done():
        # Killed between a shard and its marker: what is there must be what would be written.
        with _placed(target) as temporary:
            _write_tar(temporary, plan.samples(part))
    count = 0
    with shards.writing(part.number) as writer:
        for sample in plan.samples(part):
            writer.add(sample.row, sample.pictures)
            count += 1
    yield {"file": str(target.relative_to(plan.out)), "pairs": count}


def _webdataset(plan: Plan, part: Part) -> Written:
    target = plan.out / f"{part.split or 'train'}-{part.number:06d}.tar"
    with _placed(target) as temporary:
        count = _write_tar(temporary, plan.samples(part))
    yield {"file": target.name, "pairs": count}


def _parquet(plan: Plan, part: Part) -> Written:
    target = plan.out / "data" / f"{part.split or 'train'}-{part.number:05d}-of-{part.of:05d}.parquet"
    with _placed(target) as temporary:
        count = write_parquet(temporary, plan.samples(part), plan.scores)
    yield {"file": str(target.relative_to(plan.out)), "pairs": count}


def _write_tar(path: Path, samples: Iterator[Sample]) -> int:
    with path.open("wb") as file:
        writer = ShardWriter(file, "tar")
        for sample in samples:
            writer.add(sample.row, sample.pictures)
        writer.finish()
    return writer.rows


def _original(plan: Plan, part: Part) -> Written:
    by_triplet = groupby(plan.samples(part), key=lambda sample: sample.row["triplet"])
    for place, (_, samples) in enumerate(by_triplet, start=part.first):
        folder = plan.out / part.split / f"{place:07d}"
        files, seeds = _files_of(samples)
        if folder.exists():
            if any(not (folder / name).is_file() or (folder / name).read_bytes() != files[name] for name in files):
                raise OutputError(f"{printable(folder)} exists already with other files: move it away")
        else:
            _write_folder(folder, files)
        yield {"file": str(folder.relative_to(plan.out)), "pairs": len(seeds), "seeds": seeds}


def _files_of(samples: Iterator[Sample]) -> tuple[dict[str, bytes], list[int]]:
    """The files of a triplet's folder, and its seeds."""
    files: dict[str, bytes] = {}
    rows, seeds = [], []
    for sample in samples:
        row = sample.row
        seed = int(row.get("seed") or 0)
        while seed in seeds:  # the files are called by it
            seed += 1
        seeds.append(seed)
        files |= {f"{seed}_0.jpg": sample.pictures["original.jpg"], f"{seed}_1.jpg": sample.pictures["edited.jpg"]}
        theirs = {their: row[name] for name, their in THEIR_NAMES.items() if row.get(name) is not None}
        rows.append({**row, **theirs, "seed": seed})
        texts = {"input": row.get("caption"), "edit": row.get("instruction"), "output": row.get("edited_caption")}
        files[PROMPT] = (json.dumps(texts, ensure_ascii=False) + "\n").encode()
    files[METADATA] = "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows).encode()
    return files, seeds


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """All files or none: a folder of another name gets its own when it is whole."""
    temporary = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}.tmp")
    with as_output_error(folder):
        temporary.mkdir(parents=True)
        try:
            for name, data in files.items():
                with (temporary / name).open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _placed(target: Path) -> Iterator[Path]:
    """A file to write that gets the name `target` when it is whole; OutputError where another one has it."""
    temporary = target.with_name(f".{target.name}-{secrets.token_hex(4)}.tmp")
    with as_output_error(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            if not target.exists():
                temporary.replace(target)
            elif _sha256(temporary) != _sha256(target):
                raise OutputError(f"{printable(target)} exists already and is another file: move it away")
        finally:
            temporary.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_WRITERS: dict[Layout, Callable[[Plan, Part], Written]] = {
    "shards": _shards,
    "original": _original,
    "parquet": _parquet,
    "webdataset": _webdataset,
}
