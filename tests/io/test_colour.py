"""Colour profiles: a photo's numbers become those of sRGB."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from ip2p_cli.io.colour import srgb_profile, to_srgb
from ip2p_cli.io.images import read_image
from tests.io.pictures import write_image

# The colorants on D50 of sRGB, and of a wider gamut: Display P3.
SRGB = {"rXYZ": (0.43607, 0.22249, 0.01392), "gXYZ": (0.38515, 0.71687, 0.09708), "bXYZ": (0.14307, 0.06061, 0.7141)}
P3 = {"rXYZ": (0.51512, 0.2412, -0.00105), "gXYZ": (0.29198, 0.69225, 0.04189), "bXYZ": (0.1571, 0.06657, 0.78407)}


def profile_with(colorants: dict[str, tuple[float, float, float]]) -> bytes:
    """A matrix profile: sRGB's curves, other primaries."""
    data = bytearray(srgb_profile())
    for index in range(int.from_bytes(data[128:132], "big")):
        entry = 132 + 12 * index
        name, at = data[entry : entry + 4].decode(), int.from_bytes(data[entry + 4 : entry + 8], "big")
        for place, value in enumerate(colorants.get(name, ())):
            data[at + 8 + 4 * place : at + 12 + 4 * place] = round(value * 65536).to_bytes(4, "big", signed=True)
    return bytes(data)


