"""Writing that never harms what is there."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ip2p_cli.errors import OutputError, UsageError
from ip2p_cli.io import output
from ip2p_cli.io.images import read_image
from ip2p_cli.io.output import check_output
from tests.io.pictures import CLOSE, difference, saved, smooth, write_image


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.png", "PNG"),
        ("a.jpg", "JPEG"),
        ("a.JPEG", "JPEG"),
        ("a.webp", "WEBP"),
        ("a.tif", "TIFF"),
        ("a.tiff", "TIFF"),
        ("a.avif", "AVIF"),
    ],
)
def test_the_extension_gives_the_format(tmp_path: Path, name: str, kind: str) -> None:
    write_image(smooth(), tmp_path / name, overwrite=False)
    with Image.open(tmp_path / name) as image:
        assert image.format == kind
    exact = kind in ("PNG", "TIFF")
    assert difference(read_image(tmp_path / name).rgb, smooth()) <= (0 if exact else CLOSE)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_quality_is_bounded(tmp_path: Path) -> None:
    for quality in (0, 101):
        with pytest.raises(UsageError, match=f"quality {quality} is out of range: use 1 to 100"):
            write_image(smooth(), tmp_path / "a.jpg", overwrite=False, quality=quality)
    assert not list(tmp_path.iterdir())


def test_quality_counts(tmp_path: Path) -> None:
    for quality in (30, 95):
        write_image(smooth(), tmp_path / f"{quality}.jpg", overwrite=False, quality=quality)
    assert (tmp_path / "30.jpg").stat().st_size < (tmp_path / "95.jpg").stat().st_size


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp", "a.avif"])
def test_alpha_goes_through(tmp_path: Path, name: str) -> None:
    image = Image.new("RGBA", (32, 32), (200, 100, 50, 255))
    image.putalpha(Image.linear_gradient("L").resize((32, 32)))
    picture = read_image(saved(tmp_path, image, "in.png"))
    write_image(picture.rgb, tmp_path / name, overwrite=False, alpha=picture.alpha)
    again = read_image(tmp_path / name)
    assert picture.alpha is not None
    assert again.alpha is not None
    assert difference(again.alpha, picture.alpha) <= (0 if name != "a.avif" else 4)
    assert difference(again.rgb, picture.rgb) <= (1 if name in ("a.png", "a.tif") else CLOSE)


def test_an_unedited_picture_keeps_its_colours_under_alpha(tmp_path: Path) -> None:
    image = Image.new("RGBA", (1, 3), (200, 100, 50, 128))
    picture = read_image(saved(tmp_path, image, "in.png"))
    write_image(picture.rgb, tmp_path / "a.png", overwrite=False, alpha=picture.alpha)
    with Image.open(tmp_path / "a.png") as out:
        assert np.abs(np.array(out.getpixel((0, 0))) - (200, 100, 50, 128)).max() <= 1


def test_jpeg_lays_alpha_on_white(tmp_path: Path) -> None:
    alpha = Image.new("L", (32, 32), 0)
    alpha.paste(255, (0, 0, 16, 32))
    write_image(Image.new("RGB", (32, 32), "navy"), tmp_path / "a.jpg", overwrite=False, alpha=alpha)
    rgb = read_image(tmp_path / "a.jpg").rgb
    assert np.abs(np.array(rgb.getpixel((2, 2))) - (0, 0, 128)).max() <= CLOSE
    assert min(np.array(rgb.getpixel((29, 29)))) >= 255 - CLOSE


@pytest.mark.parametrize("name", ["a", "a.xyz", "a.gif", ".png", "a.png.bak"])
def test_unknown_extension_lists_the_known(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"use one of \.png \.jpg \.jpeg \.webp \.tif \.tiff"):
        check_output(tmp_path / name, overwrite=False)
    with pytest.raises(UsageError):
        write_image(smooth(), tmp_path / name, overwrite=True)
    assert not list(tmp_path.iterdir())


def test_pillow_without_a_codec_does_not_offer_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.features, "check", lambda _: False)
    with pytest.raises(UsageError, match=r"cannot write \.avif files here: use one of \.png \.jpg \.jpeg$"):
        check_output(tmp_path / "a.avif", overwrite=False)


def test_existing_output(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("mine")
    for act in (lambda: check_output(path, overwrite=False), lambda: write_image(smooth(), path, overwrite=False)):
        with pytest.raises(OutputError, match=r"a\.png exists already: use --overwrite or another -o$"):
            act()
    assert path.read_text() == "mine"
    write_image(smooth(), path, overwrite=True)
    assert difference(read_image(path).rgb, smooth()) == 0


@pytest.mark.parametrize("links", [True, False])
def test_of_two_writers_one_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    if not links:

        def unsupported(*_: object) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(Path, "hardlink_to", unsupported)
    path, start, outcomes = tmp_path / "a.png", threading.Barrier(4), []
    # All have passed the early check when the first of them writes.
    monkeypatch.setattr(output, "_encode", lambda *_: (start.wait(10), b"a picture")[1])

    def write() -> None:
        try:
            write_image(smooth(), path, overwrite=False)
            outcomes.append("written")
        except OutputError as error:
            outcomes.append("refused" if "exists already" in str(error) else str(error))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused"] * 3 + ["written"]
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"a picture"]


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if overwrite:
        (tmp_path / "a.png").write_text("mine")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"a\.png: no space left on device: choose another place with -o$"):
        write_image(smooth(), tmp_path / "a.png", overwrite=overwrite)
    assert [p.read_text() for p in tmp_path.iterdir()] == (["mine"] if overwrite else [])


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "hardlink_to", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_image(smooth(), tmp_path / "a.png", overwrite=False)
    assert not list(tmp_path.iterdir())


def test_a_reserved_name_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "hardlink_to", fails)
    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OutputError, match="input/output error"):
        write_image(smooth(), tmp_path / "a.png", overwrite=False)
    assert not list(tmp_path.iterdir())


def test_permissions_follow_the_umask_or_the_file_replaced(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_image(smooth(), tmp_path / "a.png", overwrite=False)
        assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o640
        (tmp_path / "a.png").chmod(0o600)
        write_image(smooth(), tmp_path / "a.png", overwrite=True)
        assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o600
    finally:
        os.umask(old)


def test_overwriting_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    (tmp_path / "real.png").touch()
    (tmp_path / "link.png").symlink_to("real.png")
    with pytest.raises(OutputError, match="exists already"):
        write_image(smooth(), tmp_path / "link.png", overwrite=False)
    write_image(smooth(), tmp_path / "link.png", overwrite=True)
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "real.png").stat().st_size > 0


def test_places_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def problem(path: Path, overwrite: bool = False) -> str:
        with pytest.raises(OutputError) as caught:
            check_output(path, overwrite)
        return str(caught.value)

    missing = tmp_path / "new" / "deep"
    assert problem(missing / "a.png").endswith(f"there is no folder {missing}: mkdir -p {missing}")
    assert "is a folder: name a file in it, for example" in problem(tmp_path)
    assert "file name too long" in problem(tmp_path / ("a" * 300 + ".png"))
    os.mkfifo(tmp_path / "pipe.png")
    assert "not a regular file" in problem(tmp_path / "pipe.png", overwrite=True)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "cannot be written to: choose another one with -o" in problem(tmp_path / "a.png")


def test_a_side_too_long_for_the_format(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"WEBP holds at most 16383 pixels a side: use \.png or \.tiff"):
        write_image(Image.new("RGB", (16_384, 1)), tmp_path / "a.webp", overwrite=False)


def test_an_encoder_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("encoder error -2")

    monkeypatch.setattr(Image.Image, "save", broken)
    with pytest.raises(OutputError, match=r"cannot be written as JPEG \(encoder error -2\): use \.png"):
        write_image(smooth(), tmp_path / "a.jpg", overwrite=False)


@pytest.mark.parametrize("source", ["a.jpg", "a.png", "a.tif"])
@pytest.mark.parametrize("name", ["b.jpg", "b.png", "b.tif", "b.webp", "b.avif"])
def test_11_the_resolution_is_carried_over(tmp_path: Path, source: str, name: str) -> None:
    picture = read_image(saved(tmp_path, smooth(), source, dpi=(300, 300)))
    assert picture.density == pytest.approx((300, 300), abs=0.1)
    write_image(picture.rgb, tmp_path / name, overwrite=False, density=picture.density)
    with Image.open(tmp_path / name) as image:
        assert float(image.info.get("dpi", (image.getexif().get(282),))[0]) == pytest.approx(300, abs=0.1)
