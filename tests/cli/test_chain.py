"""`ip2p chain`: the folder it leaves, what a rerun does, hand-over, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from diffusers import AutoencoderKL, UNet2DConditionModel

from ip2p_cli.io.own_recipes import own_recipes
from ip2p_cli.io.recipe_paths import paths_of
from ip2p_cli.io.recipes import read_recipe
from tests.cli.ip2p import Run, pixels, some_photo

QUICK = ("--edit", "winter", "--edit", "night", "--edit", "snow", "-o", "out", "--seed", 1, "--cfg-image", "1.5")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often the parts of a model were run."""
    counted: dict[str, int] = {"unet": 0, "encode": 0, "decode": 0}
    for name, kind, method in (
        ("unet", UNet2DConditionModel, "forward"),
        ("encode", AutoencoderKL, "encode"),
        ("decode", AutoencoderKL, "decode"),
    ):
        real = getattr(kind, method)

        def count(self: object, *args: object, _name: str = name, _real: object = real, **more: object) -> object:
            counted[_name] += 1
            return _real(self, *args, **more)  # type: ignore[operator]

        monkeypatch.setattr(kind, method, count)
    return counted


def test_a_quick_chain_leaves_its_folder(ip2p: Run, photo: Path, calls: dict[str, int]) -> None:
    done = ip2p("chain", photo, *QUICK, "--gif")
    assert done.code == 0, done.err
    assert done.out.splitlines() == ["out/photo/final.png"]
    names = ["01-winter.png", "02-night.png", "03-snow.png", "final.gif", "final.png", "index.json", "strip.png"]
    assert sorted(p.name for p in Path("out/photo").iterdir()) == names
    assert pixels("out/photo/final.png").shape == (65, 97, 3)
    assert Path("out/photo/final.png").read_bytes() == Path("out/photo/03-snow.png").read_bytes()
    # One encode; a decode for each saved edit, and one of the photo, to carry edits back to its size.
    assert (calls["encode"], calls["decode"]) == (1, 4)
    record = json.loads(ip2p("show", "out/photo/final.png", "--json", tiny=False).out)
    assert [one["instruction"] for one in record["parents"]] == ["winter", "night"]
    assert record["chain"]["edit"] == 3


def test_a_rerun_runs_what_changed_and_all_after_it(ip2p: Run, photo: Path, calls: dict[str, int]) -> None:
    assert ip2p("chain", photo, *QUICK).code == 0
    whole = calls["unet"]
    again = ip2p("chain", photo, *QUICK, "--json")
    assert calls["unet"] == whole
    assert json.loads(again.out)["state"] == "skipped"
    changed = ["fog" if word == "night" else word for word in QUICK]
    refused = ip2p("chain", photo, *changed)
    assert refused.code == 2
    assert "1 of 1 results were made otherwise (photo: edit 2: instruction night, now fog): give --redo" in refused.err
    first = Path("out/photo/01-winter.png").stat().st_mtime_ns
    assert ip2p("chain", photo, *changed, "--redo").code == 0
    assert calls["unet"] - whole == whole * 2 // 3
    assert Path("out/photo/01-winter.png").stat().st_mtime_ns == first


def test_the_first_edit_is_that_of_edit(ip2p: Run, photo: Path) -> None:
    ip2p("edit", photo, "winter", "-o", "one.png", "--seed", 1, "--cfg-image", "1.5")
    ip2p("chain", photo, *QUICK)
    assert (pixels("one.png") == pixels("out/photo/01-winter.png")).all()


def test_pixels_encode_each_time_and_differ(ip2p: Run, photo: Path, calls: dict[str, int]) -> None:
    ip2p("chain", photo, *QUICK)
    latent, before = pixels("out/photo/final.png"), dict(calls)
    assert ip2p("chain", photo, *QUICK, "--handoff", "pixels", "--redo").code == 0
    assert calls["encode"] - before["encode"] >= 2
    assert (pixels("out/photo/final.png") != latent).any()


