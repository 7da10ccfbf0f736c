"""The export as a stage: parts by whichever worker, each once; at the end the card and what lists them all."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ip2p_cli.datagen.dataset.opening import SPLITS
from ip2p_cli.datagen.dataset.original import SEEDS
from ip2p_cli.datagen.export.card import card_of
from ip2p_cli.datagen.export.plan import Plan
from ip2p_cli.datagen.export.writers import write_part
from ip2p_cli.datagen.stages import Task, Work, WorkerConfig, run_stage
from ip2p_cli.errors import OutputError
from ip2p_cli.io.files import write_whole
from ip2p_cli.io.names import printable
from ip2p_cli.io.shards import Marker, Shards

# As the writers and `Shards` call what they are writing.
_TEMPORARY = r"\.(\d{5}\.tar|(train|test)-[\w.-]+|\d{7})-[0-9a-f]{8}\.tmp"
LEDGER = ".export"  # in the export: what was written, with a marker a part


@dataclass(frozen=True, kw_only=True)
class Exporting:
    """Makes workers that write a part's files, and then its page of the ledger."""

    plan: Plan

    def __call__(self, number: int) -> Work:
        """The worker of this number."""
        ledger = ledger_of(self.plan.out)

        def work(task: Task) -> Marker:
            part = self.plan.parts[task.number]
            with ledger.writing(task.number, task.digest) as writer:
                for row in write_part(self.plan, part):
                    writer.add({**row, "split": part.split})
            return ledger.marker(task.number)

        return work


def ledger_of(out: Path) -> Shards:
    """What was written into an export, a row a file."""
    return Shards(folder=out / LEDGER)


def begin_export(plan: Plan) -> None:
    """Take the folder, or go on in it. OutputError where it holds something else."""
    ledger, about = ledger_of(plan.out), ledger_of(plan.out).about()
    digest = hashlib.sha256("".join(plan.digests).encode()).hexdigest()
    said = {"format": plan.layout, "split": plan.share, "digest": digest, "parts": len(plan.parts)}
    if about is not None and about != said:
        raise OutputError(f"{printable(plan.out)} is an export of other data or in another way: give a new folder")
    if about is None and plan.out.exists() and not _is_free(plan.out):
        raise OutputError(f"{printable(plan.out)} holds other files: give a new folder with -o")
    ledger.begin(said)


def _is_free(out: Path) -> bool:
    """Whether a folder is empty, but for what another part has just begun."""
    return out.is_dir() and all(entry.name == LEDGER for entry in out.iterdir())


def run_export(plan: Plan, hands: WorkerConfig) -> Iterator[tuple[Task, Marker | Exception, bool]]:
    """Write the parts that are missing, as `run_stage`. Raises as `begin_export` does."""
    begin_export(plan)
    yield from run_stage(ledger_of(plan.out), plan.tasks(), Exporting(plan=plan), hands)


def finish_export(plan: Plan) -> bool:
    """Write the card, and seeds.json in the authors' layout, once all parts are there; whether they are.

    A card that someone has changed stays as it is.
    """
    ledger = ledger_of(plan.out)
    if len(ledger.done()) < len(plan.parts):
        return False
    _sweep(plan.out)
    files = [row for number in range(len(plan.parts)) for row in ledger.rows(number)]
    written: dict[str, bytes] = {"README.md": card_of(plan, files)}
    if plan.layout == "original":
        written |= _seeds(files)
    for name, data in written.items():
        _write_ours(plan.out, name, data)
    return True


def _sweep(out: Path) -> None:
    """Drop what processes that died left half written; with all parts there, nobody writes any more."""
    for folder in (out, *(out / name for name in ("data", *SPLITS))):
        for path in folder.glob(".*.tmp"):
            if not re.fullmatch(_TEMPORARY, path.name):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _seeds(files: list[dict[str, Any]]) -> dict[str, bytes]:
    """What the authors' EditDataset reads: [folder, its seeds]; a file a split."""
    listed: dict[str, list[Any]] = {}
    for row in files:
        listed.setdefault(row["split"], []).append([Path(row["file"]).name, row["seeds"]])
    return {str(Path(split) / SEEDS): (json.dumps(found) + "\n").encode() for split, found in listed.items()}


def _write_ours(out: Path, name: str, data: bytes) -> None:
    """Replace a file only where it is what an earlier run wrote."""
    path, note = out / name, out / LEDGER / (Path(name).as_posix().replace("/", "-") + ".sha256")
    if path.exists():
        now = path.read_bytes()
        ours = note.read_text("utf-8").strip() if note.exists() else ""
        if now == data or hashlib.sha256(now).hexdigest() != ours:
            return
    write_whole(note, (hashlib.sha256(data).hexdigest() + "\n").encode(), overwrite=True)
    write_whole(path, data, overwrite=True)
