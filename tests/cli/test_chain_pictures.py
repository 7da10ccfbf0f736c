"""What a chain's pictures hold and look like: metadata, transparency, formats; best_of; replay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ip2p_cli.editing.choose import Chooser
from ip2p_cli.errors import InputError
from ip2p_cli.io.colour import srgb_profile
from ip2p_cli.looks import apply
from ip2p_cli.models.loader import load_editor
from ip2p_cli.models.registry import find_model
from tests.cli.ip2p import Done, Run, pixels, some_photo
from tests.models.test_clip import folder as folder  # a tiny CLIP

EDITS = ("--edit", "winter", "--edit", "night", "-o", "out", "--seed", 1)
NANO = ("--model", "nano", "--resolution", 64, "--steps", 3)


def replayed(ip2p: Run, *words: object) -> dict[str, Any]:
    done: Done = ip2p("replay", *words, "--json", tiny=False)
    assert done.code == 0, done.err
    record: dict[str, Any] = json.loads(done.out)
    return record


def tilted() -> Path:
    """A photo that lies on its side, says where it was taken, and has an owner."""
    exif = Image.Exif()
    exif[0x0112], exif[0x8298] = 6, "me"
    exif.get_ifd(0x8825)[1] = "N"
    some_photo(97, 65).save("tilted.jpg", exif=exif)
    return Path("tilted.jpg")


def test_exif_is_kept_and_the_picture_upright(ip2p: Run) -> None:
    assert ip2p("chain", tilted(), *EDITS).code == 0
    for name in ("01-winter.png", "final.png"):
        with Image.open(f"out/tilted/{name}") as image:
            exif = image.getexif()
            assert image.size == (65, 97)
            assert (exif.get(0x0112, 1), exif[0x8298], exif.get_ifd(0x8825)[1]) == (1, "me", "N")
            assert image.info["icc_profile"] == srgb_profile()


def test_metadata_can_be_left_out(ip2p: Run) -> None:
    assert ip2p("chain", tilted(), *EDITS, "--strip-location").code == 0
    with Image.open("out/tilted/final.png") as image:
        assert image.getexif()[0x8298] == "me"
        assert not image.getexif().get_ifd(0x8825)
    assert ip2p("chain", tilted(), *EDITS, "-o", "bare", "--no-metadata").code == 0
    assert ip2p("show", "bare/tilted/final.png", tiny=False).code == 3
    assert (pixels("bare/tilted/final.png") == pixels("out/tilted/final.png")).all()


def test_transparency_is_carried(ip2p: Run) -> None:
    photo = some_photo(97, 65)
    alpha = Image.fromarray(np.tile(np.linspace(40, 255, 97).astype(np.uint8), (65, 1)))
    photo.putalpha(alpha)
    photo.save("clear.png")
    assert ip2p("chain", "clear.png", *EDITS).code == 0
    for name in ("01-winter.png", "final.png"):
        assert (pixels(f"out/clear/{name}")[..., 3] == np.asarray(alpha)).all()


@pytest.mark.parametrize("kind", ["jpg", "webp"])
def test_other_formats(ip2p: Run, photo: Path, kind: str) -> None:
    words = ("chain", photo, *EDITS, "--format", kind, "--webp", "--gif", "--quality", 40)
    assert ip2p(*words).code == 0
    animated = "final-animated.webp" if kind == "webp" else "final.webp"
    names = {f"01-winter.{kind}", f"02-night.{kind}", f"final.{kind}", "final.gif", animated, "strip.png", "index.json"}
    assert {p.name for p in Path("out/photo").iterdir()} == names
    with Image.open(f"out/photo/{animated}") as image:
        assert (image.size, image.n_frames) == ((97, 65), 21)  # type: ignore[attr-defined]
    assert json.loads(ip2p("show", f"out/photo/final.{kind}", "--json", tiny=False).out)["quality"] == 40
    assert "0 of 1 photos edited, 1 done before" in ip2p(*words).err


def test_a_chain_is_replayed_to_the_same_pixels(
    ip2p: Run, photo: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ("--model", str(tiny_folder))
    for way in ("latent", "pixels"):
        assert ip2p("chain", photo, *EDITS, "-o", way, "--handoff", way).code == 0
        record = replayed(ip2p, f"{way}/photo/final.png", "-o", f"{way}.png", *model)
        assert (record["largest_difference"], record["differences"]) == (0, [])
        assert (pixels(f"{way}.png") == pixels(f"{way}/photo/final.png")).all()
    assert replayed(ip2p, "latent/photo/01-winter.png", *model)["largest_difference"] == 0
    there = Path.cwd()
    monkeypatch.chdir(tmp_path)  # the photo is found by the manifest above the chain's folder
    assert replayed(ip2p, there / "latent/photo/final.png", *model)["largest_difference"] == 0
    refused = ip2p("replay", there / "latent/photo/final.png", "--set", "steps=3", *model, tiny=False)
    assert (refused.code, "ip2p chain" in refused.err) == (2, True)


def test_a_replay_on_another_photo_says_so(ip2p: Run, photo: Path, tiny_folder: Path) -> None:
    assert ip2p("chain", photo, *EDITS).code == 0
    some_photo(97, 65, shift=9).save("other.png")
    record = replayed(ip2p, "out/photo/final.png", "--input", "other.png", "--model", tiny_folder)
    assert record["largest_difference"] > 0
    assert record["differences"] == ["the photo is another one"]


def test_a_record_without_its_parents_cannot_be_replayed() -> None:
    from ip2p_cli.editing.replay import read_recorded

    record = {"model": "nano", "instruction": "x", "chain": {"name": "mine", "edit": 3}, "parents": [{"edit": 1}]}
    with pytest.raises(InputError, match=r"does not hold all edits before it: make it again with ip2p chain \(mine\)"):
        read_recorded(Path("a.png"), record)


def test_best_of_keeps_the_seed_that_scores_best(ip2p: Run, photo: Path) -> None:
    Path("r.yaml").write_text(
        "name: x\nedits:\n  - {instruction: make it winter, best_of: 4}\n  - {instruction: make it night, best_of: 2}\n"
    )
    done = ip2p("chain", photo, "r.yaml", "-o", "out", "--seed", 5, *NANO, tiny=False)
    assert done.code == 0, done.err
    first, second = json.loads(Path("out/photo/index.json").read_text())["edits"]
    assert first["best_of"]["seeds"] == [5, 6, 7, 8]
    assert first["best_of"]["measure"] == "look: nearness to “winter”"
    scores = first["best_of"]["scores"]
    assert len(set(scores)) > 1
    assert first["seed"] == first["best_of"]["seed"] == 5 + scores.index(max(scores))
    assert second["best_of"]["seeds"] == [5, 6]
    record = json.loads(ip2p("show", "out/photo/final.png", "--json", tiny=False).out)
    assert record["parents"][0]["best_of"] == first["best_of"]
    # The winner is the edit that this seed alone gives, but for the last bits of a batch.
    ip2p("edit", photo, "make it winter", "-o", "one.png", "--seed", first["seed"], *NANO, tiny=False)
    apart = pixels("one.png").astype(int) - pixels("out/photo/01-make-it-winter.png")
    assert np.abs(apart).max() <= 1
    again = replayed(ip2p, "out/photo/final.png")
    assert (again["largest_difference"], again["differences"]) == (0, [])
    assert replayed(ip2p, "out/photo/01-make-it-winter.png")["largest_difference"] == 0


def test_best_of_is_part_of_what_is_cached_and_of_what_is_checked(ip2p: Run, photo: Path) -> None:
    assert ip2p("chain", photo, *EDITS, "--best-of", 2).code == 0
    assert "0 of 1 photos edited, 1 done before" in ip2p("chain", photo, *EDITS, "--best-of", 2).err
    changed = ip2p("chain", photo, *EDITS, "--best-of", 3)
    assert "edit 1: best_of 2, now 3" in changed.err
    Path("out/photo/02-night.png").unlink()
    notes = json.loads(Path("out/photo/index.json").read_text())
    assert ip2p("chain", photo, *EDITS, "--best-of", 2).code == 0  # out of the cache, and what it knew of the choice
    assert json.loads(Path("out/photo/index.json").read_text()) == notes
    assert notes["edits"][0]["best_of"]["measure"].startswith("offline")
    Path("r.yaml").write_text("name: x\nedits: [{instruction: a, best_of: 4}, {instruction: b, best_of: 0}]\n")
    wrong = ip2p("chain", "--check", "r.yaml")
    assert "r.yaml:2: edits.2.best_of should be greater than or equal to 1" in wrong.err
    Path("r.yaml").write_text("name: x\nedits: [{instruction: a, best_of: 4}]\n")
    assert "best_of 4" in ip2p("chain", "--check", "r.yaml").out


def test_clip_chooses_where_its_weights_are(ip2p: Run, photo: Path, folder: Path) -> None:
    words = ("chain", photo, *EDITS, "--best-of", 2, "--clip", folder)
    assert ip2p(*words).code == 0
    found = json.loads(Path("out/photo/index.json").read_text())["edits"][0]["best_of"]
    assert found["measure"].startswith("clip: image+text")
    assert "0 of 1 photos edited, 1 done before" in ip2p(*words).err
    assert ip2p("chain", photo, *EDITS, "--best-of", 2).code == 2  # another measure may choose otherwise


def test_the_judge_knows_a_look_from_its_reverse() -> None:
    editor = load_editor(find_model("nano"), device="cpu", dtype="fp32")
    photo = some_photo(96, 64)
    grey = Image.fromarray(
        (apply("black_and_white", np.asarray(photo, np.float32) / 255) * 255).round().astype(np.uint8)
    )
    bright = photo.point([min(255, 2 * n) for n in range(256)] * 3)
    chosen = Chooser().best(editor, photo, [bright, grey, bright], "make it black and white")
    assert chosen.index == 1
    assert chosen.scores[1] > max(chosen.scores[0], chosen.scores[2])


def test_lora_and_vae_are_for_one_model(ip2p: Run, photo: Path) -> None:
    Path("r.yaml").write_text(
        "name: x\nedits: [{instruction: a, model: nano}, {instruction: b, model: instruct-pix2pix}]\n"
    )
    done = ip2p("chain", photo, "r.yaml", "--vae", "some", "--check", tiny=False)
    assert (done.code, "--vae and --revision are for one model" in done.err) == (2, True), done.err
