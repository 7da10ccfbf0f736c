"""Everything that decides an output's bytes is part of its key; what belongs to an item is made with it, also later."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.ip2p import Run, some_photo

GPS = 0x8825


@pytest.fixture
def located() -> Path:
    """A photo with a GPS position, in a folder."""
    Path("in").mkdir()
    exif = Image.Exif()
    exif.get_ifd(GPS)[1] = "N"
    some_photo().save("in/a.jpg", exif=exif)
    return Path("in")


def gps(path: str) -> bool:
    with Image.open(path) as image:
        return bool(image.getexif().get_ifd(GPS))


@pytest.mark.parametrize("command", ["edit", "chain"])
def test_how_a_picture_is_saved_decides_it(ip2p: Run, located: Path, command: str) -> None:
    words = ["edit", located, "winter"] if command == "edit" else ["chain", located, "--edit", "winter"]
    words += ["-o", "out", "--seed", 1, "--format", "jpg"]
    picture = "out/a-winter.jpg" if command == "edit" else "out/a/final.jpg"
    assert ip2p(*words).code == 0
    assert gps(picture)
    for flag, change in (
        ("--strip-location", "strip_location False, now True"),
        ("--no-metadata", "metadata True, now False"),
        ("--quality=50", "quality 92, now 50"),
    ):
        refused = ip2p(*words, flag)
        assert (refused.code, change in refused.err) == (2, True), refused.err
    assert ip2p(*words, "--strip-location", "--redo", "--overwrite").code == 0
    assert not gps(picture)


@pytest.mark.parametrize(
    ("flag", "name"),
    [("--compare", "a-winter-compare.png"), ("--gif", "a-winter.gif"), ("--sidecar", "a-winter.jpg.json")],
)
def test_what_lies_beside_a_picture_is_made_later_too(
    ip2p: Run, located: Path, flag: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("edit", located, "winter", "-o", "out", "--seed", 1)
    assert ip2p(*words).code == 0
    picture = Path("out/a-winter.jpg").read_bytes()
    done = ip2p(*words, flag)
    assert done.code == 0, done.err
    made = Path("out", name).read_bytes()
    assert Path("out/a-winter.jpg").read_bytes() == picture
    assert ip2p("edit", located, "winter", "-o", "both", "--seed", 1, flag).code == 0
    assert Path("both", name).read_bytes() == made
    Path("out", name).unlink()  # as after a kill
    assert ip2p(*words, flag).code == 0
    assert Path("out", name).read_bytes() == made
    monkeypatch.setattr("ip2p_cli.editing.model_choice.ModelChoice.load", lambda *_: pytest.fail("a model was loaded"))
    assert "0 of 1 photos edited, 1 done before" in ip2p(*words, flag).err


def test_quality_counts_for_variants(ip2p: Run, photo: Path) -> None:
    sizes = []
    for quality in (30, 95):
        out = f"q{quality}"
        done = ip2p("variants", photo, "winter", "--seeds", 1, "-o", out, "--format", "jpg", "--quality", quality)
        assert done.code == 0, done.err
        sizes.append(Path(done.out.strip()).stat().st_size)
    assert sizes[0] < sizes[1]


def test_another_model_takes_its_own_settings(ip2p: Run, photo: Path, tiny_folder: Path) -> None:
    assert (
        ip2p("edit", photo, "make it winter", "--model", "nano", "--resolution", 64, "-o", "a.png", tiny=False).code
        == 0
    )
    done = ip2p("variants", "--seeds", 1, "--model", tiny_folder, "--dry-run", "--json", "-o", "v", tiny=False)
    assert done.code == 0, done.err
    settings = json.loads(done.out)
    assert (settings["steps"], settings["cfg_text"], settings["resolution"]) == (100, 7.5, 512)


def test_weights_that_are_not_here_are_no_difference(ip2p: Run, photo: Path) -> None:
    from ip2p_cli.jobs.plan import difference

    then = {"edits": {"1": {"model": "m", "weights": "1234", "steps": 2}}}
    now = {"edits": {"1": {"model": "m", "weights": None, "steps": 2}}}
    assert difference(then, now) is None
    assert difference(then, {"edits": {"1": {"model": "m", "weights": None, "steps": 3}}}) == "steps 2, now 3"
