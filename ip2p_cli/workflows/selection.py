"""What comes beside the variants of an edit: their ranking, the contact sheet, variants.json, the report."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from ip2p_cli import __version__
from ip2p_cli.errors import InputError
from ip2p_cli.io.contact_sheet import contact_sheet, grid_of
from ip2p_cli.io.files import write_whole
from ip2p_cli.io.images import read_image
from ip2p_cli.io.manifest import file_digest
from ip2p_cli.io.names import numbered
from ip2p_cli.io.output import encode_picture
from ip2p_cli.io.report import Row, report
from ip2p_cli.measures import reduced
from ip2p_cli.models.adapters import Adapter
from ip2p_cli.models.clip import load_clip, similarities
from ip2p_cli.models.nano.look_matcher import closest
from ip2p_cli.workflows.loading import ModelChoice
from ip2p_cli.workflows.plan import Item, Plan
from ip2p_cli.workflows.ranking import Measured, measure, order
from ip2p_cli.workflows.variants import LABELS, value_text

if TYPE_CHECKING:
    from ip2p_cli.workflows.variants import Sweep

INDEX, SHEET, REPORT = "variants.json", "contact-sheet.png", "report.html"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A variant that is there: its plan item, its measures where it was ranked, whether it is among the best."""

    item: Item
    measured: Measured | None = None
    kept: bool = True

    @property
    def facts(self) -> dict[str, float | str]:
        """Its score and measures by name; nothing where it was not ranked."""
        return {"score": self.measured.score, **self.measured.facts} if self.measured else {}


def made(plan: Plan) -> list[Variant]:
    """The variants whose pictures are there, in the plan's order."""
    return [Variant(item=item) for item in plan.items if item.target.is_file()]


def ranked(
    variants: Sequence[Variant],
    choice: ModelChoice,
    *,
    keep: int | None = None,
    clip: Path | None = None,
    captions: tuple[str, str] | None = None,
) -> list[Variant]:
    """The same, the best first, with their measures; all but the first `keep` are not kept.

    clip: CLIP's folder, for its measure; otherwise that of the look, for nano, or the offline one (see `ranking`).
    A picture that cannot be read is left out.
    """
    variants, pictures = _readable(variants)
    if not variants:
        return []
    photo = read_image(variants[0].item.source).rgb
    looks = _looks([one.item.instruction for one in variants], choice) if clip is None else {}
    found = measure(photo, pictures, [looks.get(one.item.instruction) for one in variants])
    if clip is not None:
        found = _by_clip(clip, photo, pictures, variants, captions, found)
    places = order([one.score for one in found])
    now_at = {old: new for new, old in enumerate(places)}
    result = []
    for place, index in enumerate(places):
        # Of two that hardly differ the worse one is pointed out, wherever it was made.
        alike = [now_at[i] for i, one in enumerate(found) if one.like == index and now_at[i] < place]
        like = found[index].like
        alike += [now_at[like]] if like is not None and now_at[like] < place else []
        measured = replace(found[index], like=min(alike, default=None))
        result.append(replace(variants[index], measured=measured, kept=keep is None or place < keep))
    return result


def _readable(variants: Sequence[Variant]) -> tuple[list[Variant], list[Image.Image]]:
    there, pictures = [], []
    for one in variants:
        try:
            image = read_image(one.item.target).rgb
        except InputError:
            continue
        image.thumbnail((640, 640), Image.Resampling.BOX)
        there.append(one)
        pictures.append(image)
    return there, pictures


def _looks(instructions: Sequence[str], choice: ModelChoice) -> dict[str, str]:
    """The look that nano takes each instruction for, of those it knows; nothing for other models."""
    if choice.spec.name != "nano":
        return {}
    editor = choice.load()
    assert not isinstance(editor, Adapter)
    near = {text: closest(editor, text) for text in dict.fromkeys(instructions)}
    return {text: found.looks[0] for text, found in near.items() if found.known}


def _by_clip(
    folder: Path,
    photo: Image.Image,
    pictures: Sequence[Image.Image],
    variants: Sequence[Variant],
    captions: tuple[str, str] | None,
    found: Sequence[Measured],
) -> list[Measured]:
    clip = load_clip(folder)
    before = _tensor(photo, pictures[0].size)
    result = []
    for picture, one, offline in zip(pictures, variants, found, strict=True):
        values = similarities(clip, before, _tensor(picture, picture.size), one.item.instruction, captions)[0]
        named = {f"CLIP {name}": round(value, 4) for name, value in values.items()}
        way = "+".join(values)
        facts = {**offline.facts, "measure": f"clip: {way} ({clip.name})", **named}
        result.append(replace(offline, score=round(sum(values.values()), 4), facts=facts))
    return result


def _tensor(image: Image.Image, size: tuple[int, int]) -> torch.Tensor:
    return torch.from_numpy(reduced(image, size)).permute(2, 0, 1)[None]


