"""A chain's folder: a picture an edit, the results, a strip of them all, and chain.json, which is written last."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from .. import __version__
from ..errors import OutputError
from ..io.comparison import animated_gif, strip
from ..io.files import write_whole
from ..io.images import read_image
from ..io.manifest import file_digest
from ..io.names import printable
from ..io.output import encode_picture
from .chain import ChainRun
from .chain_plan import Step

NOTES = "chain.json"
_MAX_NOTES = 16 << 20


@dataclass(frozen=True, kw_only=True)
class Written:
    """What became of a photo's chain. made: whether anything was; else all was there. results: the last pictures."""

    made: bool
    results: tuple[Path, ...]
    notes: Mapping[str, Any]


def read_notes(folder: Path) -> dict[str, Any] | None:
    """What chain.json in `folder` says; None where there is none, or none of ours."""
    try:
        with (folder / NOTES).open("rb") as file:
            notes = json.loads(file.read(_MAX_NOTES))
    except (OSError, ValueError, RecursionError):
        return None
    ours = isinstance(notes, dict) and isinstance(notes.get("ip2p"), str) and isinstance(notes.get("edits"), list)
    return notes if ours and all(isinstance(one, dict) for one in notes["edits"]) else None


def earlier_keys(notes: Mapping[str, Any] | None) -> dict[tuple[str, int], str]:
    """The keys of an earlier run's edits by their place."""
    edits = notes["edits"] if notes else []
    return {(str(one.get("label")), int(one.get("edit", 0)) - 1): str(one.get("key")) for one in edits}


def write_chain(run: ChainRun, folder: Path, *, overwrite: bool, gif: bool) -> Written:
    """Make what is missing in `folder`. A file that is there already and is not what would be made stays.

    Raises OutputError for such a file, before any work, unless `overwrite`.
    """
    wanted = _wanted(run)
    notes = read_notes(folder)
    there = _there(folder, notes)
    missing = [name for name, (_, key) in wanted.items() if there.get(name) != key]
    extras = ["strip.png"] + ([f"{Path(name).stem}.gif" for name in _results(run)] if gif else [])
    results = tuple(folder / name for name in _results(run))
    if notes is not None and not missing and all((folder / name).is_file() for name in extras):
        return Written(made=False, results=results, notes=notes)
    if not overwrite:
        for name in missing:
            if os.path.lexists(folder / name):
                raise OutputError(
                    f"{printable(folder / name)} exists already, made otherwise: use --overwrite (edits that did not "
                    "change are not made again) or another -o"
                )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{printable(folder)}: cannot be made ({error.strerror}): give another -o") from error
    done: dict[str, bytes] = {}
    for name in missing:
        step, key = wanted[name]
        if key not in done:
            image = run.image(step)
            done[key] = encode_picture(image, folder / name, record=run.record(step, image.size))
        write_whole(folder / name, done[key], overwrite=overwrite)
    # Ours where an earlier run left notes; replaced, as what they show has changed.
    replace = overwrite or notes is not None
    for name, data in _extras(run, folder, gif):
        write_whole(folder / name, data, overwrite=replace)
    said = _notes(run, folder, wanted)
    write_whole(folder / NOTES, (json.dumps(said, indent=2, default=str) + "\n").encode(), overwrite=replace)
    return Written(made=True, results=results, notes=said)


def _results(run: ChainRun) -> dict[str, tuple[Step, ...]]:
    return {run.plan.result_file(path): path for path in run.plan.paths}


def _wanted(run: ChainRun) -> dict[str, tuple[Step, str]]:
    """The pictures by name, each with its edit and a key of all that decides it."""
    steps = {step.file: step for step in run.plan.steps if step.save}
    steps |= {name: path[-1] for name, path in _results(run).items()}
    return {name: (step, _picture_key(run, step)) for name, step in steps.items()}


def _picture_key(run: ChainRun, step: Step) -> str:
    return f"{run.keys[step.place]} {step.settings.output_size}"


def _there(folder: Path, notes: Mapping[str, Any] | None) -> dict[str, str]:
    """The keys of the pictures that an earlier run made and nobody has touched since, by name."""
    found = {}
    for name, made in (notes or {}).get("files", {}).items():
        try:
            if Path(name).name == name and file_digest(folder / name) == made["sha256"]:
                found[name] = str(made["key"])
        except (OSError, KeyError, TypeError):
            continue
    return found


def _extras(run: ChainRun, folder: Path, gif: bool) -> list[tuple[str, bytes]]:
    """The strip, a row a result, and the animations."""
    pictures: dict[str, Image.Image] = {}

    def picture(name: str) -> Image.Image:
        if name not in pictures:
            pictures[name] = read_image(folder / name).rgb
            pictures[name].thumbnail((1200, 1200))
        return pictures[name]

    rows, extras = [], []
    for name, path in _results(run).items():
        row = [run.picture.rgb, *(picture(step.file) for step in path[:-1] if step.save), picture(name)]
        rows.append(row)
        if gif:
            extras.append((f"{Path(name).stem}.gif", animated_gif(row)))
    return [("strip.png", encode_picture(strip(rows), folder / "strip.png")), *extras]


def _notes(run: ChainRun, folder: Path, wanted: Mapping[str, tuple[Step, str]]) -> dict[str, Any]:
    edits = [
        {
            "edit": step.position + 1,
            "label": step.label,
            "name": step.name,
            "instruction": step.instruction,
            **step.choice.identity(),
            **asdict(step.settings),
            "file": step.file if step.save else None,
            "key": run.keys[step.place],
        }
        for step in run.plan.steps
    ]
    return {
        "ip2p": __version__,
        "recipe": run.plan.name,
        "handoff": run.plan.handoff,
        "input": run.picture.path.name,
        "input_sha256": run.picture.digest,
        "edits": edits,
        "results": [
            {"file": name, "edits": [step.instruction for step in path]} for name, path in _results(run).items()
        ],
        "files": {name: {"key": key, "sha256": file_digest(folder / name)} for name, (_, key) in wanted.items()},
    }
