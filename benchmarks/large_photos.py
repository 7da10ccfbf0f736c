"""Time and memory of `ip2p edit` with nano on large photos: `python -m benchmarks.large_photos` (docs/masks.md).

Each command runs on a sample photo that was enlarged and given grain, from JPEG to JPEG, after the same command on a
photo of 0.2 megapixels: what that leaves resident (the interpreter, the libraries, the weights) and the time that it
takes are subtracted. The memory is the most that was resident meanwhile, as Linux counts it. The time is that of all
processors, reading and writing included.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from ip2p_cli.cli.app import main as run_ip2p

ROOT = Path(__file__).parent.parent
PHOTO = ROOT / "samples" / "palace.jpg"
COMMANDS = {
    "no mask": ("make it winter",),
    "region": ("make it winter", "--region", "the sky"),
    "mask": ("make it winter", "--mask", "mask.png"),
    "box": ("make it winter", "--box", "10%,10%,60%,50%"),
    "feather": ("make it winter", "--region", "the sky", "--grow", "1%", "--feather", "2%"),
    "PNG": ("make it winter",),
}
_STRIP = 256  # rows that grain is added to at once


def resident(name: str) -> int:
    """The bytes that are resident now (VmRSS), or were at the most since `forget_peak` (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def forget_peak() -> None:
    """Begin to count the most that is resident from now on."""
    Path("/proc/self/clear_refs").write_text("5")


def make_photo(path: Path, megapixels: float) -> None:
    """Write a sample photo, enlarged to so many pixels, with grain; and a mask beside it."""
    with Image.open(PHOTO) as file:
        photo = file.convert("RGB")
    scale = (megapixels * 1e6 / (photo.width * photo.height)) ** 0.5
    photo = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.BICUBIC)
    rng = np.random.default_rng(0)
    for top in range(0, photo.height, _STRIP):
        strip = np.asarray(photo.crop((0, top, photo.width, min(top + _STRIP, photo.height))), np.int16)
        grain = rng.integers(-6, 7, strip.shape[:2], np.int16)[..., None]
        photo.paste(Image.fromarray((strip + grain).clip(0, 255).astype(np.uint8)), (0, top))
    photo.save(path, quality=92)
    mask = Image.radial_gradient("L").resize(photo.size).point([255 if value < 100 else 0 for value in range(256)])
    mask.save(path.with_name("mask.png"))


def edit(photo: Path, words: tuple[str, ...], ending: str) -> float:
    """Run `ip2p edit`; returns the seconds of all processors."""
    output = photo.with_name(f"out{ending}")
    sys.argv = ["ip2p", "edit", str(photo), *words, "-o", str(output), "--seed", "1", "--overwrite", "--quiet"]
    os.chdir(photo.parent)
    began = time.process_time()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            run_ip2p()
    except SystemExit as end:
        if end.code:
            raise
    return time.process_time() - began


def main() -> None:
    """Read the arguments and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[24, 100])
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--folder", type=Path, help="where the photos are made; default: a temporary folder")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        photos = {}
        for size in (0.2, *args.megapixels):
            photos[size] = folder / f"{size:g}" / "photo.jpg"
            if not photos[size].exists():
                photos[size].parent.mkdir(parents=True, exist_ok=True)
                make_photo(photos[size], size)
        print("| megapixels | command | GB at the most | s of processors |")
        print("|---|---|---|---|", flush=True)
        for size in args.megapixels:
            for name in args.only:
                words, ending = COMMANDS[name], ".png" if name == "PNG" else ".jpg"
                for _ in range(2):
                    small = edit(photos[0.2], words, ending)
                before = resident("VmRSS")
                forget_peak()
                seconds = edit(photos[size], words, ending) - small
                memory = (resident("VmHWM") - before) / 1e9
                print(f"| {size:g} | {name} | {memory:.2f} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
