"""The card of an exported dataset: README.md, as dataset hubs show it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import yaml

from ip2p_cli.datagen.export.plan import Plan
from ip2p_cli.datagen.stages import total_counts
from ip2p_cli.datagen.stats import STAGES
from ip2p_cli.io.names import printable
from ip2p_cli.io.shards import Shards

_LAYOUTS = {
    "shards": "our own shards: tars with `{key}.original.jpg`, `{key}.edited.jpg`, `{key}.json`",
    "original": "the authors' layout: a folder a triplet with `prompt.json`, `{seed}_0.jpg`, `{seed}_1.jpg`",
    "parquet": "parquet: `original_prompt`, `original_image`, `edit_prompt`, `edited_prompt`, `edited_image` …",
    "webdataset": "WebDataset tars with `{key}.original.jpg`, `{key}.edited.jpg`, `{key}.json`",
}
_LIMITS = (
    "- Instructions and pictures were made by machines; the scores are what a model or a formula says, not people.\n"
    "- Pairs have the biases and the faults of the models and photos that they were made with.\n"
)
_OFFLINE = (
    "- No CLIP was used: what was measured is how much the picture changed and how much structure is left. That knows "
    "nothing of the words, so a pair may not show what its instruction says.\n"
)


def card_of(plan: Plan, files: Sequence[Mapping[str, Any]]) -> bytes:
    """The card in Markdown: counts, settings of every stage, models, licences, measure and limits."""
    settings = {name: _public(shards.about()) for name, shards in _stages(plan) if shards.about()}
    scores = settings.get("scores") or {}
    measure = str(scores.get("measure", "not said"))
    models = "".join(f", {name} {_cell(str(said.get('name')))}" for name, said in scores.items() if _is_model(said))
    found = {key: sorted(set(_named(settings, key))) for key in ("licence", "model")}
    pairs = Counter[str]()
    for row in files:
        pairs[row["split"] or "train"] += row["pairs"]
    front = {
        "pretty_name": f"{printable(plan.data.resolve().name)}: instructed edits",
        "task_categories": ["image-to-image"],
        "language": ["en"],
        "tags": ["instruct-pix2pix", "image-editing"],
        "license": "other",
    }
    text = [
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n",
        "# Instructed edits\n",
        "Pairs of pictures, before and after, with the instruction that leads from one to the other; made by "
        f"`ip2p gen-data`. Layout: {_LAYOUTS[plan.layout]}.\n",
        "| split | pairs |\n|---|---|\n" + "".join(f"| {name} | {count} |\n" for name, count in pairs.items()),
        "| kind | pairs |\n|---|---|\n" + "".join(f"| {_cell(kind)} | {n} |\n" for kind, n in _kinds(plan)),
        "| stage | rows | dropped |\n|---|---|---|\n" + "".join(_stage_rows(plan)),
        f"Measure: {measure}{models}. Models: {', '.join(found['model']) or 'not said'}. Licences of what they were "
        f"made with: {', '.join(found['licence']) or 'not said; ask those who made the photos, texts and models'}.\n",
        "## Limits\n\n" + _LIMITS + (_OFFLINE if measure == "offline" else ""),
        "## Settings\n\n" + "\n".join(f"    {line}" for line in json.dumps(settings, indent=2).splitlines()) + "\n",
    ]
    return "\n".join(text).encode()


def _is_model(said: Any) -> bool:
    return isinstance(said, Mapping) and "fingerprint" in said


def _stages(plan: Plan) -> Iterator[tuple[str, Shards]]:
    return ((name, Shards(folder=plan.data / name, kind=kind)) for name, kind in STAGES.items())


def _stage_rows(plan: Plan) -> Iterator[str]:
    for name, shards in _stages(plan):
        markers = list(shards.done().values())
        if markers:
            dropped = ", ".join(f"{count} {_cell(why)}" for why, count in sorted(total_counts(markers).items()))
            yield f"| {name} | {sum(marker.rows for marker in markers)} | {dropped or 'none'} |\n"


def _kinds(plan: Plan) -> list[tuple[str, int]]:
    kept = Shards(folder=plan.data / "kept")
    kinds = Counter(str(row.get("kind") or "no kind") for number in kept.done() for row in kept.rows(number))
    return sorted(kinds.items(), key=lambda item: (-item[1], item[0]))[:100]


def _cell(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")[:200]


def _public(value: Any) -> Any:
    """Settings without the places of this machine: of a whole path its last part is left."""
    if isinstance(value, Mapping):
        return {str(key): _public(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_public(one) for one in value]
    if isinstance(value, str) and (PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()):
        return PurePosixPath(value.replace("\\", "/")).name
    return value


def _named(value: Any, key: str) -> Iterator[str]:
    """What is called `key`, or for a model its name, anywhere in the settings."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            if name in (key, f"{key}s", "license" if key == "licence" else key) and isinstance(one, str) and one:
                yield _cell(one)
            yield from _named(one, key)
    elif isinstance(value, list):
        for one in value:
            yield from _named(one, key)
