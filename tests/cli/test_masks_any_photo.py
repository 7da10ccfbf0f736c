"""Outside a mask nothing changes, whatever the photo is; a white mask changes nothing anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ip2p_cli.io.images import read_image
from tests.cli.ip2p import Run, some_photo

ORIENTATION = 0x0112
# Every example writes its own files; the model is loaded in each.
FEW = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

photos = st.fixed_dictionaries(
    {
        "width": st.integers(20, 140),
        "height": st.integers(20, 140),
        "ending": st.sampled_from(["png", "webp", "tiff"]),
        "orientation": st.integers(1, 8),
        "mode": st.sampled_from(["RGB", "RGBA", "L", "LA", "P"]),
        "out": st.sampled_from(["png", "tiff"]),
        "resize_mode": st.sampled_from(["pad", "crop"]),
        "seed": st.integers(0, 99),
    }
).filter(
    lambda one: one["resize_mode"] == "pad" or max(one["width"], one["height"]) < 2 * min(one["width"], one["height"])
)


def save_photo(given: dict[str, Any]) -> Path:
    """Write a photo as the example says, without loss."""
    image = some_photo(given["width"], given["height"], given["seed"]).convert("RGBA")
    if given["mode"] in ("RGBA", "LA"):
        rng = np.random.default_rng(given["seed"])
        image.putalpha(Image.fromarray(rng.integers(0, 256, (given["height"], given["width"]), np.uint8)))
    mode = given["mode"] if given["ending"] != "webp" or given["mode"] == "RGBA" else "RGB"
    image = image.convert("RGB").convert(mode) if mode in ("P", "L", "RGB") else image.convert(mode)
    exif = Image.Exif()
    exif[ORIENTATION] = given["orientation"]
    path = Path(f"photo.{given['ending']}")
    image.save(path, exif=exif, **({"lossless": True, "exact": True} if given["ending"] == "webp" else {}))
    return path


def edited(ip2p: Run, photo: Path, given: dict[str, Any], *words: object, name: str = "out") -> np.ndarray:
    out = Path(f"{name}.{given['out']}")
    done = ip2p(
        *("edit", photo, "winter", "--seed", 1, "--resize-mode", given["resize_mode"]),
        *(*words, "-o", out, "--overwrite"),
    )
    assert done.code == 0, done.err
    picture = read_image(out)
    alpha = Image.new("L", picture.rgb.size, 255) if picture.alpha is None else picture.alpha
    return np.dstack([np.asarray(picture.rgb), np.asarray(alpha)])


@FEW
@given(photos, st.lists(st.floats(0, 0.9), min_size=4, max_size=4), st.integers(0, 6), st.booleans())
def test_outside_a_mask_nothing_changes(
    ip2p: Run, given: dict[str, Any], where: list[float], feather: int, is_file: bool
) -> None:
    photo = save_photo(given)
    before = read_image(photo)
    width, height = before.rgb.size
    left, top = int(where[0] * width), int(where[1] * height)
    right = min(width, left + 1 + int(where[2] * width))
    bottom = min(height, top + 1 + int(where[3] * height))
    words: tuple[object, ...] = ("--box", f"{left},{top},{right - left},{bottom - top}")
    if is_file:
        mask = Image.new("L", (width, height))
        mask.paste(255, (left, top, right, bottom))
        mask.save("mask.png")
        words = ("--mask", "mask.png")
    after = edited(ip2p, photo, given, *words, "--feather", feather)
    inside = np.zeros((height, width), bool)
    inside[max(0, top - feather) : bottom + feather, max(0, left - feather) : right + feather] = True
    different = (after[..., :3] != np.asarray(before.rgb)).any(axis=-1)
    assert not different[~inside].any()
    if before.alpha is not None:
        assert (after[..., 3] == np.asarray(before.alpha)).all()


@FEW
@given(photos)
def test_a_white_mask_is_no_mask(ip2p: Run, given: dict[str, Any]) -> None:
    photo = save_photo(given)
    Image.new("L", read_image(photo).rgb.size, 255).save("white.png")
    plain = edited(ip2p, photo, given, name="plain")
    assert (edited(ip2p, photo, given, "--mask", "white.png", name="masked") == plain).all()
