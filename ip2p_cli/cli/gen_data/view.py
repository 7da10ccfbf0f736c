"""`ip2p gen-data view PATH`: some pairs to look at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.gen_data import options as own
from ip2p_cli.cli.output import Output
from ip2p_cli.errors import InputError, UsageError

if TYPE_CHECKING:
    from ip2p_cli.io.shards import Sample

_PAGES, _SHEETS = (".html", ".htm"), (".png", ".jpg", ".jpeg")
_SAID = ("kind", "painter", "p", "cfg_text", "seed")


def view(
    path: own.DataSet,
    pairs: own.Pairs = 24,
    out: own.ViewOut = Path("view.html"),
    seed: own.RunSeed = 0,
    overwrite: opt.Overwrite = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Show pairs drawn at random, with instruction and scores: of a dataset's folder or of any export."""
    from ip2p_cli.datagen.dataset.opening import open_dataset
    from ip2p_cli.datagen.stats import drawn
    from ip2p_cli.io.files import write_whole

    if out.suffix.lower() not in _PAGES + _SHEETS:
        raise UsageError(f"-o {out}: give a name that ends in {', '.join(_PAGES[:1] + _SHEETS)}")
    output = Output(json=json, quiet=quiet)
    splits = open_dataset(path.expanduser())
    samples = []
    for found, index in drawn(splits, pairs, seed):
        try:
            samples.append(found.sample(index))
        except InputError as error:
            output.warn(str(error))
    page = out.suffix.lower() in _PAGES
    data = _page(path, samples, sum(map(len, splits.values()))) if page else _sheet(samples, out)
    write_whole(out, data, overwrite=overwrite)
    output.result(f"{out}: {len(samples)} pairs", {"output": str(out), "pairs": len(samples)})


def _page(path: Path, samples: list[Sample], total: int) -> bytes:
    from ip2p_cli.io.pairs_page import Card, pairs_page

    cards = [Card(sample=sample, facts=_facts(sample.row)) for sample in samples]
    return pairs_page(f"Pairs of {path.name}", {f"{len(cards)} of {total} pairs": cards}, facts={"dataset": path.name})


def _facts(row: Mapping[str, Any]) -> dict[str, Any]:
    from ip2p_cli.datagen.stats import is_score

    scores = {name: value for name, value in row.items() if is_score(name, value)}
    return {name: row[name] for name in _SAID if row.get(name) is not None} | scores


def _sheet(samples: list[Sample], out: Path) -> bytes:
    """Before and after beside each other, a pair a row of two columns."""
    import io

    from PIL import Image

    from ip2p_cli.io.contact_sheet import Grid, contact_sheet
    from ip2p_cli.io.encoded import decode_picture

    pictures: list[Image.Image | None] = []
    labels = []
    for sample in samples:
        for name in ("original.jpg", "edited.jpg"):
            try:
                pictures.append(decode_picture(sample.pictures[name], name, 320))
            except InputError:
                pictures.append(None)
        labels += [str(sample.row.get("caption") or ""), str(sample.row.get("instruction") or "")]
    across = max(1, round(len(samples) ** 0.5 / 2))
    places = [list(range(2 * start, 2 * min(start + across, len(samples)))) for start in range(0, len(samples), across)]
    cells = tuple(tuple(row) + (None,) * (2 * across - len(row)) for row in places)
    sheet = contact_sheet(pictures, labels, Grid(columns=(), rows=(), cells=cells))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG" if out.suffix.lower() == ".png" else "JPEG")
    return buffer.getvalue()
