"""Write an export: its parts, each by whichever worker takes it, then the card and the list of folders.

The folder `.export` in the export is its ledger: shards, one a part, with a row for each file that was written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ip2p_cli.datagen.dataset.opening import SPLITS
from ip2p_cli.datagen.dataset.original import SEEDS
from ip2p_cli.datagen.export.card import card_of
from ip2p_cli.datagen.export.plan import ExportPlan
from ip2p_cli.datagen.export.writers import WRITERS
from ip2p_cli.datagen.stages import StageResult, Task, Work, WorkerConfig, run_stage, shard_work
from ip2p_cli.errors import OutputError
from ip2p_cli.io.files import sweep_temporary, write_whole
from ip2p_cli.io.names import printable
from ip2p_cli.io.shards import Shards, ShardWriter

LEDGER = ".export"


@dataclass(frozen=True, kw_only=True)
class WriteParts:
    """Makes workers that write the files of a part, then its shard of the ledger."""

    plan: ExportPlan

    def __call__(self, number: int) -> Work:
        """Make worker `number`."""

        def fill(task: Task, writer: ShardWriter) -> None:
            part = self.plan.parts[task.number]
            for row in WRITERS[self.plan.layout](self.plan, part):
                writer.add({**row, "split": part.split})

        return shard_work(_ledger_of(self.plan.out), fill)


def _ledger_of(out: Path) -> Shards:
    """The ledger of an export: rows with `file`, `pairs` and `split`."""
    return Shards(folder=out / LEDGER)


def run_export(plan: ExportPlan, config: WorkerConfig) -> Iterator[StageResult]:
    """Write the missing parts, as `run_stage` does. Raises OutputError if the folder holds anything else."""
    _begin(plan)
    tasks = [Task(number=number, digest=digest) for number, digest in enumerate(plan.digests)]
    yield from run_stage(_ledger_of(plan.out), tasks, WriteParts(plan=plan), config)


def _begin(plan: ExportPlan) -> None:
    ledger = _ledger_of(plan.out)
    # Before the ledger is read: another process may begin the same export in between.
    is_free = not plan.out.exists() or (plan.out.is_dir() and {path.name for path in plan.out.iterdir()} <= {LEDGER})
    before, digest = ledger.about(), hashlib.sha256("".join(plan.digests).encode()).hexdigest()
    settings = {"format": plan.layout, "split": plan.share, "digest": digest, "parts": len(plan.parts)}
    if before not in (None, settings):
        raise OutputError(f"{printable(plan.out)} is an export of other data or settings: give a new folder")
    if before is None and not is_free:
        raise OutputError(f"{printable(plan.out)} holds other files: give a new folder with -o")
    ledger.begin(settings)


def finish_export(plan: ExportPlan) -> int | None:
    """Write the card, and in the authors' layout seeds.json, if all parts are written. Files that users changed stay.

    Returns:
        The number of pairs in the export, or None if parts are missing.
    """
    ledger = _ledger_of(plan.out)
    if len(ledger.done()) < len(plan.parts):
        return None
    for folder in (plan.out, *(plan.out / name for name in ("data", *SPLITS))):
        sweep_temporary(folder)
    files = [row for number in range(len(plan.parts)) for row in ledger.rows(number)]
    texts = {"README.md": card_of(plan, files)}
    if plan.layout == "original":
        texts |= _seeds(files)
    for name, text in texts.items():
        _replace_own(plan.out, name, text.encode())
    return sum(int(row["pairs"]) for row in files)


def _seeds(files: list[dict[str, Any]]) -> dict[str, str]:
    """The seeds.json of each split, which the authors' EditDataset reads: a list of [folder, its seeds]."""
    splits: dict[str, list[Any]] = {}
    for row in files:
        splits.setdefault(row["split"], []).append([Path(row["file"]).name, row["seeds"]])
    return {str(Path(split) / SEEDS): json.dumps(folders) + "\n" for split, folders in splits.items()}


def _replace_own(out: Path, name: str, data: bytes) -> None:
    """Write a file, unless something else has its name than what an earlier run wrote."""
    path, digest_path = out / name, out / LEDGER / (Path(name).as_posix().replace("/", "-") + ".sha256")
    if path.exists():
        current = path.read_bytes()
        own = digest_path.read_text("utf-8").strip() if digest_path.exists() else ""
        if current == data or hashlib.sha256(current).hexdigest() != own:
            return
    write_whole(digest_path, (hashlib.sha256(data).hexdigest() + "\n").encode(), overwrite=True)
    write_whole(path, data, overwrite=True)
