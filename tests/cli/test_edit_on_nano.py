"""`ip2p edit` on a real photo with the embedded model: images in and out, records, presets, what shows the result."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from tests.cli.ip2p import Done, Run, pixels

pytestmark = pytest.mark.slow

SAMPLE = Path(__file__).parents[2] / "samples" / "landscape.jpg"
SIZE = (200, 131)


@pytest.fixture
def nano(ip2p: Run) -> Run:
    def run(*words: object) -> Done:
        done: Done = ip2p(*words, "--model", "nano", tiny=False)
        return done

    return run


@pytest.fixture
def photo(ip2p: Run) -> Image.Image:
    """A photo as a camera leaves it, in photo.jpg: turned on its side, with a profile, a place, and a camera's name."""
    with Image.open(SAMPLE) as image:
        small = image.convert("RGB").resize(SIZE)
    exif = Image.Exif()
    exif[0x0110], exif[0x0112] = "A camera", 6
    exif.get_ifd(0x8825).update({1: "N", 2: (47.0, 0.0, 0.0), 3: "E", 4: (8.0, 0.0, 0.0)})
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    small.rotate(90, expand=True).save("photo.jpg", exif=exif, icc_profile=profile, quality=95)
    return small


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tiff", "avif"])
def test_formats_with_all_that_they_carry(ip2p: Run, nano: Run, photo: Image.Image, ending: str) -> None:
    done = nano("edit", "photo.jpg", "make it winter", "-o", f"out.{ending}", "--strip-location", "--quality", 95)
    assert done.code == 0, done.err
    with Image.open(f"out.{ending}") as image:
        assert image.size == SIZE
        exif = image.getexif()
        assert exif[0x0110] == "A camera"
        assert exif.get(0x0112, 1) == 1
        assert not exif.get_ifd(0x8825)
        assert image.info.get("icc_profile")
        edited = np.asarray(image.convert("RGB"), dtype=float)
    before = np.asarray(photo, dtype=float)
    # Snow: brighter and less colourful, at the same places.
    assert edited.mean() > before.mean() + 5
    assert np.corrcoef(edited.mean(axis=2).ravel(), before.mean(axis=2).ravel())[0, 1] > 0.4  # plants turn white
    record = json.loads(ip2p("show", f"out.{ending}", "--json", tiny=False).out)
    assert (record["instruction"], record["model"]) == ("make it winter", "nano")


@pytest.mark.parametrize("fit", ["pad", "crop", "original"])
@pytest.mark.parametrize("size", [(37, 300), (1, 1), (640, 41)])
def test_odd_sizes_come_back(nano: Run, photo: Image.Image, fit: str, size: tuple[int, int]) -> None:
    photo.resize(size).save("odd.png")
    done = nano("edit", "odd.png", "make it vintage", "-o", "out.png", "--resize-mode", fit, "--resolution", 128)
    if done.code == 0:
        assert pixels("out.png").shape[1::-1] == size
    else:  # refused in a line
        assert done.code in (2, 3)
        assert done.err.count("\n") == 1


def test_alpha_stays(nano: Run, photo: Image.Image) -> None:
    alpha = Image.linear_gradient("L").resize(SIZE)
    photo.putalpha(alpha)
    photo.save("cut.png")
    assert nano("edit", "cut.png", "make it night", "-o", "out.png").code == 0
    assert (pixels("out.png")[..., 3] == np.asarray(alpha)).all()


def test_replay_gives_the_same_pixels(nano: Run, photo: Image.Image) -> None:
    nano("edit", "photo.jpg", "turn it into a pencil sketch", "-o", "out.png", "--cfg-text", 4, "--steps", 2)
    done = nano("replay", "out.png", "--json")
    said = json.loads(done.out)
    assert (said["largest_difference"], said["differences"]) == (0, [])
    assert (pixels("out.png") == pixels(said["output"])).all()
    more = json.loads(nano("replay", "out.png", "--set", "seed=9", "--json").out)
    assert more["largest_difference"] > 0


@pytest.mark.parametrize("preset", ["fast", "balanced"])
def test_presets(nano: Run, photo: Image.Image, preset: str) -> None:
    done = nano("edit", "photo.jpg", "make it golden hour", "-o", f"{preset}.png", "--preset", preset, "--json")
    assert done.code == 0, done.err
    assert pixels(f"{preset}.png").shape[1::-1] == SIZE


def test_what_shows_before_and_after(nano: Run, photo: Image.Image) -> None:
    done = nano("edit", "photo.jpg", "make it winter", "-o", "out.png", "--compare", "--gif", "--preview")
    assert done.code == 0, done.err
    assert "█" in done.err or "▀" in done.err or "\x1b" in done.err or "preview" in done.err
    with Image.open("out-compare.png") as image:
        assert image.width > 2 * SIZE[0] - 1
    with Image.open("out.gif") as image:
        assert getattr(image, "n_frames", 1) > 1


def test_a_broken_photo_of_a_batch_leaves_the_others(nano: Run, photo: Image.Image) -> None:
    ImageOps.mirror(photo).save("b.png")
    Path("c.jpg").write_bytes(Path("photo.jpg").read_bytes()[:900])
    done = nano("edit", "photo.jpg", "b.png", "c.jpg", "make it winter", "-o", "out/", "--seed", 3)
    assert done.code == 3
    assert "1 of 3 photos failed" in done.err
    assert sorted(path.stem for path in Path("out").glob("*winter*")) == ["b-make-it-winter", "photo-make-it-winter"]
