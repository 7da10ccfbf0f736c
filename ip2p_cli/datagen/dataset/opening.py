"""Open a dataset: a folder of all stages, or an export in any of the four layouts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ip2p_cli.datagen.dataset.base import PairSet
from ip2p_cli.datagen.dataset.original import SEEDS, OriginalPairs
from ip2p_cli.datagen.dataset.tables import ParquetPairs
from ip2p_cli.datagen.dataset.tars import TarPairs, data_pairs
from ip2p_cli.errors import InputError
from ip2p_cli.folders import expand_home
from ip2p_cli.io.names import printable
from ip2p_cli.io.shards import Shards

SPLITS = ("train", "test")


def open_dataset(path: Path) -> dict[str, PairSet]:
    """Open a dataset's splits, by name; without splits it is "train". Raises InputError if there are no pairs."""
    splits = _splits(expand_home(path))
    if not any(map(len, splits.values())):
        raise InputError(f"{printable(path)}: the dataset has no pairs: run the stages that make them")
    return splits


def open_for_training(path: Path) -> PairSet:
    """Open the pairs to train on, those of the split "train". Raises InputError if there are none."""
    splits = open_dataset(path)
    pairs = splits.get("train") or next(iter(splits.values()))
    if not len(pairs):
        raise InputError(f"{printable(path)}: the dataset has no pairs to train on: give one with a split “train”")
    return pairs


def _splits(path: Path) -> dict[str, PairSet]:
    if path.is_file() and path.suffix == ".tar":
        return {"train": TarPairs([path], layout="webdataset")}
    if path.is_file() and path.suffix == ".parquet":
        return {"train": ParquetPairs([path])}
    if not path.is_dir():
        raise InputError(f"{printable(path)}: no such dataset: give a folder of ip2p gen-data, or an export")
    if (path / "pairs").is_dir():
        return {"train": data_pairs(path)}
    folders = [("train", path), *((split, path / split) for split in SPLITS)]
    original = {split: folder for split, folder in folders if (folder / SEEDS).is_file()}
    if original:
        return {split: OriginalPairs(folder) for split, folder in original.items()}
    tables = sorted((path / "data").glob("*.parquet")) or sorted(path.glob("*.parquet"))
    if tables:
        return {split: ParquetPairs(files) for split, files in _by_split(tables).items()}
    shards = [(split, Shards(folder=folder, format="tar")) for split, folder in folders]
    finished = {split: [files.path(number) for number in files.done()] for split, files in shards if files.done()}
    if finished:
        return {split: TarPairs(files, layout="shards") for split, files in finished.items()}
    tars = sorted(path.glob("*.tar"))
    if tars:
        return {split: TarPairs(files, layout="webdataset") for split, files in _by_split(tars).items()}
    raise InputError(
        f"{printable(path)}: no known dataset of pairs: give a folder of ip2p gen-data, its export, parquet with the "
        "columns original_image, edit_prompt, edited_image, or WebDataset tars"
    )


def _by_split(files: Iterable[Path]) -> dict[str, list[Path]]:
    """Files by the word before the first "-" in their names, if that is a split's."""
    splits: dict[str, list[Path]] = {}
    for file in files:
        name = file.name.split("-")[0]
        splits.setdefault(name if name in SPLITS else "train", []).append(file)
    return splits
