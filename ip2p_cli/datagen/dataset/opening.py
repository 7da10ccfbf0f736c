"""Finding out what a dataset is: a folder of all stages, or an export in any of the four formats."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ip2p_cli.datagen.dataset.base import PairSet
from ip2p_cli.datagen.dataset.original import SEEDS, OriginalPairs
from ip2p_cli.datagen.dataset.tables import ParquetPairs
from ip2p_cli.datagen.dataset.tars import TarPairs, data_pairs
from ip2p_cli.errors import InputError
from ip2p_cli.io.names import printable
from ip2p_cli.io.shards import Shards

SPLITS = ("train", "test")


def open_dataset(path: Path) -> dict[str, PairSet]:
    """The dataset's splits by name; what is not split is "train". Raises InputError where there is none."""
    splits = _splits(path.expanduser())
    if not any(map(len, splits.values())):
        raise InputError(f"{printable(path)}: there are no pairs in it")
    return splits


def open_for_training(path: Path) -> PairSet:
    """The pairs to train on: of a dataset with splits "train". Raises InputError where there are none."""
    splits = open_dataset(path)
    found = splits.get("train") or next(iter(splits.values()))
    if not len(found):
        raise InputError(f"{printable(path)}: there are no pairs to train on in it")
    return found


def _splits(path: Path) -> dict[str, PairSet]:
    if path.is_file() and path.suffix == ".tar":
        return {"train": TarPairs([path], layout="webdataset")}
    if path.is_file() and path.suffix == ".parquet":
        return {"train": ParquetPairs([path])}
    if not path.is_dir():
        raise InputError(f"{printable(path)}: no such dataset: give a folder of ip2p gen-data, or an export")
    if (path / "pairs").is_dir():
        return {"train": data_pairs(path)}
    for name in ("", *SPLITS):
        if (path / name / SEEDS).is_file():
            return {split: OriginalPairs(folder) for split, folder in _folders(path, SEEDS).items()}
    tables = sorted((path / "data").glob("*.parquet")) or sorted(path.glob("*.parquet"))
    if tables:
        return {split: ParquetPairs(files) for split, files in _by_split(tables).items()}
    shards = {
        split: [files.path(number) for number in sorted(files.done())]
        for split, files in ((split, Shards(folder=path / split, kind="tar")) for split in ("", *SPLITS))
    }
    if any(shards.values()):
        return {split or "train": TarPairs(files, layout="shards") for split, files in shards.items() if files}
    tars = sorted(path.glob("*.tar"))
    if tars:
        return {split: TarPairs(files, layout="webdataset") for split, files in _by_split(tars).items()}
    raise InputError(
        f"{printable(path)}: no pairs there that ip2p knows: give a folder of ip2p gen-data, its export, parquet with "
        "the columns original_image, edit_prompt, edited_image, or WebDataset tars"
    )


def _folders(path: Path, file: str) -> dict[str, Path]:
    if (path / file).is_file():
        return {"train": path}
    return {split: path / split for split in SPLITS if (path / split / file).is_file()}


def _by_split(files: Iterable[Path]) -> dict[str, list[Path]]:
    """By the word before the first "-" in a file's name, where that is a split's."""
    found: dict[str, list[Path]] = {}
    for file in files:
        name = file.name.split("-")[0]
        found.setdefault(name if name in SPLITS else "train", []).append(file)
    return found
