"""`ip2p gen-data pairs` and `run` from the command line."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from PIL import Image

from ip2p_cli.io.shards import Shards
from ip2p_cli.types import Triplet
from tests.cli.ip2p import Run, some_photo
from tests.tiny import save_editor, tiny_painter
from tests.tiny_clip import save_clip


@pytest.fixture
def data(ip2p: Run) -> Path:
    """A dataset with triplets."""
    some_photo(80, 64).save("photo.png")
    with Shards(folder=Path("data/triplets")).writing(0) as writer:
        for look in ("winter", "night"):
            triplet = Triplet(
                key=look,
                caption="a photo of a lake",
                instruction=f"make it {look}",
                edited_caption=f"a lake at {look}",
                kind="season",
                writer="test",
                look=look,
                image=str(Path("photo.png").absolute()),
            )
            writer.add(asdict(triplet))
    return Path("data")


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_editor(tiny_painter(), tmp_path_factory.mktemp("painter"))


QUICK = ("--preset", "draft", "--steps", 2, "--resolution", 64, "--device", "cpu")


def test_looks_and_a_rerun(ip2p: Run, data: Path) -> None:
    done = ip2p("gen-data", "pairs", data, "--resolution", 64, "--json", tiny=False)
    assert done.code == 0, done.err
    assert json.loads(done.out)["rows"] == 2
    again = ip2p("gen-data", "pairs", data, "--resolution", 64, tiny=False)
    assert (again.code, again.out) == (0, "")
    assert "0 of 1 shards written, 1 done before" in again.err
    other = ip2p("gen-data", "pairs", data, "--resolution", 96, tiny=False)
    assert other.code == 2
    assert "side 64, now 96" in other.err
    assert ip2p("gen-data", "pairs", data, "--resolution", 96, "--redo", tiny=False).code == 0


def test_prompt2prompt(ip2p: Run, data: Path, painter: Path) -> None:
    done = ip2p("gen-data", "pairs", data, "--model", painter, *QUICK, tiny=False)
    assert done.code == 0, done.err
    rows = list(Shards(folder=data / "pairs", format="tar").rows(0))
    assert len(rows) == 8
    assert {row["model"] for row in rows} == {painter.name}
    about = Shards(folder=data / "pairs").about() or {}
    assert len(about["weights"]) == 16


def test_plan_writes_nothing(ip2p: Run, data: Path, painter: Path) -> None:
    done = ip2p(
        "gen-data", "pairs", data, "--model", painter, *QUICK, "--plan", "--triplets", 1000, "--json", tiny=False
    )
    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert (said["pairs"], said["evaluations"]) == (4000, 4000 * 2 * 4)
    assert not (data / "pairs").exists()
    text = ip2p("gen-data", "pairs", data, "--resolution", 64, "--plan", tiny=False).out
    assert "pairs             2" in text


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--painter", "prompt2prompt"], 2, "needs a text-to-image model"),
        (["--painter", "looks", "--model", "x/y"], 2, "needs no model"),
        (["--preset", "papr"], 2, "Did you mean paper"),
        (["--p", "0.9..0.1"], 2, "--p 0.9..0.1"),
        (["--painter", "looky"], 2, "unknown painter"),
        (["--shard", "3/2"], 2, "--shard 3/2"),
        (["--reweight", "2"], 2, "--reweight goes with --cross"),
    ],
)
def test_nonsense(ip2p: Run, data: Path, words: list[str], code: int, said: str) -> None:
    done = ip2p("gen-data", "pairs", data, *words, tiny=False)
    assert done.code == code
    assert said in done.err
    assert done.err.count("\n") == 1


def test_an_editing_model_does_not_paint(ip2p: Run, data: Path, tiny_folder: Path) -> None:
    done = ip2p("gen-data", "pairs", data, "--model", tiny_folder, *QUICK, tiny=False)
    assert done.code == 5
    assert "is no text-to-image model" in done.err


def test_no_triplets(ip2p: Run) -> None:
    done = ip2p("gen-data", "pairs", "nothing", tiny=False)
    assert done.code == 3
    assert "run the stage before first" in done.err
    assert not Path("nothing").exists()


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("pears: {}", "1: there is no stage 'pears'. Did you mean pairs"),
        ("pairs:\n  candidtes: 3", "2: pairs has no setting 'candidtes'. Did you mean candidates"),
        ("pairs: 3", "pairs should hold settings"),
        ("name: x", "it names no stage"),
        ("- pairs", "not a recipe"),
        ("pairs: {candidates: many}", "r.yaml:1: pairs: candidates: "),
        ("pairs:\n  candidates: 0", "r.yaml:2: pairs: candidates: "),
        ("pairs: {candidates: true}", "r.yaml:1: pairs: candidates: "),
        ("pairs: {blend: 7}", "r.yaml:1: pairs: blend: "),
        ("pairs: {json: true}", "has no setting 'json'"),
        ("captions: {near: 0.9}", "captions of what? Give --source"),
        ("pairs: {cross: both}", "r.yaml:1: pairs: "),
    ],
)
def test_wrong_recipes(ip2p: Run, data: Path, recipe: str, said: str) -> None:
    Path("r.yaml").write_text(recipe)
    done = ip2p("gen-data", "run", "r.yaml", "-o", data, tiny=False)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_recipe_of_one_stage(ip2p: Run, data: Path) -> None:
    Path("r.yaml").write_text("name: one\npairs: {painter: looks, resolution: 64, candidates: 2}\n")
    done = ip2p("gen-data", "run", "r.yaml", "-o", data, "--json", tiny=False)
    assert done.code == 0, done.err
    assert json.loads(done.out.splitlines()[0])["rows"] == 4
    plan = ip2p("gen-data", "run", "r.yaml", "-o", data, "--plan", tiny=False)
    assert "pairs             4" in plan.out


def test_a_triplet_ends_once_enough_pass(ip2p: Run, data: Path, painter: Path) -> None:
    words = ("gen-data", "pairs", data, "--model", painter, *QUICK, "--candidates", 6, "--block", 1, "--stop-after", 2)
    done = ip2p(*words, "--min-change", 0, tiny=False)
    assert done.code == 0, done.err
    rows = list(Shards(folder=data / "pairs", format="tar").rows(0))
    assert 4 <= len(rows) < 12
    gates = (Shards(folder=data / "pairs").about() or {})["stop"]["gates"]
    assert gates[0] == {"score": "change", "bound": 0.0, "most": False}
    # Other bounds paint other candidates: they are not mixed.
    assert ip2p(*words, "--min-change", 50, tiny=False).code == 2
    assert ip2p(*words, "--min-change", 1000, "--redo", tiny=False).code == 0
    assert Shards(folder=data / "pairs", format="tar").marker(0).rows == 12


def test_stop_after_goes_by_clip_where_there_is_one(ip2p: Run, data: Path, painter: Path, tmp_path: Path) -> None:
    clip = save_clip(tmp_path / "clip")
    words = ("gen-data", "pairs", data, "--model", painter, *QUICK, "--stop-after", 1, "--clip", clip)
    loose = ("--min-image", -1, "--min-direction", -1, "--min-text", -1, "--block", 1)
    assert ip2p(*words, *loose, tiny=False).code == 0
    assert Shards(folder=data / "pairs", format="tar").marker(0).rows == 2


@pytest.mark.slow
def test_from_photos_to_a_model_that_trains_on_it(ip2p: Run, tmp_path: Path) -> None:
    """The offline way of the README, whole: captions, triplets, pairs, filter, export, training."""
    root = Path(__file__).parents[3]
    Path("photos").mkdir()
    for number, sample in enumerate(sorted((root / "samples").glob("*.jpg"))[:6]):
        with Image.open(sample) as image:
            image.convert("RGB").resize((120, 90)).save(f"photos/{sample.stem}-{number}.jpg")
    recipe = Path(root / "recipes/data-looks.yaml").read_text().replace("resolution: 256", "resolution: 64")
    Path("looks.yaml").write_text(recipe)
    words = ("gen-data", "run", "looks.yaml", "--source", "photos:photos", "-o", "data")
    done = ip2p(*words, tiny=False)
    assert done.code == 0, done.err
    assert list(Path("data/export/data").glob("train-*.parquet"))
    before = {p: p.read_bytes() for p in Path("data").rglob("*") if p.is_file()}
    again = ip2p(*words, tiny=False)
    assert again.code == 0, again.err
    assert {p: p.read_bytes() for p in Path("data").rglob("*") if p.is_file()} == before
    stages = {word.rstrip(":") for word in done.err.splitlines() if word.endswith(":")}
    assert stages == {"captions", "triplets", "pairs", "filter", "export"}
    stats = json.loads(ip2p("gen-data", "stats", "data/export", "--json", tiny=False).out)
    assert stats
    recipe = yaml.safe_load((root / "recipes/train-dataset.yaml").read_text())
    recipe["stages"][0] |= {"steps": 2, "batch": 2, "shapes": [[64, 64]], "side": 64}
    Path("train.yaml").write_text(yaml.safe_dump(recipe))
    trained = ip2p("train", "--config", "train.yaml", "--data", "data/export", "--out", "run", tiny=False)
    assert trained.code == 0, trained.err
    assert Path("run/model/unet").is_dir()
