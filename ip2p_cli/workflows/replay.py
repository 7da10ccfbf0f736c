"""Making a picture again from its own record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ip2p_cli import __version__
from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.images import read_image, read_size
from ip2p_cli.io.manifest import file_digest, open_manifest
from ip2p_cli.io.names import printable
from ip2p_cli.io.setting_parser import SETTINGS, read_settings, renamed
from ip2p_cli.types import EditSettings, ResolvedEditSettings
from ip2p_cli.workflows.memory import MemoryPlan
from ip2p_cli.workflows.plan import Item, Plan

_FOLDERS_UP = 4


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What a picture's record says, read. place, of: its row in the batch it was made in, and that batch's rows."""

    picture: Path
    record: Mapping[str, Any]
    model: str
    instruction: str
    settings: EditSettings
    place: int
    of: int

    @property
    def quality(self) -> int:
        """Of lossy formats."""
        value = self.record.get("quality")
        return value if isinstance(value, int) and 1 <= value <= 100 else 92

    @property
    def memory(self) -> MemoryPlan | None:
        """How its batch was run, where memory was too short for the usual way."""
        said = self.record.get("memory")
        names = [field.name for field in fields(MemoryPlan)]
        return MemoryPlan(**said) if isinstance(said, dict) and sorted(said) == sorted(names) else None

    def check_parts(self, loras: Sequence[str], vae: str | None) -> None:
        """UsageError where it was made with a LoRA or another VAE, and none is given: a record names no folders."""
        said = self.record.get("loras")
        if isinstance(said, list) and said and not loras:
            named = " ".join(f"--lora {printable(one)}" for one in said)
            raise UsageError(f"{printable(self.picture)}: was made with LoRAs: say where they are, e.g. {named}")
        if isinstance(self.record.get("vae"), str) and vae is None:
            said = printable(self.record["vae"])
            raise UsageError(f"{printable(self.picture)}: was made with another VAE: say where it is: --vae {said}")


def read_recorded(picture: Path, record: Mapping[str, Any] | None) -> Recorded:
    """Check a record; raises InputError where there is none, or one that no edit of one photo left."""
    shown = printable(picture)
    if record is None:
        raise InputError(f"{shown}: holds no record of how it was made: only pictures that ip2p wrote can be replayed")
    model, instruction = record.get("model"), record.get("instruction")
    if not isinstance(model, str) or not isinstance(instruction, str):
        raise InputError(f"{shown}: its record names no model or no instruction: it cannot be replayed")
    settings = read_settings(
        {name: value for name, value in renamed(record).items() if name in SETTINGS and value is not None}, shown
    )
    place, of = _place(record.get("batch"))
    return Recorded(
        picture=picture, record=record, model=model, instruction=instruction, settings=settings, place=place, of=of
    )


def _place(said: object) -> tuple[int, int]:
    parts = said.split("/") if isinstance(said, str) else []
    if len(parts) == 2 and all(part.isdecimal() for part in parts) and 1 <= int(parts[0]) <= int(parts[1]) <= 1024:
        return int(parts[0]), int(parts[1])
    return 1, 1


def find_source(recorded: Recorded, named: Path | None) -> tuple[Path, bool]:
    """(the photo it was made from, whether that is the same to the byte).

    Looked for where the manifest beside the picture says, beside the picture, and here; the first of the right content.
    Raises InputError where there is none.
    """
    name = recorded.record.get("input")
    name = Path(name).name if isinstance(name, str) else ""
    folder = recorded.picture.parent
    if named is not None:
        places = [named]
    else:
        places = _noted(recorded.picture)
        places += [folder / name, Path(name)] if name else []
    there = [place for place in places if place.is_file()]
    for place in there:
        if file_digest(place) == recorded.record.get("input_sha256"):
            return place, True
    if not there:
        what = printable(named) if named else f"the photo {name or 'it was made from'}"
        raise InputError(f"{what}: not found: name it with --input")
    return there[0], False


def _noted(picture: Path) -> list[Path]:
    """Where the manifests around a picture say that its photo is; a chain's lies above the chain's folder."""
    around = list(picture.absolute().parents)[:_FOLDERS_UP]
    found = []
    for folder in around:
        entry = open_manifest(folder).entries.get(picture.absolute().relative_to(folder).as_posix())
        found += [folder / entry.input] if entry else []
    return found


def replay_plan(
    recorded: Recorded, source: Path, instruction: str, settings: ResolvedEditSettings, target: Path, overwrite: bool
) -> Plan:
    """A plan of one item, in a batch of the same shape as then: a batch's shape decides the last bits."""
    item = Item(
        source=source,
        instruction=instruction,
        settings=settings,
        target=target,
        key=target.name,
        size=read_size(source),
        may_replace=overwrite,
    )
    beside = replace(item, state="done")
    items = [item if place == recorded.place else beside for place in range(1, recorded.of + 1)]
    return Plan(
        folder=target.parent,
        items=tuple(items),
        batches=(tuple(range(recorded.of)),),
        identity={},
        noted=False,
        memory=recorded.memory,
    )


def differences(recorded: Recorded, now: Mapping[str, Any], same_input: bool) -> list[str]:
    """What is another than then, for people: version, model's weights, number format, photo, settings."""
    said = [] if same_input else ["the photo is another one"]
    for name in ("ip2p", "model", "weights", "dtype", "device", "loras", "vae", "instruction", *SETTINGS):
        then = recorded.record.get(name)
        if name in now and then != now[name] and not (name == "ip2p" and then is None):
            said.append(f"{name}: {then} then, {now[name]} now")
    return said


def compare(one: Path, other: Path) -> int:
    """The largest difference of two pictures in any channel of any pixel, 0 to 255; 255 where their sizes differ."""
    a, b = (np.asarray(read_image(path).rgb, dtype=np.int16) for path in (one, other))
    return int(np.abs(a - b).max()) if a.shape == b.shape else 255


def now_of(instruction: str, settings: ResolvedEditSettings, identity: Mapping[str, Any]) -> dict[str, Any]:
    """What a record made now would say of how."""
    return {"ip2p": __version__, **identity, "instruction": instruction, **asdict(settings)}
