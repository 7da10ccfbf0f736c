"""`ip2p gen-data view PATH`: look at some pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.flags import CommonFlags, takes_flags
from ip2p_cli.cli.gen_data import flags as gen
from ip2p_cli.cli.output import Output
from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.folders import expand_home

if TYPE_CHECKING:
    from ip2p_cli.io.shards import Sample

_PAGES, _SHEETS = (".html", ".htm"), (".png", ".jpg", ".jpeg")
_FACTS = ("kind", "painter", "p", "cfg_text", "seed")


@takes_flags
def view(
    path: gen.DataSet,
    common: CommonFlags,
    pairs: Annotated[int, Option("--pairs", "-n", min=1, max=200, help="Pairs to show.")] = 24,
    out: Annotated[Path, Option("-o", "--out", help="A page (.html), or a sheet (.png, .jpg).")] = Path("view.html"),
    seed: gen.Seed = 0,
    overwrite: opt.Overwrite = False,
) -> None:
    """Show pairs drawn at random, with instruction and scores: of a dataset's folder or of any export."""
    from ip2p_cli.datagen.dataset.opening import open_dataset
    from ip2p_cli.datagen.stats import draw_pairs
    from ip2p_cli.io.files import write_whole

    if out.suffix.lower() not in _PAGES + _SHEETS:
        raise UsageError(f"-o {out}: give a name that ends in {', '.join(_PAGES[:1] + _SHEETS)}")
    output = Output(json=common.json, quiet=common.quiet)
    splits = open_dataset(expand_home(path))
    samples = []
    for pair_set, index in draw_pairs(splits, pairs, seed):
        try:
            samples.append(pair_set.sample(index))
        except InputError as error:
            output.warn(str(error))
    is_page = out.suffix.lower() in _PAGES
    data = _page(path, samples, sum(map(len, splits.values()))) if is_page else _sheet(samples, out)
    write_whole(out, data, overwrite=overwrite)
    output.result(f"{out}: {len(samples)} pairs", {"output": str(out), "pairs": len(samples)})


def _page(path: Path, samples: list[Sample], total: int) -> bytes:
    from ip2p_cli.datagen.dataset.columns import is_score
    from ip2p_cli.io.pairs_page import Card, pairs_page

    cards = []
    for sample in samples:
        facts = {name: sample.row[name] for name in _FACTS if sample.row.get(name) is not None}
        scores = {name: value for name, value in sample.row.items() if is_score(name, value)}
        cards.append(Card(sample=sample, facts=facts | scores))
    return pairs_page(f"Pairs of {path.name}", {f"{len(cards)} of {total} pairs": cards}, facts={"dataset": path.name})


def _sheet(samples: list[Sample], out: Path) -> bytes:
    """A sheet of pairs, before and after beside each other, that is about as high as wide."""
    from PIL import Image

    from ip2p_cli.io.contact_sheet import Grid, contact_sheet
    from ip2p_cli.io.encoded import decode_picture
    from ip2p_cli.io.output import encode_picture

    pictures: list[Image.Image | None] = []
    labels = []
    for sample in samples:
        for name, field in (("original.jpg", "caption"), ("edited.jpg", "instruction")):
            labels.append(str(sample.row.get(field) or ""))
            try:
                pictures.append(decode_picture(sample.pictures[name], name, 320))
            except InputError:
                pictures.append(None)
    columns = 2 * max(1, round(len(samples) ** 0.5 / 2))
    indices = [*range(len(pictures)), *[None] * (-len(pictures) % columns)]
    cells = tuple(tuple(indices[start : start + columns]) for start in range(0, len(indices), columns))
    return encode_picture(contact_sheet(pictures, labels, Grid(columns=(), rows=(), cells=cells)), out)