def write_overview(
    variants: Sequence[Variant], plan: Plan, sweep: Sweep, *, model: str, with_report: bool
) -> dict[str, Path]:
    """Write variants.json and, of those that are kept, the contact sheet and the report; where each one is, by name.

    A file that an earlier run wrote and nobody changed is replaced; beside any other one a numbered one is put.
    """
    folder = plan.folder
    earlier = _earlier(folder)
    kept = [one for one in variants if one.kept]
    files = {SHEET: _sheet(kept, sweep)} if kept else {}
    if with_report:
        rows = [_row(one, rank, sweep, model) for rank, one in enumerate(kept, start=1)]
        source = plan.items[0].source
        facts = {
            "photo": source.name,
            "model": model,
            "ip2p": __version__,
            "variants": f"{len(kept)} of {len(plan.items)}",
        }
        files[REPORT] = report(f"Variants of {source.name}", rows, folder, facts=facts)
    written = {name: _put(folder, name, data, earlier) for name, data in files.items()}
    listed = [_listed(one, variants) for one in variants]
    index = {
        "ip2p": __version__,
        **plan.identity,
        "input": plan.items[0].source.name,
        "varied": list(sweep.varied),
        "variants": listed,
        "files": {path.name: file_digest(path) for path in written.values()},
    }
    data = (json.dumps(index, indent=2) + "\n").encode()
    return {**written, INDEX: _put(folder, INDEX, data, {INDEX: earlier.get(INDEX, "")})}


def _listed(one: Variant, variants: Sequence[Variant]) -> dict[str, Any]:
    like = one.measured.like if one.measured else None
    said = {"output": one.item.key, "instruction": one.item.instruction, **asdict(one.item.settings), **one.facts}
    return {**said, "kept": one.kept, "like": variants[like].item.key if like is not None else None}


def _earlier(folder: Path) -> dict[str, str]:
    """The hashes of what an earlier run put beside the variants, by name."""
    path = folder / INDEX
    try:
        said = json.loads(path.read_text("utf-8"))
        if isinstance(said["ip2p"], str) and isinstance(said["variants"], list):
            return {str(name): str(digest) for name, digest in said["files"].items()} | {INDEX: file_digest(path)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    return {}


def _put(folder: Path, name: str, data: bytes, earlier: Mapping[str, str]) -> Path:
    path = folder / name
    ours = path.is_file() and not path.is_symlink() and earlier.get(name) == file_digest(path)
    if path.is_file() and path.read_bytes() == data:
        return path
    if not ours:
        path = folder / numbered(folder, PurePath(name))
    write_whole(path, data, overwrite=ours)
    return path


def _sheet(variants: Sequence[Variant], sweep: Sweep) -> bytes:
    ordered = variants[0].measured is not None
    there, pictures = _readable(variants)
    names = sweep.varied or ("seed",)
    values = [tuple(_shown(one.item, name) for name in names) for one in there]
    # Axes only where every cell has a picture; the ranked ones come in their order, each with its values below it.
    grid = grid_of([(str(index),) for index in range(len(there))] if ordered or sweep.drawn else values)
    labels = [_label(one, names, grid.columns == ()) for one in there]
    return encode_picture(contact_sheet(pictures, labels, grid), Path(SHEET))


def _shown(item: Item, name: str) -> str:
    return item.instruction if name == "instruction" else f"{LABELS[name]} {value_text(item.settings, name)}"


def _label(one: Variant, names: Sequence[str], alone: bool) -> str:
    score = f"{one.measured.score:g}" if one.measured else ""
    return "  ".join(filter(None, [score, *(_shown(one.item, name) for name in names if alone)]))


def _row(one: Variant, rank: int, sweep: Sweep, model: str) -> Row:
    settings = asdict(one.item.settings)
    title = ", ".join(_shown(one.item, name) for name in sweep.varied or ("seed",))
    facts = {"instruction": one.item.instruction, **settings, **one.facts}
    if one.measured is not None and one.measured.like is not None:
        facts["near-duplicate of number"] = str(one.measured.like + 1)
    return Row(
        title=f"{rank}. {title}",
        picture=one.item.target,
        before=one.item.source,
        facts=facts,
        command=command_of(one.item, model),
    )


def command_of(item: Item, model: str) -> str:
    """The `ip2p edit` that makes this picture again, quoted for a POSIX shell."""
    flags = [
        part for name, value in asdict(item.settings).items() for part in ("--" + name.replace("_", "-"), str(value))
    ]
    photo = str(item.source) if not str(item.source).startswith("-") else f"./{item.source}"
    again = f"{item.target.stem}-again{item.target.suffix}"
    words = ["ip2p", "edit", "--model", model, *flags, "-o", again, "--", photo, item.instruction]
    return shlex.join(words)