def profile_of(space: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr", connection: bytes = b"XYZ ") -> bytes:
    """A profile made of tags: its head, the table of tags, their values."""
    tags = {
        b"desc": b"desc" + bytes(4) + (5).to_bytes(4, "big") + b"test\0" + bytes(78),
        b"wtpt": b"XYZ " + bytes(4) + b"".join(round(v * 65536).to_bytes(4, "big") for v in (0.9642, 1, 0.8249)),
        **tags,
    }
    table, body, at = len(tags).to_bytes(4, "big"), b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + (at + len(body)).to_bytes(4, "big") + len(value).to_bytes(4, "big")
        body += value + bytes(-len(value) % 4)
    head = bytearray(srgb_profile()[:128])
    head[0:4] = (128 + len(table) + len(body)).to_bytes(4, "big")
    head[8:24] = b"\2\x40\0\0" + kind + space + connection
    return bytes(head) + table + body


def grey_profile(gamma: float) -> bytes:
    """A minimal grey profile with one curve."""
    curve = b"curv" + bytes(4) + (1).to_bytes(4, "big") + round(gamma * 256).to_bytes(2, "big") + bytes(2)
    return profile_of(b"GRAY", {b"kTRC": curve})


def ink_profile() -> bytes:
    """A CMYK profile in which every ink is the same grey: full cyan is half as light as paper, all inks are black."""
    ramp = bytes(range(256))
    matrix = b"".join((65536 * (n % 4 == 0)).to_bytes(4, "big") for n in range(9))
    lightness = [255, 128, 64, 32, 0]
    corners = b"".join(bytes([lightness[bin(n).count("1")], 128, 128]) for n in range(16))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + ramp * 4 + corners + ramp * 3
    return profile_of(b"CMYK", {b"A2B0": lut}, b"prtr", b"Lab ")


def in_srgb(colour: tuple[int, int, int]) -> np.ndarray:
    """A Display P3 colour in sRGB, by IEC 61966-2-1's curve and the matrices of the colorants."""
    encoded = np.array(colour) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    linear = np.linalg.solve(np.array(list(SRGB.values())).T, np.array(list(P3.values())).T @ linear).clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def first(image: Image.Image) -> Any:
    return image.getpixel((0, 0))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp", "a.avif"])
def test_a_wider_gamut_is_brought_to_srgb(tmp_path: Path, name: str) -> None:
    Image.new("RGB", (16, 16), (200, 100, 50)).save(tmp_path / name, icc_profile=profile_with(P3))
    picture = read_image(tmp_path / name)
    assert picture.notes == ()
    exact = name in ("a.png", "a.tif")
    assert np.abs(in_srgb((200, 100, 50)) - (200, 100, 50)).max() > 15
    assert np.abs(np.array(first(picture.rgb)) - in_srgb((200, 100, 50))).max() <= (1 if exact else 6)


def test_srgb_itself_changes_nothing(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png", icc_profile=srgb_profile())
    assert (np.asarray(read_image(tmp_path / "a.png").rgb) == noise).all()
    image = Image.fromarray(noise)
    assert to_srgb(image, srgb_profile()) is image


def test_alpha_is_not_a_colour(tmp_path: Path) -> None:
    image = Image.new("RGBA", (4, 4), (200, 100, 50, 255))
    image.putalpha(Image.linear_gradient("L").resize((4, 4)))
    image.save(tmp_path / "a.png", icc_profile=profile_with(P3))
    picture = read_image(tmp_path / "a.png")
    assert picture.alpha is not None
    assert (np.asarray(picture.alpha) == np.asarray(image.getchannel("A"))).all()
    assert np.abs(np.array(first(picture.rgb)) - 255).max() <= 30, "nearly clear, on white"


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_profiles(tmp_path: Path, mode: str) -> None:
    image = Image.new(mode, (4, 4), 128 if mode == "L" else (128, 200))
    image.save(tmp_path / "a.png", icc_profile=grey_profile(1.0))
    picture = read_image(tmp_path / "a.png")
    assert picture.notes == ()
    seen = 188 if mode == "L" else 188 * 200 / 255 + 55  # linear half is 188 in sRGB; LA then lies on white
    assert np.abs(np.array(first(picture.rgb)) - seen).max() <= 2


def test_grey_with_a_profile_for_colours(tmp_path: Path) -> None:
    Image.new("L", (4, 4), 128).save(tmp_path / "a.jpg", icc_profile=profile_with(P3))
    picture = read_image(tmp_path / "a.jpg")
    assert picture.notes == ()
    assert np.abs(np.array(first(picture.rgb)) - 128).max() <= 1


@pytest.mark.parametrize("name", ["a.tif", "a.jpg"])
def test_inks_mean_what_their_profile_says(tmp_path: Path, name: str) -> None:
    inks = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    inks.paste((0, 0, 0, 0), (0, 0, 8, 16))
    inks.save(tmp_path / name, icc_profile=ink_profile())
    picture = read_image(tmp_path / name)
    assert picture.notes == ()
    paper, cyan = picture.rgb.getpixel((2, 8)), picture.rgb.getpixel((14, 8))
    assert np.abs(np.array(paper) - 255).max() <= 2
    assert np.abs(np.array(cyan) - 119).max() <= 4, "L* 50 is 119 in sRGB"


def test_palettes_are_colours_too(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (200, 100, 50)).quantize(4).save(tmp_path / "a.png", icc_profile=profile_with(P3))
    assert np.abs(np.array(first(read_image(tmp_path / "a.png").rgb)) - in_srgb((200, 100, 50))).max() <= 1


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        (b"garbage", "is broken"),
        (srgb_profile()[:200], "is broken"),
        (srgb_profile()[:300] + bytes(len(srgb_profile()) - 300), "is broken"),
        (grey_profile(1.0), "is for GRAY and not for RGB"),
    ],
)
def test_profiles_that_do_not_serve_are_ignored_and_it_is_said(tmp_path: Path, profile: bytes, words: str) -> None:
    Image.new("RGB", (4, 4), (200, 100, 50)).save(tmp_path / "a.png", icc_profile=profile)
    picture = read_image(tmp_path / "a.png")
    assert picture.notes == (f"its colour profile {words} and was ignored",)
    assert first(picture.rgb) == (200, 100, 50)


def test_random_damage_to_a_profile_never_refuses_the_photo(tmp_path: Path) -> None:
    whole, random = profile_with(P3), np.random.default_rng(1)
    for _ in range(60):
        data = bytearray(whole)
        for at in random.integers(0, len(data), 4):
            data[at] = random.integers(0, 256)
        Image.new("RGB", (4, 4), (200, 100, 50)).save(tmp_path / "a.png", icc_profile=bytes(data))
        assert read_image(tmp_path / "a.png").rgb.mode == "RGB"


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp", "a.avif"])
def test_outputs_are_tagged(tmp_path: Path, name: str) -> None:
    write_image(Image.new("RGB", (8, 8)), tmp_path / name, overwrite=False)
    with Image.open(tmp_path / name) as image:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)
        assert {"exif", "xmp", "parameters", "ip2p"} & set(image.info) == set()
    assert srgb_profile()[24:36] == bytes([7, 208, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]), "the same bytes on every day"
