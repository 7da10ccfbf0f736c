"""Making a picture again from its own record: the edits that led to it, as each one's record says."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from ip2p_cli import __version__
from ip2p_cli.editing.file_specs import EditTask
from ip2p_cli.editing.memory import MemoryPlan
from ip2p_cli.editing.model_choice import PLAIN_TORCH, ModelChoice, recorded_backend
from ip2p_cli.editing.step_masks import recorded_mask
from ip2p_cli.editing.tree import EditTree, Step
from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.images import read_image, read_size
from ip2p_cli.io.names import printable
from ip2p_cli.io.setting_parser import SETTINGS, read_settings, renamed
from ip2p_cli.jobs.item import Item
from ip2p_cli.jobs.manifest import open_manifest
from ip2p_cli.jobs.plan import Plan, same_photo
from ip2p_cli.models.known_loras import LORAS, lora_on_disk
from ip2p_cli.settings import MAX_SEED, resolve, supported
from ip2p_cli.types import NO_SAVINGS, EditSettings, Guard, Handoff, OutputOptions

# Settings that records of earlier versions do not have, with what they stood for.
_LATER_SETTINGS = {"negative_prompt": "", **NO_SAVINGS}
_OF_THE_MODEL = ("ip2p", "model", "weights", "dtype", "loras", "vae", *PLAIN_TORCH)
_FOLDERS_UP = 4
_MOST_IN_BATCH = 64  # a record that says more is not believed
_MOST_SEEDS = 64


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What a record says of one edit.

    Attributes:
        picture: The file that the record is in.
        done_as: The instruction that the model got in place of the one that was asked for, if it did.
        place: The edit's row in the batch it was made in, from 1.
        batch_size: That batch's rows.
    """

    picture: Path
    record: Mapping[str, Any]
    model: str
    instruction: str
    done_as: str | None
    settings: EditSettings
    place: int
    batch_size: int

    @property
    def quality(self) -> int:
        """The quality of lossy formats."""
        value = self.record.get("quality")
        return value if type(value) is int and 1 <= value <= 100 else 92

    @property
    def memory(self) -> MemoryPlan | None:
        """How its batch was run, if memory was too short for the usual way."""
        memory = self.record.get("memory")
        names = [field.name for field in fields(MemoryPlan)]
        if not isinstance(memory, dict) or not set(names) <= set(memory):
            return None
        with contextlib.suppress(ValidationError):
            plan = TypeAdapter(MemoryPlan).validate_json(
                json.dumps({name: memory[name] for name in names}), strict=True
            )
            return plan if plan.max_rows is None or plan.max_rows > 0 else None
        return None

    def known_loras(self, *, fetch: bool = False) -> list[str]:
        """The LoRAs it was made with, as --lora takes them, if all have names of `known_loras`; else none.

        Args:
            fetch: Also those that are not on this machine; a record from anywhere fetches nothing by itself.
        """
        recorded = self.record.get("loras")
        texts = [text for text in recorded if isinstance(text, str)] if isinstance(recorded, list) else []
        for text in texts:
            known = LORAS.get(text.rpartition(":")[0])
            if known is None or not (fetch or lora_on_disk(known)):
                return []
        return texts

    @property
    def run_by(self) -> dict[str, Any]:
        """What ran the model: the fields `backend`, `quantize` and `compiled` of a ModelChoice."""
        return recorded_backend(self.record)

    def check_parts(self, loras: Sequence[str], vae: str | None) -> None:
        """Raise UsageError if it was made with LoRAs or a VAE and none is given: a record names no folders."""
        recorded = self.record.get("loras")
        if isinstance(recorded, list) and recorded and not loras:
            flags = " ".join(f"--lora {printable(name)}" for name in recorded)
            raise UsageError(f"{printable(self.picture)}: was made with LoRAs: say where they are, e.g. {flags}")
        if isinstance(self.record.get("vae"), str) and vae is None:
            name = printable(self.record["vae"])
            raise UsageError(f"{printable(self.picture)}: was made with another VAE: say where it is: --vae {name}")


