"""Where edits happen: `python -m benchmarks.locality --photos FOLDER [--subjects FOLDER]`.

On photos that were neither trained on nor tuned with, with nano at its own resolution:

- --auto-mask: how often the edit of a whole photo is recognised as one, and the IoU of the mask of an edit of single
  colours with where the look's own painter changes the photo.
- --region subject: the IoU of its masks, refined at the photo's size, with those of --subjects.
- The change outside a mask, in levels of 255, after a whole edit.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from benchmarks.nano_quality.editing import prepared
from ip2p_cli import Editor, MaskSettings
from ip2p_cli.datagen.look_pairs import list_photos, split_photos
from ip2p_cli.diffusion.editing import encode_image, encode_text
from ip2p_cli.diffusion.relevance import noises_for, relevance, where_relevant
from ip2p_cli.diffusion.text import TextCondition
from ip2p_cli.editing.region_masks import found_region, region_finder
from ip2p_cli.errors import InputError
from ip2p_cli.io.images import picture_from_image
from ip2p_cli.looks import apply, looks
from ip2p_cli.models.loader import load_editor
from ip2p_cli.models.registry import find_model
from ip2p_cli.types import EditSettings

LOCAL = ("green_to_red", "red_to_blue", "blue_to_green")  # what they change depends on the photo's colours
STEPS = 20
CHANGED = 0.05  # of 1: a cell that the painter changes by more belongs to the edit
LEAST, MOST = 0.03, 0.5  # a look that changes this share of a photo is a local edit of it, from MOST on neither


def painted_area(name: str, photo: np.ndarray) -> np.ndarray:
    """Where a look changes a photo, by cells of 4 pixels."""
    change = np.abs(apply(name, photo, seed=0) - photo).mean(axis=2)
    return cv2.resize(change, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA) > CHANGED


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """The IoU of two areas."""
    return float((first & second).sum() / max(1, (first | second).sum()))


def automatic_masks(photos: list[np.ndarray]) -> tuple[list[bool], list[float]]:
    """Whether each edit of a whole photo was recognised as one, and the IoU of each local one; 0 without a mask."""
    editor = load_editor(find_model("nano"), device="cpu", dtype="fp32")
    recognised: list[bool] = []
    overlaps: list[float] = []
    for number, photo in enumerate(photos):
        print(f"photo {number + 1} of {len(photos)}", file=sys.stderr)
        image = encode_image(editor, torch.from_numpy(photo).permute(2, 0, 1)[None] * 2 - 1)
        for name, look in looks().items():
            area = painted_area(name, photo)
            is_local = name in LOCAL and LEAST < area.mean() < MOST
            if not is_local and (name in LOCAL or area.mean() < 0.8):
                continue
            text = TextCondition(encode_text(editor, [look.wordings[0]]), None)
            found = where_relevant(relevance(editor, image, text, noises=noises_for(STEPS), seed=0))
            if is_local:
                overlaps.append(0.0 if found is None else overlap(found.numpy(), area))
            else:
                recognised.append(found is None)
    return recognised, overlaps


def subject_overlaps(files: list[Path], folder: Path) -> list[float]:
    """The IoU of each photo's subject, as --region finds it."""
    found, finder = [], region_finder("subject")
    for path in files:
        truth = folder / f"{path.stem}.png"
        if truth.exists():
            with Image.open(path) as opened, Image.open(truth) as mask:
                photo = opened.convert("RGB")
                right = np.asarray(mask.convert("L").resize(photo.size)) > 127
            try:
                area = np.asarray(found_region(finder, picture_from_image(photo))) > 127
            except InputError as error:  # the network sees no subject: a miss
                print(f"{path}: {error}", file=sys.stderr)
                area = np.zeros_like(right)
            found.append(overlap(area, right))
    return found


def change_outside(photos: list[np.ndarray]) -> int:
    """The largest change outside a box, after an edit at the photo's size."""
    editor, worst = Editor.load("nano"), 0
    for photo in photos[:4]:
        image = Image.fromarray((photo * 255).round().astype(np.uint8))
        mask = MaskSettings(box=("25%,25%,50%,50%",))
        edit = editor.edit(image, "make it winter", EditSettings(seed=1), mask=mask).image
        change = np.abs(np.asarray(edit).astype(int) - np.asarray(image)).max(axis=2)
        top, left = (round(side / 4) for side in change.shape)
        change[top : change.shape[0] - top, left : change.shape[1] - left] = 0
        worst = max(worst, int(change.max()))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--subjects", type=Path)
    parser.add_argument("--skip", type=int, default=12, help="of the held-out photos, the first ones, looked at before")
    parser.add_argument("--limit", type=int, default=16, help="photos for --auto-mask")
    args = parser.parse_args()
    files = split_photos(list_photos(args.photos), 16)[1][args.skip :]
    photos = [prepared(path) for path in files[: args.limit]]
    recognised, overlaps = automatic_masks(photos)
    print(f"--auto-mask: {np.mean(recognised):.1%} of {len(recognised)} edits of a whole photo are recognised")
    print(
        f"  IoU of {len(overlaps)} local edits: mean {np.mean(overlaps):.2f}, median {statistics.median(overlaps):.2f}"
    )
    print(f"  evaluations: {2 * noises_for(STEPS)} besides the {3 * STEPS} of {STEPS} steps of three branches")
    if args.subjects is not None:
        subjects = subject_overlaps(files, args.subjects)
        print(f"--region subject: IoU of {len(subjects)} photos: mean {np.mean(subjects):.3f}, ", end="")
        print(f"median {statistics.median(subjects):.3f}")
    print(f"largest change outside a box: {change_outside(photos)} of 255")


if __name__ == "__main__":
    main()
