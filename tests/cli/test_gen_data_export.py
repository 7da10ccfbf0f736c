"""`ip2p gen-data export`, `stats` and `view`: every layout holds the same pairs, and others can read it."""

from __future__ import annotations

import gc
import io
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ip2p_cli.datagen.dataset.opening import open_dataset
from ip2p_cli.io.shards import Sample, Shards
from tests.cli.ip2p import Run
from tests.cli.test_gen_data_filter import kill_when
from tests.gen_pairs import make_pairs

LAYOUTS = ("shards", "original", "parquet", "webdataset")
TEXTS = ("caption", "instruction", "edited_caption")


@pytest.fixture
def data(ip2p: Run, tmp_path: Path) -> Path:
    made = make_pairs(tmp_path / "data", shards=3, damaged=True)
    assert ip2p("gen-data", "filter", made, tiny=False).code == 0
    return made


def exported(ip2p: Run, data: Path, layout: str, *words: object, out: Path | None = None) -> Path:
    target = out or data.parent / layout
    done = ip2p("gen-data", "export", data, "-o", target, "--format", layout, *words, tiny=False)
    assert done.code == 0, done.err
    return target


def files_of(folder: Path) -> dict[str, bytes]:
    """All that others see."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".export" not in path.parts and not path.name.endswith(".done.json")
    }


def expected(data: Path) -> list[Sample]:
    """The kept pairs with their scores, read the plain way."""
    kept = Shards(folder=data / "kept")
    scores = {row["key"]: row for number in kept.done() for row in kept.rows(number)}
    pairs = Shards(folder=data / "pairs", format="tar")
    return [
        Sample(row={**sample.row, **scores[sample.row["key"]]}, pictures=sample.pictures)
        for number in pairs.done()
        for sample in pairs.samples(number)
        if sample.row["key"] in scores
    ]


def by_seed(samples: list[Sample]) -> Mapping[int, Sample]:
    return {sample.row["seed"]: sample for sample in samples}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_pairs_come_back(ip2p: Run, data: Path, layout: str) -> None:
    """Pictures byte for byte; texts, kinds and scores as they were; nothing of this machine's folders."""
    out = exported(ip2p, data, layout, "--per-file", 7)
    splits = open_dataset(out)
    assert {name: pairs.layout for name, pairs in splits.items()} == {"train": layout}
    pairs = splits["train"]
    found, wanted = by_seed([pairs.sample(index) for index in range(len(pairs))]), by_seed(expected(data))
    assert list(found) == list(wanted)
    assert len(found) == 17
    for seed, sample in found.items():
        assert sample.pictures == wanted[seed].pictures
        for name in (*TEXTS, "kind", "triplet", "change", "structure", "p", "cfg_text", "painter"):
            assert sample.row[name] == wanted[seed].row[name], name
        assert splits["train"].row(list(found).index(seed)) == sample.row
    groups = splits["train"].groups()
    assert (groups == open_dataset(data)["train"].groups()).all()
    assert not any(b"/somewhere" in content for content in files_of(out).values())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_again_and_in_parts_and_by_two_workers(ip2p: Run, data: Path, layout: str, tmp_path: Path) -> None:
    out = exported(ip2p, data, layout, "--per-file", 7)
    before = files_of(out)
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    exported(ip2p, data, layout, "--per-file", 7)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == stamps
    for part in ("2/2", "1/2"):
        exported(ip2p, data, layout, "--per-file", 7, "--shard", part, out=tmp_path / "parts")
    assert files_of(tmp_path / "parts") == before


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["original", "parquet"])
def test_two_workers(ip2p: Run, data: Path, layout: str, tmp_path: Path) -> None:
    one = exported(ip2p, data, layout, "--per-file", 3)
    two = exported(ip2p, data, layout, "--per-file", 3, "--workers", 2, out=tmp_path / "two")
    assert files_of(one) == files_of(two)


