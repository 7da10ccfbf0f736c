"""The report of chains: their results with the edits that led to them, out of chain.json and the pictures beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from ip2p_cli import __version__
from ip2p_cli.io.files import write_whole
from ip2p_cli.io.names import numbered
from ip2p_cli.io.report import Row, Step, report
from ip2p_cli.io.setting_parser import SETTINGS
from ip2p_cli.workflows.chain_files import read_notes

REPORT = "report.html"
_OURS = b'<meta name="generator" content="ip2p">'


@dataclass(frozen=True, kw_only=True)
class Chained:
    """A photo's chain. photo: the file it began with; folder: where its chain.json is; command: makes it all again."""

    photo: Path
    folder: Path
    command: str = ""


def write_chain_report(chains: Sequence[Chained], folder: Path) -> Path | None:
    """Write report.html into `folder` and say where it is; None where no chain has a result to show.

    An earlier report of ip2p's is replaced; beside any other file of that name a numbered one is put.
    """
    rows = [row for one in chains for row in _rows(one, alone=len(chains) == 1)]
    if not rows:
        return None
    title = f"Chain of {chains[0].photo.name}" if len(chains) == 1 else f"Chains of {len(chains)} photos"
    data = report(title, rows, folder, facts={"photos": len(chains), "results": len(rows), "ip2p": __version__})
    theirs = [path.name for path in folder.glob("report*.html") if not _is_ours(path)]
    path = folder / numbered(folder, PurePath(REPORT), {name.casefold() for name in theirs}, overwrite=True)
    write_whole(path, data, overwrite=True)
    return path


def _is_ours(path: Path) -> bool:
    if not path.is_file() or path.is_symlink():
        return False
    with path.open("rb") as file:
        return _OURS in file.read(4096)


def _rows(chain: Chained, *, alone: bool) -> list[Row]:
    notes = read_notes(chain.folder) or {}
    rows = []
    results, edits = _mappings(notes.get("results")), _mappings(notes.get("edits"))
    for place, result in enumerate(results):
        file = _inside(chain.folder, result.get("file"))
        steps = _steps(chain.folder, edits if len(results) == 1 else _on_way(edits, result), result)
        title = ", then ".join(step.title for step in steps)
        rows.append(
            Row(
                title=title if alone else f"{chain.photo.name}: {title}",
                picture=file,
                before=chain.photo,
                facts={
                    "photo": chain.photo.name,
                    "recipe": notes.get("recipe"),
                    "handoff": notes.get("handoff"),
                    "edits": len(steps),
                    "result": place + 1,
                },
                steps=steps,
                command=chain.command,
            )
        )
    return rows


def _on_way(edits: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The edits of a tree that lead to a result: of each number that of its branch; `a` is on the way to `ab`."""
    label = PurePath(str(result.get("file"))).stem.removeprefix("final-")
    found = {edit.get("edit"): edit for edit in edits if label.startswith(str(edit.get("label") or ""))}
    return list(found.values())


def _steps(folder: Path, edits: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> list[Step]:
    steps = []
    for edit in edits:
        file = result.get("file") if edit is edits[-1] else edit.get("file")
        facts = {name: edit.get(name) for name in ("name", "model", *SETTINGS)}
        steps.append(Step(title=str(edit.get("instruction")), picture=_inside(folder, file), facts=facts))
    return steps


def _mappings(said: object) -> list[Mapping[str, Any]]:
    return [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []


def _inside(folder: Path, name: object) -> Path | None:
    """A file of the folder; nothing for a name that leads elsewhere."""
    return folder / name if isinstance(name, str) and PurePath(name).name == name else None
