"""Masks from words on the command line: `--region`, `--save-mask`, `ip2p mask`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.ip2p import Run, pixels
from tests.cli.test_masks import changed, save_mask
from tests.tiny_clip import save_clipseg

SIZE = (120, 90)


def save_scene(name: str, *, sky: bool = True) -> None:
    """Save a photo of rough ground, with a blue sky above it or without."""
    values = np.random.default_rng(1).normal((60, 55, 40), 18, (SIZE[1], SIZE[0], 3))
    if sky:
        values[:40] = (120, 165, 225)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(name)


@pytest.fixture
def photo(ip2p: Run) -> str:
    save_scene("photo.png")
    return "photo.png"


def test_only_the_region_changes_and_replay_finds_it_again(ip2p: Run, photo: str, tiny_folder: Path) -> None:
    done = ip2p("edit", photo, "winter", "--region", "the sky", "--seed", 1, "-o", "out.png", "--save-mask", "mask.png")
    assert done.code == 0, done.err
    different, mask = changed(photo, "out.png"), pixels("mask.png")[..., 0]
    assert not different[mask == 0].any()
    assert different[mask == 255].mean() > 0.9
    assert (mask[50:] == 0).mean() > 0.95
    assert (mask[:35] == 255).mean() > 0.95
    record = json.loads(ip2p("show", "out.png", "--json", tiny=False).out)["mask"]
    assert (record["region"], record["region_by"], record["sha256"]) == ("the sky", "version 1", None)
    again = ip2p("replay", "out.png", "--model", tiny_folder, "-o", "again.png", tiny=False)
    assert "the same pixels" in again.err, again.err
    by_file = ip2p("edit", photo, "winter", "--mask", "mask.png", "--seed", 1, "-o", "by-file.png")
    assert by_file.code == 0
    assert (pixels("by-file.png") == pixels("out.png")).all()


def test_regions_combine_with_masks_and_boxes(ip2p: Run, photo: str) -> None:
    words = ("mask", photo, "--region", "the left half", "--overwrite", "-o", "mask.png")

    def made(*more: object) -> np.ndarray:
        done = ip2p(*words, *more, tiny=False)
        assert done.code == 0, done.err
        return pixels("mask.png")[..., 0]

    assert (made()[:, :50] == 255).all()
    assert (made("--invert-mask")[:, :50] == 0).all()
    in_box = made("--box", "0,0,100%,50%")
    assert (in_box[:45, :50] == 255).all()
    assert (in_box[45:] == 0).all()
    inverted = made("--box", "0,0,100%,50%", "--invert-mask")
    assert (inverted[:45, 70:] == 255).all()
    assert (inverted[45:] == 0).all()
    save_mask("m.png", (0, 30, 120, 90), SIZE)
    both = made("--mask", "m.png", "--invert-mask")
    assert (both[:30, :50] == 255).all()
    assert (both[30:] == 0).all()
    assert (made("--grow", 5)[:, :55] == 255).all()
    soft = made("--box", "0,0,40,90", "--feather", 4)[20]
    assert 0 < soft[40] < 255


def test_a_photo_without_the_region_fails_alone(ip2p: Run) -> None:
    for name in ("a", "b", "c"):
        save_scene(f"in/{name}.png", sky=name != "b")
    done = ip2p("edit", "in", "winter", "--region", "the sky", "-o", "out", "--save-mask", "masks", "--seed", 1)
    assert done.code == 3
    assert [line for line in done.err.splitlines() if line.startswith("error")] == [
        "error: in/b.png: “the sky” was not found in it: name another part, or give --mask or --box",
        "error: 1 of 3 photos failed; see above.",
    ]
    assert sorted(path.name for path in Path("out").glob("*.png")) == ["a-winter.png", "c-winter.png"]
    assert sorted(path.name for path in Path("masks").iterdir()) == ["a.png", "c.png"]
    refused = ip2p("edit", "in/a.png", "winter", "--region", "left", "-o", "out", "--seed", 1)
    assert (refused.code, "region the sky, now left" in refused.err) == (2, True), refused.err


def test_a_mask_can_be_asked_for_later(ip2p: Run) -> None:
    for name in ("a", "b"):
        save_scene(f"in/{name}.png")
    command = ("edit", "in", "winter", "--region", "the sky", "-o", "out", "--seed", 1)
    assert ip2p(*command).code == 0
    before = {path: path.stat().st_mtime_ns for path in Path("out").glob("*.png")}
    later = ip2p(*command, "--save-mask", "masks")
    assert later.code == 0, later.err
    masks = {path.name: path.stat().st_mtime_ns for path in Path("masks").iterdir()}
    assert sorted(masks) == ["a.png", "b.png"]
    assert ip2p(*command, "--save-mask", "masks").code == 0
    assert {path.name: path.stat().st_mtime_ns for path in Path("masks").iterdir()} == masks
    Path("masks/b.png").unlink()
    save_mask("masks/a.png", (0, 0, 9, 9), SIZE)  # not the mask of this edit, nor ours
    refused = ip2p(*command, "--save-mask", "masks")
    assert (refused.code, "masks/a.png exists already" in refused.err) == (4, True), refused.err
    assert Path("masks/b.png").exists()
    assert {path: path.stat().st_mtime_ns for path in Path("out").glob("*.png")} == before
    assert ip2p(*command, "--save-mask", "masks", "--overwrite").code == 0
    assert pixels("masks/a.png").mean() > 50
    one = ("edit", "in/a.png", "winter", "--auto-mask", "--seed", 1, "-o", "auto")
    assert ip2p(*one).code == 0
    assert ip2p(*one, "--save-mask", "auto.png").code == 0
    assert ip2p(*one, "--save-mask", "auto.png").code == 0
    assert pixels("auto.png").shape[1::-1] == SIZE


def test_in_jobs_recipes_and_variants(ip2p: Run, photo: str) -> None:
    Path("jobs.csv").write_text("input,instruction,region,output\nphoto.png,winter,the left half,a.png\n")
    assert ip2p("edit", "--jobs", "jobs.csv", "-o", "out").code == 0
    Path("recipe.yaml").write_text("name: one\nedits:\n  - {instruction: winter, region: the left half, feather: 0}\n")
    assert ip2p("chain", photo, "recipe.yaml", "-o", "chained").code == 0
    done = ip2p(
        "variants", photo, "winter", "--seeds", 1, "--region", "left", "-o", "v", "--steps", 2, "--batch-size", 1
    )
    assert done.code == 0, done.err
    for file in ("out/a.png", "chained/photo/final.png", done.out.strip()):
        different = changed(photo, file)
        assert different[:, :50].mean() > 0.9
        assert not different[:, 70:].any()
    taken_up = ip2p("variants", "--seeds", 1, "--dry-run", "-o", "w", "--resolution", 64, tiny=False)
    assert "region the left half" in taken_up.out, taken_up.err


def test_clipseg_is_part_of_what_decides_a_picture(ip2p: Run, photo: str, tiny_folder: Path) -> None:
    save_clipseg(Path("clipseg"), 9)
    words = ("edit", photo, "winter", "--region", "the car", "--seed", 1)
    missing = ip2p(*words, "-o", "out.png")
    assert (missing.code, "“the car” needs CLIPSeg" in missing.err) == (5, True), missing.err
    assert ip2p(*words, "--region-model", "clipseg", "-o", "out.png").code == 0
    model = ("--model", tiny_folder)
    unknown = ip2p("replay", "out.png", *model, "-o", "a.png", tiny=False)
    assert (unknown.code, "needs CLIPSeg" in unknown.err) == (5, True), unknown.err
    known = ip2p("replay", "out.png", *model, "--region-model", "clipseg", "-o", "a.png", tiny=False)
    assert "the same pixels" in known.err, known.err
    save_clipseg(Path("other"), 8)
    other = ip2p("replay", "out.png", *model, "--region-model", "other", "-o", "b.png", tiny=False)
    assert "region_by: clipseg" in ip2p("show", "b.png", "--json", tiny=False).out or "the same pixels" in other.err


def test_the_mask_command(ip2p: Run, photo: str) -> None:
    words = ("mask", photo, "--region", "the sky")
    done = ip2p(*words, "-o", "mask.png", "--heatmap", "heat.jpg", "--json", tiny=False)
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["output"], told["heatmap"], told["input"], told["size"]) == ("mask.png", "heat.jpg", photo, [120, 90])
    assert 0.35 < told["share"] < 0.5
    heat = pixels("heat.jpg").astype(int)
    assert np.ptp(heat[60:], axis=-1).max() < 12  # the ground is grey
    assert np.ptp(heat[:30], axis=-1).min() > 50
    refused = ip2p(*words, "-o", "mask.png", tiny=False)
    assert refused.code == 4
    assert "mask.png exists already: use --overwrite or another -o" in refused.err
    assert ip2p(*words, "-o", "mask.png", "--overwrite", "--quiet", tiny=False).err == ""
    assert ip2p(*words, tiny=False).out.strip() == "photo-mask.png"
    assert ip2p(*words, tiny=False).out.strip() == "photo-mask-2.png"
    shown = json.loads(ip2p("show", "mask.png", "--json", tiny=False).out)
    assert shown["mask"]["region"] == "the sky"


def test_masks_of_a_folder_fit_its_photos(ip2p: Run) -> None:
    for name in ("a", "deep/b", "c"):
        save_scene(f"in/{name}.png", sky=name != "c")
    done = ip2p("mask", "in", "-r", "--region", "the sky", "-o", "masks", "--heatmap", "masks", tiny=False)
    assert done.code == 3
    assert "2 of 3 photos masked" not in done.out
    assert "in/c.png: “the sky” was not found in it" in done.err
    assert {path.as_posix() for path in Path("masks").rglob("*.png")} == {
        "masks/a.png", "masks/deep/b.png", "masks/a-heat.png", "masks/deep/b-heat.png"
    }  # fmt: skip
    Path("in/c.png").unlink()
    assert ip2p("edit", "in", "winter", "-r", "--mask", "masks", "-o", "out").code == 0
    assert not changed("in/deep/b.png", "out/deep/b-winter.png")[60:].any()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["mask"], 2, "give a photo, and what may change or an instruction"),
        (["mask", "photo.png"], 2, "give a photo, and what may change or an instruction"),
        (["mask", "photo.png", "other.png"], 2, "other.png is a photo: the instruction comes last"),
        (["mask", "photo.png", "--region", "!"], 2, "--region: '!' names no part of a photo"),
        (["mask", "photo.png", "other.png", "--region", "left", "-o", "m.png"], 2, "there are several photos"),
        (["mask", "photo.png", "photo.jpg", "--region", "left", "-o", "m"], 2, "would both be m/photo.png"),
        (["mask", "none.png", "--region", "left"], 3, "none.png: no such file"),
        (["mask", "photo.png", "--region", "left", "-o", "m.png", "--heatmap", "m.png"], 2, "is the mask"),
        (["mask", "other.png", "--region", "the sky"], 3, "other.png: “the sky” was not found in it"),
        (["edit", "photo.png", "winter", "--save-mask", "m.png"], 2, "--save-mask needs --mask, --box or --region"),
        (["edit", "photo.png", "winter", "--box", "0,0,9,9", "--save-mask", "photo.png"], 4, "exists already"),
        (["edit", "photo.png", "winter", "--region-model", "m"], 2, "--region-model needs --region"),
    ],
)
def test_mistakes_are_one_line(ip2p: Run, photo: str, words: list[str], code: int, message: str) -> None:
    save_scene("other.png", sky=False)
    save_scene("photo.jpg")
    done = ip2p(*words, tiny=words[0] == "edit")
    lines = [line for line in done.err.splitlines() if line.startswith("error")]
    assert (done.code, len(lines)) == (code, 1), done.err
    assert message in done.err, done.err
    assert not Path("m.png").exists()
