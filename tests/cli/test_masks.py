"""Masks and boxes on the command line: what is outside stays, whatever the photo; records, jobs, chains, messages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ip2p_cli.io.images import read_image
from tests.cli.ip2p import Run, pixels, some_photo

SIZE = (97, 65)


def save_mask(name: str, box: tuple[int, int, int, int], size: tuple[int, int] = SIZE) -> np.ndarray:
    """Save a mask that is white in a box (left, top, right, bottom), and return where."""
    mask = Image.new("L", size)
    mask.paste(255, box)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    mask.save(name)
    return np.asarray(mask) > 0


def changed(first: Path | str, second: Path | str) -> np.ndarray:
    """Where two pictures differ, as ip2p reads them."""
    a, b = (np.asarray(read_image(Path(path)).rgb) for path in (first, second))
    different: np.ndarray = (a != b).any(axis=-1)
    return different


@pytest.mark.parametrize("mode", ["pad", "crop", "original"])
@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_outside_a_mask_the_photo_stays(ip2p: Run, photo: Path, mode: str, ending: str) -> None:
    white = save_mask("mask.png", (20, 10, 60, 50))
    done = ip2p("edit", photo, "winter", "--mask", "mask.png", "--resize-mode", mode, "-o", f"out.{ending}")
    assert done.code == 0, done.err
    different = (pixels(photo) != pixels(f"out.{ending}")).any(axis=-1)
    assert not different[~white].any()
    assert different[white].mean() > 0.9


def test_transparency_and_orientation(ip2p: Run, photo: Path) -> None:
    turned = some_photo().convert("RGBA")
    alpha = np.full((65, 97), 255, np.uint8)
    alpha[:, :30], alpha[:, 80:] = 130, 0
    turned.putalpha(Image.fromarray(alpha))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save("turned.png", exif=exif)
    white = save_mask("mask.png", (5, 30, 60, 90), (65, 97))
    assert (
        ip2p("edit", "turned.png", "winter", "--mask", "mask.png", "--output-size", "input", "-o", "out.png").code == 0
    )
    different = changed("turned.png", "out.png")
    assert not different[~white].any()
    assert different[white].any()
    before, after = read_image(Path("turned.png")).alpha, read_image(Path("out.png")).alpha
    assert before is not None
    assert after is not None
    assert before.tobytes() == after.tobytes()


def test_soft_borders_and_the_models_own_size(ip2p: Run, photo: Path) -> None:
    words = ("edit", photo, "winter", "--box", "20%,20%,40%,40%", "--grow", -2, "--feather", "5%", "--seed", 1)
    assert ip2p(*words, "-o", "out.png").code == 0
    different = (pixels(photo) != pixels("out.png")).any(axis=-1)
    assert different[26, 39]
    assert not different[:12].any()
    assert not different[:, 63:].any()
    assert ip2p(*words, "--output-size", "model", "-o", "small.png").code == 0
    assert ip2p("edit", photo, "winter", "--box", "90%,90%,1,1", "--output-size", "model", "-o", "other.png").code == 0
    small, other = pixels("small.png").astype(int), pixels("other.png").astype(int)
    assert small.shape == other.shape
    assert (small[:8] == other[:8]).all()


def test_all_white_is_no_mask(ip2p: Run, photo: Path) -> None:
    save_mask("mask.png", (0, 0, *SIZE))
    for steps in (1, 2):
        words = ("edit", photo, "winter", "--seed", 1, "--no-metadata", "--overwrite", "--steps", steps)
        assert ip2p(*words, "-o", "plain.png").code == 0
        for more in (["--mask", "mask.png", "--feather", 9], ["--box", "0,0,100%,100%", "--mask-steps", "last"]):
            assert ip2p(*words, *more, "-o", "masked.png").code == 0
            assert Path("masked.png").read_bytes() == Path("plain.png").read_bytes()


def test_the_record_and_replay(ip2p: Run, photo: Path, tiny_folder: Path) -> None:
    white = save_mask("masks/m.png", (0, 0, 50, 30))
    words = ("--mask", "masks/m.png", "--invert-mask", "--grow", 1, "--feather", 2, "--mask-steps", "last")
    assert ip2p("edit", photo, "winter", *words, "-o", "out.png").code == 0
    record = json.loads(ip2p("show", "out.png", "--json", tiny=False).out)["mask"]
    assert record.pop("sha256")
    assert record == {
        "file": "m.png",
        "path": "masks/m.png",
        "box": [],
        "invert_mask": True,
        "grow": 1,
        "feather": 2,
        "mask_steps": "last",
    }
    model = ("--model", tiny_folder)
    again = ip2p("replay", "out.png", *model, "-o", "again.png", tiny=False)
    assert again.code == 0, again.err
    assert "the same pixels" in again.err
    assert not (pixels("again.png") != pixels(photo)).any(axis=-1)[:20, :40][white[:20, :40]].any()
    Path("masks/m.png").rename("moved.png")
    gone = ip2p("replay", "out.png", *model, "-o", "gone.png", tiny=False)
    assert (gone.code, "the mask m.png: not found: name it, or the folder that it is in, with --mask" in gone.err) == (
        3,
        True,
    )
    found = ip2p("replay", "out.png", *model, "--mask", "moved.png", "-o", "found.png", tiny=False)
    assert "the same pixels" in found.err
    save_mask("moved.png", (0, 0, 20, 20))
    other = ip2p("replay", "out.png", *model, "--mask", "moved.png", "-o", "other.png", tiny=False)
    assert "the mask is another one" in other.err


def test_a_mask_for_each_photo_of_a_folder(ip2p: Run) -> None:
    Path("in/deep").mkdir(parents=True)
    for number, name in enumerate(("a", "b", "deep/c", "d")):
        some_photo(shift=number).save(f"in/{name}.png")
    whites = {"a": save_mask("masks/a.jpg", (0, 0, 40, 40)), "b": save_mask("masks/b.png", (50, 20, 97, 65))}
    whites["deep/c"] = save_mask("masks/c.tiff", (0, 50, 97, 65))
    done = ip2p("edit", "in", "winter", "-r", "--mask", "masks", "-o", "out", "--batch-size", 4, "--seed", 1)
    assert done.code != 0
    assert "error: masks: no mask for d.png: add a picture called d, for example d.png" in done.err.splitlines()
    for name, white in whites.items():
        different = changed(f"in/{name}.png", f"out/{name}-winter.png")
        assert different[white].mean() > 0.5
        if name == "a":  # the black of a JPEG is not exact near its white
            white = white.copy()
            white[:48, :48] = True
        assert not different[~white].any()
    save_mask("masks/d.png", (0, 0, 9, 9))
    assert ip2p("edit", "in", "winter", "-r", "--mask", "masks", "-o", "out", "--batch-size", 4, "--seed", 1).code == 0
    save_mask("masks/d.png", (0, 0, 19, 19))
    refused = ip2p("edit", "in", "winter", "-r", "--mask", "masks", "-o", "out", "--batch-size", 4, "--seed", 1)
    assert (refused.code, "sha256" in refused.err) == (2, True)


def test_a_masked_edit_beside_one_without(ip2p: Run) -> None:
    """A batch gives what single edits give."""
    for number in range(2):
        some_photo(shift=number).save(f"{number}.png")
    save_mask("m.png", (10, 10, 40, 40))
    rows = [
        {"input": "0.png", "instruction": "winter", "mask": "m.png", "feather": "2%", "grow": 1, "output": "a.png"},
        {"input": "1.png", "instruction": "winter", "output": "b.png"},
        {"input": "1.png", "instruction": "winter", "box": [5, 5, "20%", 30], "mask_steps": "last", "output": "c.png"},
    ]
    Path("jobs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for size in (1, 3):
        done = ip2p("edit", "--jobs", "jobs.jsonl", "-o", f"out{size}", "--batch-size", size, "--seed", 3)
        assert done.code == 0, done.err
    for name in "abc":
        assert np.abs(pixels(f"out1/{name}.png").astype(int) - pixels(f"out3/{name}.png")).max() <= 1
    assert ip2p("edit", "1.png", "winter", "--seed", 3, "-o", "plain.png").code == 0
    assert (pixels("plain.png") == pixels("out1/b.png")).all()
    assert not changed("1.png", "out3/c.png")[40:].any()


def test_csv_columns(ip2p: Run, photo: Path) -> None:
    save_mask("m.png", (10, 10, 40, 40))
    Path("jobs.csv").write_text(
        "input,instruction,mask,box,invert_mask,output\n"
        'photo.png,winter,m.png,"0,0,50%,100%; 60,0,9,9",true,a.png\n'
        "photo.png,winter,,,,b.png\n"
    )
    done = ip2p("edit", "--jobs", "jobs.csv", "-o", "out")
    assert done.code == 0, done.err
    different = changed(photo, "out/a.png")
    assert not different[12:38, 12:38].any()
    assert different[50, 10]
    assert different[4, 64]
    assert not different[20:, 70:].any()
    assert changed(photo, "out/b.png")[20:, 70:].any()
    Path("jobs.csv").write_text("input,instruction,feather\nphoto.png,winter,5\n")
    assert "jobs.csv, row 1: feather needs mask, box or region" in ip2p("edit", "--jobs", "jobs.csv", "-o", "o").err


def test_variants_keep_the_outside_and_take_up_the_mask(ip2p: Run, photo: Path) -> None:
    white = save_mask("m.png", (10, 10, 60, 60))
    words = ("--batch-size", 3, "--steps", 2, "--resolution", 64)
    done = ip2p("variants", photo, "winter", "--seeds", 3, "--mask", "m.png", "-o", "v", *words[:2])
    assert done.code == 0, done.err
    for line in done.out.split():
        assert not changed(photo, line)[~white].any()
    assert ip2p("edit", photo, "winter", "--mask", "m.png", "--seed", 5, "-o", "last.png").code == 0
    again = ip2p("variants", "--seeds", 1, "--seed", 5, "-o", "w", *words, tiny=False)
    assert again.code == 0, again.err
    assert (pixels(again.out.strip()) == pixels("last.png")).all()


@pytest.mark.parametrize("handoff", ["latent", "pixels"])
def test_five_masked_edits_leave_the_rest_alone(ip2p: Run, photo: Path, handoff: str, tiny_folder: Path) -> None:
    boxes = [(0, 0, 20, 20), (15, 10, 40, 30), (30, 0, 60, 15), (0, 30, 30, 50), (20, 20, 50, 45)]
    whites = [save_mask(f"masks/{number}.png", box) for number, box in enumerate(boxes)]
    edits = [f"  - {{instruction: look {n}, mask: masks/{n}.png, name: e{n}}}" for n in range(5)]
    edits[3] = "  - {instruction: look 3, box: '0,30,30,20', name: e3, feather: 0}"
    Path("recipe.yaml").write_text("\n".join(["name: five", f"handoff: {handoff}", "edits:", *edits]))
    done = ip2p("chain", photo, "recipe.yaml", "-o", "out", "--seed", 1)
    assert done.code == 0, done.err
    before, union = photo, np.zeros_like(whites[0])
    for number, white in enumerate(whites):
        after = Path(f"out/photo/0{number + 1}-e{number}.png")
        different = changed(before, after)
        assert not different[~white].any()
        assert different[white].mean() > 0.5
        before, union = after, union | white
    assert not changed(photo, "out/photo/final.png")[~union].any()
    replayed = ip2p("replay", "out/photo/final.png", "--model", tiny_folder, "-o", "again.png", tiny=False)
    assert "the same pixels" in replayed.err, replayed.err
    checked = ip2p("chain", "recipe.yaml", "--check")
    assert "mask masks/4.png" in checked.out
    assert "box 0,30,30,20" in checked.out


def test_a_chain_goes_on_from_what_masked_edits_left(ip2p: Run, photo: Path) -> None:
    save_mask("m.png", (10, 10, 60, 60))
    words = ["chain", photo, "--edit", "winter", "--edit", "night", "--mask", "m.png", "--seed", 1, "-o"]
    assert ip2p(*words, "whole").code == 0
    assert ip2p(*words, "parts", "--until", 1).code == 0
    assert ip2p(*words, "parts", "--redo").code == 0
    assert (pixels("whole/photo/final.png") == pixels("parts/photo/final.png")).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mask", "none.png"], "none.png: no such file"),
        (["--mask", "black.png"], "black.png: nothing in it is white"),
        (["--mask", "tall.png"], "tall.png: a mask of 30 x 90 does not fit the photo of 97 x 65"),
        (["--mask", "text.png"], "text.png"),
        (["--box", "1,2,3"], "--box: 1,2,3 is not possible"),
        (["--box", "200,0,5,5"], "box 200,0,5,5 lies outside the photo of 97 x 65"),
        (["--feather", "2%"], "--feather needs --mask, --box or --region"),
        (["--invert-mask"], "--invert-mask needs --mask, --box or --region"),
        (["--box", "0,0,9,9", "--grow", "-9"], "nothing is left of it after --grow -9"),
    ],
)
@pytest.mark.parametrize("command", ["edit", "variants", "chain"])
def test_a_mask_that_does_not_fit_is_one_line(
    ip2p: Run, photo: Path, command: str, words: list[str], message: str
) -> None:
    Image.new("L", SIZE).save("black.png")
    Image.new("L", (30, 90), 255).save("tall.png")
    Path("text.png").write_text("no picture")
    edit = ["--edit", "winter"] if command == "chain" else ["winter"]
    done = ip2p(command, photo, *edit, *words, "-o", "out.png" if command == "edit" else "out")
    assert done.code in (2, 3), done.err
    lines = [line for line in done.err.splitlines() if "error" in line]
    assert len(lines) == 1, done.err
    assert message in done.err.replace("\n", " "), done.err


def test_a_dry_run_shows_masks(ip2p: Run, photo: Path) -> None:
    save_mask("m.png", (10, 10, 60, 60))
    words = ("edit", photo, "winter", "--mask", "m.png", "--feather", 3, "-o", "out.png", "--dry-run")
    assert "(mask m.png, feather 3)" in ip2p(*words).out
    shown = json.loads(ip2p(*words, "--json").out)["mask"]
    assert (shown["file"], shown["feather"]) == ("m.png", 3)
