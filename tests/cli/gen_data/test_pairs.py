"""`ip2p gen-data pairs` and `run` from the command line."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from ip2p_cli.io.shards import Shards
from ip2p_cli.types import Triplet
from tests.cli.ip2p import Run, some_photo
from tests.tiny import save_editor, tiny_painter


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
    rows = list(Shards(folder=data / "pairs", kind="tar").rows(0))
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
        ("pairs: {candidates: many}", "r.yaml: pairs: "),
        ("pairs: {json: true}", "has no setting 'json'"),
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
