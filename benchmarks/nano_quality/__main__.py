"""How well nano does what it is told: `python -m benchmarks.nano_quality --photos FOLDER [--model FOLDER]`.

On photos that were not trained on, at nano's resolution. Instructions are taken as `ip2p edit` takes them. An edit
counts as followed when, of all looks, the mean of its own look's draws comes nearest in colour and texture. Random
looks are judged by their distributions: the mean and the spread of several seeds against those of several draws, and
patches of fine detail. A look that leaves a photo as it is (a change of red where nothing is red) is left out there.
With --baseline, texture is compared with that model's.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks.nano_quality.distances import psnr
from benchmarks.nano_quality.editing import prepared, prepared_mask, run
from benchmarks.nano_quality.looks import TEXTURED, LookFigures, ceiling, measure_looks
from benchmarks.nano_quality.regions import THINGS, RegionFigures, measure_regions
from ip2p_cli import Editor as PublicEditor
from ip2p_cli.datagen.look_pairs import list_photos, split_photos
from ip2p_cli.looks import looks
from ip2p_cli.models.loader import load_editor
from ip2p_cli.models.registry import find_model


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def look_summary(found: dict[str, LookFigures]) -> dict[str, float]:
    """The figures of all looks together."""
    exact = [level for name, f in found.items() if looks()[name].exact for level in f.level]
    drawn = [level for name, f in found.items() if not looks()[name].exact for level in f.level]
    ratios = [np.mean(f.spread_of_seeds) / np.mean(f.spread_of_draws) for f in found.values() if f.spread_of_draws]
    figures = {
        "followed_trained": float(np.mean([hit for f in found.values() for hit in f.followed])),
        "followed_held_out": float(np.mean([hit for f in found.values() for hit in f.followed_held_out])),
        "exact_psnr": statistics.median(exact),
        "random_psnr": statistics.median(drawn),
        "spread_least": float(min(ratios)),
        "spread_most": float(max(ratios)),
        "worst_colour": max(float(np.mean(f.colour)) for f in found.values()),
    }
    if any(f.texture_before for f in found.values()):
        before = np.mean([np.mean(found[name].texture_before) for name in TEXTURED if found[name].texture_before])
        figures["texture"] = float(np.mean([np.mean(found[name].texture) for name in TEXTURED]) / before)
    return figures


def print_looks(found: dict[str, LookFigures]) -> None:
    for name, f in sorted(found.items(), key=lambda item: np.mean(item[1].followed)):
        line = f"  {name:15} {np.mean(f.followed):5.0%} {np.mean(f.followed_held_out):5.0%} held out"
        line += f" {statistics.median(f.level):6.2f} dB, own draw {statistics.median(f.own_draw):5.2f} dB"
        line += f", colour {np.mean(f.colour):4.1f}"
        if f.spread_of_draws:
            line += f", spread {np.mean(f.spread_of_seeds):4.1f} of {np.mean(f.spread_of_draws):4.1f}"
        if f.texture_before:
            line += f", texture {np.mean(f.texture) / np.mean(f.texture_before):.2f}"
        print(line + (f", taken for {', '.join(sorted(set(f.taken_for)))}" if f.taken_for else ""))


def region_summary(found: dict[str, RegionFigures]) -> dict[str, float]:
    """The figures of all regions together."""

    def overlap(things: bool) -> float:
        return float(np.mean([v for name, f in found.items() if (name in THINGS) == things for v in f.overlap]))

    for name, f in found.items():
        if f.overlap and f.outside:
            print(f"  {name:12} outside {np.mean(f.outside):5.2f}, IoU {np.mean(f.overlap):.2f} ({len(f.overlap)})")
    return {
        "outside": float(np.mean([v for f in found.values() for v in f.outside])),
        "overlap_places": overlap(False),
        "overlap_things": overlap(True),
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--baseline", help="a model to compare the texture of its looks with")
    parser.add_argument("--photos", type=Path, required=True, help="the training folder: its held-out photos are used")
    parser.add_argument("--subjects", type=Path, help="masks of the photos' subjects, of the same names")
    parser.add_argument("--every", type=int, default=16, help="hold_out_every of the recipe; 1: all photos")
    parser.add_argument("--limit", type=int, default=24)
    parser.add_argument("--skip", type=int, default=0, help="leave out the first ones, if they were looked at before")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--cfg-text", type=float)
    parser.add_argument("--cfg-image", type=float)
    parser.add_argument("--sampler")
    parser.add_argument("--write", type=Path, help="a JSON file for the figures")
    return parser.parse_args()


def with_defaults(args: argparse.Namespace, name: str, own: bool) -> argparse.Namespace:
    """The sampling settings: those given, else the model's own. The baseline has its own ones."""
    settings, defaults = copy.copy(args), find_model(name).defaults
    for key in ("steps", "cfg_text", "cfg_image", "sampler"):
        if not own or getattr(settings, key) is None:
            setattr(settings, key, getattr(defaults, key))
    return settings


def main() -> None:
    args = parse()
    cv2.setNumThreads(1)
    settings = with_defaults(args, args.model, own=True)
    editor = load_editor(find_model(args.model), device="cpu", dtype="fp32")
    baseline = load_editor(find_model(args.baseline), device="cpu", dtype="fp32") if args.baseline else None
    files = split_photos(list_photos(args.photos), args.every)[1][args.skip :][: args.limit]
    photos = [prepared(path) for path in files]
    print(
        f"{args.model}: {settings.steps} steps of {settings.sampler}, cfg_text {settings.cfg_text}, "
        f"cfg_image {settings.cfg_image}, {len(photos)} photos"
    )
    baseline_settings = with_defaults(args, args.baseline, own=False) if args.baseline else settings
    found = measure_looks(editor, baseline, photos, settings, baseline_settings, say)
    print_looks(found)
    figures: dict[str, float] = {"photos": len(photos), "ceiling": ceiling(photos[:6]), **look_summary(found)}
    subjects = [_subject(path, args.subjects) for path in files]
    figures |= region_summary(
        measure_regions(PublicEditor.load(args.model), list(zip(photos, subjects, strict=True)), say)
    )
    figures["ten_empty_psnr"] = statistics.median(_ten_empty_edits(editor, photo, settings) for photo in photos[:12])
    began = time.monotonic()
    run(editor, photos[0], ["make it winter"], settings)
    figures["seconds"] = time.monotonic() - began
    for key, value in figures.items():
        print(f"{key:18} {value:8.3f}")
    if args.write:
        args.write.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


def _subject(photo: Path, folder: Path | None) -> np.ndarray | None:
    path = None if folder is None else folder / f"{photo.stem}.png"
    return prepared_mask(path, photo) if path is not None and path.exists() else None


def _ten_empty_edits(editor, photo: np.ndarray, settings: argparse.Namespace) -> float:
    picture = photo
    for number in range(10):
        # As a user's chain does, each edit begins with the 8-bit picture that the one before made.
        picture = (run(editor, picture, [""], settings, first_seed=number)[0] * 255).round().astype(np.float32) / 255
    return psnr(picture, photo)


if __name__ == "__main__":
    main()
