"""How well nano follows its looks: `python -m benchmarks.nano_quality [--model FOLDER] [--photos FOLDER]`.

On photos that were not trained on, each look's edit is compared, at nano's resolution, with what every look's
function makes of the same photo. It counts as followed when its own look is the nearest (mean squared error).
Looks that leave a photo as it is (a change of red where nothing is red) say nothing there and are left out:
own target within 30 dB of the photo. Looks whose targets agree within 40 dB count as one.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import torch

from ip2p_cli.datagen.look_pairs import list_photos, read_photo, split_photos
from ip2p_cli.diffusion import editing
from ip2p_cli.diffusion.detail import return_to_full_size
from ip2p_cli.looks import looks
from ip2p_cli.models.loader import Editor, load_editor
from ip2p_cli.models.registry import find_model

SIDE = 256


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return -10 * math.log10(max(float(np.mean((a - b) ** 2)), 1e-10))


def prepared(path: Path) -> np.ndarray:
    """A photo at nano's resolution, both sides multiples of 32, the longer at most 384."""
    photo = read_photo(path, SIDE)
    height, width = (min(384, side // 32 * 32) for side in photo.shape[:2])
    top, left = (photo.shape[0] - height) // 2, (photo.shape[1] - width) // 2
    return np.ascontiguousarray(photo[top : top + height, left : left + width])


def run(
    editor: Editor, photo: np.ndarray, instructions: list[str], args: argparse.Namespace, seed: int = 0
) -> list[np.ndarray]:
    """The photo's edits by the model, (H, W, 3) in [0, 1] each."""
    source = torch.from_numpy(photo).permute(2, 0, 1)
    count = len(instructions)
    image = editing.encode_image(editor, source[None] * 2 - 1)
    latent = editing.denoise(
        editor,
        type(image)(image.tensor.repeat(count, 1, 1, 1)),
        editing.encode_text(editor, instructions),
        steps=args.steps,
        cfg_text=[args.cfg_text] * count,
        cfg_image=[args.cfg_image] * count,
        sampler=args.sampler,
        generators=editing.make_generators([seed + i for i in range(count)]),
    )
    edits = list(editing.decode(editor, latent))
    if args.refine:
        edits = [return_to_full_size(source, source, edit) for edit in edits]
    return [edit.permute(1, 2, 0).numpy() for edit in edits]


def measure(
    editor: Editor, photos: list[Path], held_out: bool, args: argparse.Namespace
) -> dict[str, list[tuple[bool, float, str]]]:
    """For each look: (followed, PSNR to its target, the look that came nearest) a photo."""
    found: dict[str, list[tuple[bool, float, str]]] = defaultdict(list)
    for number, path in enumerate(photos):
        photo, rng = prepared(path), random.Random(f"{path.name}/{held_out}")
        targets = {name: look.paint(photo, 1.0, np.random.default_rng(number)) for name, look in looks().items()}
        names = [name for name in targets if psnr(targets[name], photo) < 30]
        wordings = [rng.choice(looks()[n].held_out if held_out else looks()[n].wordings) for n in names]
        for start in range(0, len(names), 13):
            part = slice(start, start + 13)
            for name, edit in zip(names[part], run(editor, photo, wordings[part], args), strict=True):
                near = {other: psnr(edit, target) for other, target in targets.items()}
                best = max(near, key=near.__getitem__)
                followed = best == name or psnr(targets[best], targets[name]) > 40
                found[name].append((followed, near[name], best))
    return found


def report(found: dict[str, list[tuple[bool, float, str]]], title: str) -> tuple[float, float]:
    rows = [row for values in found.values() for row in values]
    followed = statistics.mean(r[0] for r in rows)
    median = statistics.median(r[1] for r in rows)
    print(f"\n{title}: followed {followed:.1%}, median {median:.2f} dB ({len(rows)} edits)")
    for name, values in sorted(found.items(), key=lambda item: statistics.mean(r[0] for r in item[1])):
        missed = [best for ok, _, best in values if not ok]
        share, level = statistics.mean(r[0] for r in values), statistics.median(r[1] for r in values)
        line = f"  {name:14} {share:5.0%} {level:6.2f} dB"
        print(line + (f"   taken for {', '.join(sorted(set(missed)))}" if missed else ""))
    return followed, median


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--photos", type=Path, required=True, help="the training folder: its held-out photos are used")
    parser.add_argument("--every", type=int, default=16, help="hold_out_every of the recipe; 1: all photos")
    parser.add_argument("--limit", type=int, default=24)
    parser.add_argument(
        "--skip", type=int, default=0, help="leave out the first of them, if they were looked at before"
    )
    parser.add_argument("--steps", type=int)
    parser.add_argument("--cfg-text", type=float)
    parser.add_argument("--cfg-image", type=float)
    parser.add_argument("--sampler")
    parser.add_argument("--refine", action="store_true", help="also fit the edit to the photo, as `ip2p edit` does")
    parser.add_argument("--trained-only", action="store_true", help="no wordings kept out of training: faster")
    parser.add_argument("--write", type=Path, help="a JSON file for the figures")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    spec = find_model(args.model)
    for name in ("steps", "cfg_text", "cfg_image", "sampler"):
        if getattr(args, name) is None:
            setattr(args, name, getattr(spec.defaults, name))
    editor = load_editor(spec, device="cpu", dtype="fp32")
    held_out = split_photos(list_photos(args.photos), args.every)[1][args.skip :][: args.limit]
    print(
        f"{spec.name}: {args.steps} steps of {args.sampler}, cfg_text {args.cfg_text}, cfg_image {args.cfg_image}, "
        f"{len(held_out)} photos"
    )
    figures: dict[str, float] = {"photos": len(held_out)}
    trained = measure(editor, held_out, False, args)
    figures["followed_trained"], figures["median_psnr"] = report(trained, "trained wordings")
    if not args.trained_only:
        figures["followed_held_out"], _ = report(measure(editor, held_out, True, args), "wordings kept out of training")
    same = [psnr(run(editor, prepared(p), [""], args)[0], prepared(p)) for p in held_out]
    figures["empty_instruction_psnr"] = statistics.median(same)
    photo = prepared(held_out[0])
    two = [run(editor, photo, ["make it winter"], args, seed=s)[0] for s in (1, 2)]
    figures["seed_difference"] = float(np.abs(two[0] - two[1]).mean() * 255)
    began = time.monotonic()
    run(editor, photo, ["make it winter"], args)
    figures["seconds"] = time.monotonic() - began
    print(
        f"\nempty instruction {figures['empty_instruction_psnr']:.2f} dB; "
        f"two seeds differ by {figures['seed_difference']:.2f} of 255; {figures['seconds']:.2f} s an edit"
    )
    if args.write:
        args.write.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