HALF_WRITTEN = """
import sys
from pathlib import Path
from ip2p_cli.io.files import temporary_beside

temporary_beside(Path(sys.argv[1])).write_bytes(b"half")
"""


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_killed_and_run_again(ip2p: Run, tmp_path: Path, layout: str) -> None:
    data = make_pairs(tmp_path / "data", shards=60, triplets=1, candidates=2)
    assert ip2p("gen-data", "filter", data, tiny=False).code == 0
    whole = exported(ip2p, data, layout, "--per-file", 1)
    out = tmp_path / "killed"
    words = ["gen-data", "export", str(data), "-o", str(out), "--format", layout, "--per-file", "1"]
    kill_when([sys.executable, "-m", "ip2p_cli", *words], out / ".export" / "00003.done.json")
    assert not (out / "README.md").exists()
    subprocess.run([sys.executable, "-c", HALF_WRITTEN, str(out / ("data" if layout == "parquet" else "") / "x")])
    exported(ip2p, data, layout, "--per-file", 1, out=out)
    assert files_of(out) == files_of(whole)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_others_have_is_left(ip2p: Run, data: Path, layout: str, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    done = ip2p("gen-data", "export", data, "-o", out, "--format", layout, tiny=False)
    assert (done.code, files_of(out)) == (4, {"notes.txt": b"mine"})
    assert "holds other files" in done.err
    done = ip2p("gen-data", "export", data, "-o", data, tiny=False)
    assert done.code == 2


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_in_the_place_of_ours(ip2p: Run, data: Path, layout: str) -> None:
    """As after a run that was killed between a file and its marker, but someone's own file is there."""
    out = exported(ip2p, data, layout)
    victim = sorted(p for p in out.rglob("*") if p.suffix in (".tar", ".parquet", ".jpg"))[0]
    for marker in (*out.glob(".export/*.done.json"), *out.glob("*.done.json")):
        marker.unlink()
    exported(ip2p, data, layout)  # what is there is what would be written
    for marker in (*out.glob(".export/*.done.json"), *out.glob("*.done.json")):
        marker.unlink()
    victim.write_bytes(b"mine")
    done = ip2p("gen-data", "export", data, "-o", out, "--format", layout, tiny=False)
    assert (done.code, victim.read_bytes()) == (4, b"mine")
    assert "exists already" in done.err


def test_other_bounds_need_another_folder(ip2p: Run, data: Path) -> None:
    out = exported(ip2p, data, "webdataset")
    assert ip2p("gen-data", "filter", data, "--keep", 1, tiny=False).code == 0
    done = ip2p("gen-data", "export", data, "-o", out, "--format", "webdataset", tiny=False)
    assert done.code == 4
    assert "give a new folder" in done.err


@pytest.mark.parametrize("layout", LAYOUTS)
def test_split(ip2p: Run, data: Path, layout: str) -> None:
    splits = open_dataset(exported(ip2p, data, layout, "--split", 0.4))
    triplets = {name: {row["triplet"] for row in map(pairs.row, range(len(pairs)))} for name, pairs in splits.items()}
    assert set(triplets) == {"train", "test"}
    assert not triplets["train"] & triplets["test"]
    assert sum(map(len, splits.values())) == 17


def test_nothing_kept(ip2p: Run, tmp_path: Path) -> None:
    data = make_pairs(tmp_path / "data", shards=1)
    done = ip2p("gen-data", "export", data, "-o", tmp_path / "out", tiny=False)
    assert done.code == 3
    assert "run ip2p gen-data filter first" in done.err
    assert not (tmp_path / "out").exists()


def test_the_card(ip2p: Run, data: Path) -> None:
    out = exported(ip2p, data, "parquet")
    card = (out / "README.md").read_text("utf-8")
    for said in ("| train | 17 |", "| pairs | 27 | none |", "1 damaged picture", "Measure: offline", "CC0", "No CLIP"):
        assert said in card
    (out / "README.md").write_text("my own words")
    exported(ip2p, data, "parquet")
    assert (out / "README.md").read_text() == "my own words"


def test_datasets_reads_the_parquet(ip2p: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it has what diffusers' train_instruct_pix2pix.py asks for: three columns, two of pictures."""
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets: Any = pytest.importorskip("datasets")
    out = exported(ip2p, data, "parquet", "--per-file", 7, "--split", 0.4)
    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "test"}
    wanted = by_seed(expected(data))
    columns = ["original_prompt", "original_image", "edit_prompt", "edited_prompt", "edited_image"]
    assert loaded["train"].column_names[:5] == columns
    rows = [row for split in loaded.values() for row in split]
    assert len(rows) == 17
    for row in rows:
        sample = wanted[row["seed"]]
        for column, name in (("original_image", "original.jpg"), ("edited_image", "edited.jpg")):
            assert isinstance(row[column], Image.Image)
            with Image.open(io.BytesIO(sample.pictures[name])) as picture:
                assert row[column].tobytes() == picture.tobytes()
        assert row["edit_prompt"] == sample.row["instruction"]
        assert row["change"] == sample.row["change"]


@pytest.mark.parametrize("layout", ["webdataset", "shards"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # it leaves the tars open
def test_webdataset_reads_the_tars(ip2p: Run, data: Path, layout: str) -> None:
    webdataset: Any = pytest.importorskip("webdataset")
    out = exported(ip2p, data, layout, "--per-file", 7)
    tars = [str(path) for path in sorted(out.glob("*.tar"))]
    assert len(tars) == 3
    found = list(webdataset.WebDataset(tars, shardshuffle=False, empty_check=False))
    gc.collect()
    wanted = {sample.row["key"]: sample for sample in expected(data)}
    assert len(found) == len(wanted)
    for one in found:
        sample = wanted[one["__key__"]]
        assert (one["original.jpg"], one["edited.jpg"]) == tuple(sample.pictures.values())
        assert json.loads(one["json"])["instruction"] == sample.row["instruction"]


def test_the_authors_layout(ip2p: Run, data: Path) -> None:
    """As the authors' EditDataset goes about it: seeds.json, then prompt.json, then the pictures by their names."""
    out = exported(ip2p, data, "original")
    wanted = by_seed(expected(data))
    seeds = json.loads((out / "seeds.json").read_text())
    assert [name for name, _ in seeds] == [f"{place:07d}" for place in range(9)]
    count = 0
    for name, listed in seeds:
        prompt = json.loads((out / name / "prompt.json").read_text())
        assert set(prompt) == {"input", "edit", "output"}
        lines = [json.loads(line) for line in (out / name / "metadata.jsonl").read_text().splitlines()]
        assert [line["seed"] for line in lines] == listed
        for seed, line in zip(listed, lines, strict=True):
            sample = wanted[seed]
            assert (line["p2p_threshold"], line["cfg_scale"]) == (0.5, 7.5)
            assert prompt["edit"] == sample.row["instruction"]
            assert prompt["output"] == sample.row["edited_caption"]
            assert (out / name / f"{seed}_0.jpg").read_bytes() == sample.pictures["original.jpg"]
            assert (out / name / f"{seed}_1.jpg").read_bytes() == sample.pictures["edited.jpg"]
            count += 1
    assert count == len(wanted)


def test_stats(ip2p: Run, data: Path) -> None:
    told = {}
    for path in (data, *(exported(ip2p, data, layout) for layout in LAYOUTS)):
        done = ip2p("gen-data", "stats", path, "--json", tiny=False)
        assert done.code == 0, done.err
        told[path.name] = json.loads(done.out)
    stages = told["data"].pop("stages")
    assert (stages["pairs"]["rows"], stages["kept"]["rows"]) == (27, 17)
    assert stages["scores"]["dropped"] == {"damaged picture": 1}
    for found in told.values():
        found.pop("path")
        found.pop("layout")
    assert told["data"]["pairs"] == {"train": 17}
    assert told["data"]["triplets"] == 9
    assert sum(told["data"]["kinds"].values()) == 17
    assert told["data"]["sizes"]["pixels"] == {"64 x 48": 17}
    lowest, *_, highest = told["data"]["scores"]["change"]
    assert 20 < lowest < highest < 50
    assert all(found == told["data"] for found in told.values())
    text = ip2p("gen-data", "stats", data, tiny=False).out
    assert re.search(r"^pairs\s+3\s+27", text, re.MULTILINE)


@pytest.mark.parametrize("layout", ["data", *LAYOUTS])
def test_view(ip2p: Run, data: Path, layout: str) -> None:
    path = data if layout == "data" else exported(ip2p, data, layout)
    assert ip2p("gen-data", "view", path, "-n", 5, tiny=False).code == 0
    html = Path("view.html").read_text("utf-8")
    assert html.count("<article>") == 5
    assert "<dt>change</dt>" in html
    assert ip2p("gen-data", "view", path, tiny=False).code == 4  # it is there
    assert ip2p("gen-data", "view", path, "-n", 5, "--overwrite", tiny=False).code == 0
    assert Path("view.html").read_text("utf-8") == html
    assert ip2p("gen-data", "view", path, "--out", "sheet.png", tiny=False).code == 0
    with Image.open("sheet.png") as sheet:
        assert sheet.width > sheet.height / 3


def test_no_dataset(ip2p: Run, tmp_path: Path) -> None:
    (tmp_path / "some.parquet").write_bytes(b"no parquet")
    for path, said in ((tmp_path, "some.parquet is damaged"), (tmp_path / "none", "no such dataset")):
        done = ip2p("gen-data", "stats", path, tiny=False)
        assert (done.code, said in done.err) == (3, True), done.err
