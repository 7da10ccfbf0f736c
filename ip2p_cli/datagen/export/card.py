"""The card of an exported dataset: README.md, as dataset hubs show it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from ip2p_cli.datagen.export.plan import ExportPlan
from ip2p_cli.datagen.stats import STAGES, stage_counts
from ip2p_cli.io.names import printable
from ip2p_cli.io.shards import Shards

_LAYOUTS = {
    "shards": "numbered tars with `{key}.original.jpg`, `{key}.edited.jpg`, `{key}.json`",
    "original": "the authors' layout: a folder a triplet with `prompt.json`, `{seed}_0.jpg`, `{seed}_1.jpg`",
    "parquet": "parquet: `original_prompt`, `original_image`, `edit_prompt`, `edited_prompt`, `edited_image` …",
    "webdataset": "WebDataset tars with `{key}.original.jpg`, `{key}.edited.jpg`, `{key}.json`",
}
_MAX_KINDS = 100


def card_of(plan: ExportPlan, files: Sequence[Mapping[str, Any]]) -> str:
    """Write the card in Markdown: counts, settings, models, licences and limits. `files`: the rows of the ledger."""
    import jinja2

    abouts = {name: Shards(folder=plan.data / name).about() for name in STAGES}
    settings = {name: _without_folders(about) for name, about in abouts.items() if about}
    scores = settings.get("scores") or {}
    splits = Counter[str]()
    for row in files:
        splits[row["split"] or "train"] += row["pairs"]
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.filters["cell"] = _cell
    template = resources.files(__package__).joinpath("card.md.j2").read_text("utf-8")
    return environment.from_string(template).render(
        name=f"{printable(plan.data.resolve().name)}: instructed edits",
        layout=_LAYOUTS[plan.layout],
        splits=splits,
        kinds=_kinds(plan),
        stages=stage_counts(plan.data),
        measure=str(scores.get("measure", "unknown")),
        scored_by={name: model for name, model in scores.items() if isinstance(model, Mapping)},
        models=sorted(set(_values(settings, ("model", "models")))),
        licences=sorted(set(_values(settings, ("licence", "licences", "license")))),
        settings=json.dumps(settings, indent=2),
    )


def _kinds(plan: ExportPlan) -> list[tuple[str, int]]:
    kept = Shards(folder=plan.data / "kept")
    kinds = Counter(str(row.get("kind") or "no kind") for number in kept.done() for row in kept.rows(number))
    return sorted(kinds.items(), key=lambda item: (-item[1], item[0]))[:_MAX_KINDS]


def _cell(text: str) -> str:
    """Escape a text for a cell of a table."""
    return printable(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")[:200]


def _without_folders(value: Any) -> Any:
    """Settings in which of an absolute path only the last part is left: they say nothing about the machine."""
    if isinstance(value, Mapping):
        return {str(key): _without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    if isinstance(value, str) and (PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()):
        return PurePosixPath(value.replace("\\", "/")).name
    return value


def _values(settings: Any, names: Sequence[str]) -> Iterator[str]:
    """The texts under any of these names, anywhere in the settings."""
    if isinstance(settings, Mapping):
        yield from (text for name in names if isinstance(text := settings.get(name), str) and text)
        settings = list(settings.values())
    if isinstance(settings, list):
        for item in settings:
            yield from _values(item, names)