def read_recorded(picture: Path, record: Mapping[str, Any] | None) -> list[Recorded]:
    """Read the edits that led from the photo to a picture, in order; raises InputError if the record lacks any."""
    shown = printable(picture)
    if record is None:
        raise InputError(f"{shown}: holds no record of how it was made: only pictures that ip2p wrote can be replayed")
    chain = record.get("chain")
    if not isinstance(chain, dict):
        return [_recorded(picture, record)]
    number, parents = chain.get("edit"), record.get("parents")
    parents = parents if isinstance(parents, list) else []
    again = f"make it again with ip2p chain ({printable(str(chain.get('name')))})"
    if not isinstance(number, int) or not 1 <= number <= 1 + len(parents):
        raise InputError(f"{shown}: its record does not hold all edits before it: {again}")
    records = [*parents[len(parents) - number + 1 :], record]
    for place, one in enumerate(records, start=1):
        said = one.get("chain") if isinstance(one, dict) else None
        if not isinstance(said, dict) or said.get("edit") != place:
            raise InputError(f"{shown}: its record does not hold edit {place}: {again}")
    return [_recorded(picture, one) for one in records]


def _recorded(picture: Path, record: Mapping[str, Any]) -> Recorded:
    shown = printable(picture)
    model, instruction, done_as = (record.get(name) for name in ("model", "instruction", "done_as"))
    if not isinstance(model, str) or not isinstance(instruction, str):
        raise InputError(f"{shown}: its record names no model or no instruction: it cannot be replayed")
    known = {name: value for name, value in renamed(record).items() if name in SETTINGS and value is not None}
    place, batch_size = _place(record.get("batch"))
    return Recorded(
        picture=picture,
        record=record,
        model=model,
        instruction=instruction,
        done_as=done_as if isinstance(done_as, str) else None,
        settings=read_settings(known, shown),
        place=place,
        batch_size=batch_size,
    )


def _place(batch: object) -> tuple[int, int]:
    parts = batch.split("/") if isinstance(batch, str) else []
    if len(parts) == 2 and all(part.isdecimal() and len(part) < 4 for part in parts):
        place, size = map(int, parts)
        if 1 <= place <= size <= _MOST_IN_BATCH:
            return place, size
    return 1, 1


def find_source(recorded: Recorded, named: Path | None) -> tuple[Path, bool]:
    """Find the photo that a picture was made from.

    It is looked for where the record says, relative to the picture and to the current folder, where manifests around
    the picture say, and beside the picture.

    Args:
        recorded: The edit.
        named: The photo, if the user named one.

    Returns:
        The photo, and whether it has the recorded content.

    Raises:
        InputError: It was not found.
    """
    places = [named] if named is not None else list(_places(recorded))
    existing = [place for place in places if os.path.isfile(place)]  # noqa: PTH113 - False for a name that is too long
    for place in existing:
        if same_photo(place, recorded.record.get("input_sha256")):
            return place, True
    if not existing:
        name = recorded.record.get("input")
        what = printable(named) if named else f"the photo {printable(str(name)) if name else 'it was made from'}"
        raise InputError(f"{what}: not found: name it with --input")
    return existing[0], False


def _places(recorded: Recorded) -> Iterator[Path]:
    picture, record = recorded.picture, recorded.record
    for path in (record.get("input_path"), record.get("input")):
        if isinstance(path, str) and path and "\0" not in path:
            yield picture.parent / path
            yield Path(path)
    for folder in list(picture.absolute().parents)[:_FOLDERS_UP]:
        manifest, name = open_manifest(folder), picture.absolute().relative_to(folder).as_posix()
        entries = [e for e in manifest.entries.values() if name == e.name or name.startswith(f"{e.name}/")]
        for noted in [*(entry.input for entry in entries), manifest.earlier_inputs.get(name)]:
            if noted:
                yield folder / noted


