"""Stages that are called from Python: from a list of captions to triplets, and again."""

from __future__ import annotations

from pathlib import Path

import pytest

from ip2p_cli.datagen import CaptionSettings, TripletSettings, WorkerConfig, source_of, write_captions, write_triplets
from ip2p_cli.errors import InputError
from ip2p_cli.io.shards import Marker, Shards


def test_captions_and_triplets(tmp_path: Path) -> None:
    source = tmp_path / "captions.csv"
    source.write_text("caption;id\n" + "".join(f"a dog in garden number {n};{n}\n\n" for n in range(6)))
    data = tmp_path / "data"
    with pytest.raises(InputError, match="run the stage before first"):
        write_triplets(data)
    captions = list(write_captions(source_of(str(source)), data, CaptionSettings(near=None, rows=2)))
    assert [(marker.rows, existed) for marker, existed in captions] == [(2, False)] * 3
    settings = TripletSettings(per_caption=2, seed=3)
    for existed, part in ((False, (2, 2)), (False, (1, 2)), (True, (1, 1))):
        for task, result, was_there in write_triplets(data, settings, workers=WorkerConfig(part=part)):
            assert isinstance(result, Marker)
            assert (result.rows, result.number, was_there) == (4, task.number, existed)
    rows = [row for number in range(3) for row in Shards(folder=data / "triplets").rows(number)]
    assert [row["caption"] for row in rows[::2]] == [f"a dog in garden number {n}" for n in range(6)]
    assert all(row["instruction"] and row["edited_caption"] != row["caption"] for row in rows)