def test_until_and_from(ip2p: Run, photo: Path, calls: dict[str, int]) -> None:
    assert ip2p("chain", photo, *QUICK, "--until", "night").code == 0
    assert not Path("out/photo/03-snow.png").exists()
    two = calls["unet"]
    done = ip2p("chain", photo, *QUICK, "--from", 3, "--redo")
    assert done.code == 0, done.err
    assert calls["unet"] - two == two // 2
    assert "no edit has this name" in ip2p("chain", photo, *QUICK, "--from", "nigt").err
    assert "edits 1 to 3" in ip2p("chain", photo, *QUICK, "--until", 4).err


def test_branches_share_what_they_have_in_common(ip2p: Run, photo: Path, calls: dict[str, int]) -> None:
    Path("r.yaml").write_text("name: x\nedits:\n  - winter\n  - [night, {instruction: snow, save: false}]\n")
    done = ip2p("chain", photo, "r.yaml", "-o", "out", "--seed", 1)
    assert done.out.splitlines() == ["out/photo/final-a.png", "out/photo/final-b.png"], done.err
    pictures = sorted(p.name for p in Path("out/photo").glob("*.png"))
    assert pictures == ["01-winter.png", "02a-night.png", "final-a.png", "final-b.png", "strip.png"]
    assert len({p.name for p in Path("out/.ip2p-chain").iterdir()}) == 3


def test_one_bad_photo_does_not_stop_the_others(ip2p: Run, photo: Path) -> None:
    Path("bad.png").write_text("no picture")
    some_photo(65, 65).save("photo.bmp")
    done = ip2p("chain", "bad.png", photo, "photo.bmp", "--edit", "winter", "-o", "out", "--seed", 1)
    assert done.code == 3
    assert done.out.splitlines() == ["out/photo/final.png", "out/photo-2/final.png"]
    assert "1 of 3 photos failed" in done.err


def test_check_loads_nothing_and_names_the_line(ip2p: Run, calls: dict[str, int]) -> None:
    Path("r.yaml").write_text(
        "name: x\nvariables: {s: a}\nedits:\n  - make it {{ s }}\n  - {instruction: b, steps: 0}\n"
    )
    done = ip2p("chain", "--check", "r.yaml", tiny=False)
    assert done.code == 2
    assert "r.yaml:5: --steps 0" in done.err
    done = ip2p("chain", "--check", "r.yaml", "--set", "s=winter", "--json")
    assert [json.loads(line)["instruction"] for line in done.out.splitlines()] == ["make it winter", "b"]
    assert not any(calls.values())


def test_the_files_of_the_user_stay(ip2p: Run, photo: Path) -> None:
    Path("out/photo").mkdir(parents=True)
    Path("out/photo/02-night.png").write_text("mine")
    done = ip2p("chain", photo, *QUICK)
    assert done.code == 4
    assert Path("out/photo/02-night.png").read_text() == "mine"
    assert not Path("out/photo/01-winter.png").exists()


def test_recipes_lists_and_shows(ip2p: Run) -> None:
    done = ip2p("recipes", "--json", tiny=False)
    names = [json.loads(line)["name"] for line in done.out.splitlines()]
    assert len(names) >= 8
    assert "edits:" in ip2p("recipes", "four-seasons", tiny=False).out
    assert "Did you mean four-seasons" in ip2p("recipes", "four-season", tiny=False).err
    assert json.loads(ip2p("recipes", "--schema", tiny=False).out)["$defs"]["Edit"]


@pytest.mark.slow
@pytest.mark.parametrize("name", own_recipes())
def test_each_recipe_runs_on_nano(ip2p: Run, photo: Path, name: str) -> None:
    done = ip2p("chain", photo, name, "-o", "out", "--resolution", 64, "--seed", 1, tiny=False)
    assert done.code == 0, done.err
    assert "was not trained for" not in done.err
    assert len(done.out.splitlines()) == len(paths_of(read_recipe(own_recipes()[name])))