def tree_of(
    edits: Sequence[Recorded],
    choice_of: Callable[[Recorded], ModelChoice],
    mask: Path | None = None,
    region_model: Path | None = None,
) -> EditTree:
    """Return the edits of a record as a tree.

    Args:
        edits: The edits.
        choice_of: Gives an edit's model.
        mask: The mask, or a folder with the masks, if the user named one.
        region_model: CLIPSeg's folder, if the user named one.

    Raises:
        UsageError: A setting is not possible now.
        InputError: A mask was not found.
        ModelError: What found a mask's region is not on this machine.
    """
    steps = tuple(
        replace(_step(position, one, choice_of(one)), mask=recorded_mask(one.record, one.picture, mask, region_model))
        for position, one in enumerate(edits)
    )
    chain = edits[-1].record.get("chain")
    if not isinstance(chain, dict):
        return EditTree(paths=(steps,))
    handoff: Handoff = "pixels" if chain.get("handoff") == "pixels" else "latent"
    guard: Guard = "low" if chain.get("guard") == "low" else "none"
    return EditTree(name=str(chain.get("name")), handoff=handoff, guard=guard, paths=(steps,))


def _step(position: int, recorded: Recorded, choice: ModelChoice) -> Step:
    settings = resolve(supported(recorded.settings, choice.spec), choice.spec)
    best_of, winner = 1, None
    tried = recorded.record.get("best_of")
    if isinstance(tried, dict):
        seeds = tried.get("seeds")
        seeds = seeds if isinstance(seeds, list) else []
        are_seeds = all(type(seed) is int and 0 <= seed <= MAX_SEED for seed in seeds)
        if not are_seeds or recorded.settings.seed not in seeds or len(seeds) > _MOST_SEEDS:
            raise InputError(f"{printable(recorded.picture)}: its record does not say which seeds were tried")
        # All of them again: a batch's shape decides the last bits.
        best_of, winner = len(seeds), seeds.index(recorded.settings.seed)
        settings = replace(settings, seed=seeds[0])
    return Step(
        position=position,
        label="",
        name=recorded.instruction,
        instruction=recorded.instruction,
        done_as=recorded.done_as if choice.spec.name == recorded.model else None,
        settings=settings,
        choice=choice,
        best_of=best_of,
        winner=winner,
    )


def replay_plan(recorded: Recorded, tree: EditTree, source: Path, target: Path, *, overwrite: bool) -> Plan:
    """Return a plan of one item, in a batch of the recorded shape: the shape decides the last bits."""
    item = Item(
        source=source,
        name=target.name,
        files=(target.name,),
        task=EditTask(tree=tree, options=OutputOptions(quality=recorded.quality)),
        recipe={},
        size=read_size(source),
        overwrite=overwrite,
    )
    size = recorded.batch_size if tree.is_single else 1
    beside = replace(item, state="done")
    items = [item if place == recorded.place or size == 1 else beside for place in range(1, size + 1)]
    return Plan(folder=target.parent, items=tuple(items), groups=(tuple(range(size)),), has_manifest=False)


def differences(edits: Sequence[Recorded], tree: EditTree, is_same_photo: bool) -> list[str]:
    """Describe what differs from when the picture was made: photo, version, model, weights, number format, settings."""
    found = [] if is_same_photo else ["the photo is another one"]
    for recorded, step in zip(edits, tree.paths[0], strict=True):
        settings = step.settings if step.winner is None else replace(step.settings, seed=step.seeds[step.winner])
        now = {"ip2p": __version__, **PLAIN_TORCH, **step.choice.identity(), **step.instructions, **asdict(settings)}
        then = _LATER_SETTINGS | PLAIN_TORCH | renamed(recorded.record)
        for name in (*_OF_THE_MODEL, "instruction", "done_as", *SETTINGS):
            if name in now and then.get(name) != now[name] and not (name == "ip2p" and then.get(name) is None):
                text = f"{name}: {then.get(name)} then, {now[name]} now"
                found += [text] if text not in found else []
        then_mask = recorded.record.get("mask")
        sha256 = then_mask.get("sha256") if isinstance(then_mask, dict) else None
        if step.mask is not None and step.mask.sha256 != sha256:
            found.append("the mask is another one")
        if step.mask is not None and isinstance(then_mask, dict):
            found += step.mask.other_makers(then_mask)
    return found


def largest_difference(first: Path, second: Path) -> int:
    """Return the largest difference of two pictures in any channel, 0 to 255; 255 if their sizes differ."""
    a, b = (np.asarray(read_image(path).rgb, dtype=np.int16) for path in (first, second))
    return int(np.abs(a - b).max()) if a.shape == b.shape else 255
