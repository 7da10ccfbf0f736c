"""What fewer steps cost, sampler by sampler: the figures behind `--preset fast` and `balanced` (docs/presets.md).

    python -m benchmarks.presets [--model nano] [--photos FOLDER] [--cfg-text 3 --cfg-image 1.2] [--looks sepia …]

Two questions, on the same noise for all. How near is an edit in few steps to the same edit in 100 (PSNR of pixels at
the model's size)? Deterministic samplers have one limit, the solution of the probability-flow equation: DPM-Solver++ 2M
in 100 steps. Ancestral ones have none and are left out there. And, for a model that was taught looks, how near is it
to what the look's own function makes of the photo? Seconds are for one edit in this batch, on this machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.draws import draw_of
from benchmarks.nano_quality.distances import psnr
from benchmarks.nano_quality.editing import prepared
from ip2p_cli.diffusion import editing
from ip2p_cli.diffusion.latents import ImageLatent
from ip2p_cli.diffusion.samplers import SAMPLERS
from ip2p_cli.looks import looks
from ip2p_cli.models.loader import Editor, load_editor
from ip2p_cli.models.registry import find_model

SAMPLES = Path(__file__).parent.parent / "samples"
LOOKS = ("winter", "sunset", "sepia", "watercolour")
STEPS = (1, 2, 4, 8, 12, 25)
REFERENCE = ("dpmpp_2m", 100)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: means over the edits, dB (to_reference is None for ancestral samplers)."""

    sampler: str
    steps: int
    to_reference: float | None
    to_look: float
    seconds: float


def middle(photo: np.ndarray, side: int) -> np.ndarray:
    top, left = (max(0, (length - side) // 2) for length in photo.shape[:2])
    return np.ascontiguousarray(photo[top : top + side, left : left + side])


def edits(
    editor: Editor,
    photo: np.ndarray,
    names: Sequence[str],
    sampler: str,
    steps: int,
    cfg_text: float,
    cfg_image: float,
) -> tuple[list[np.ndarray], float]:
    """(the photo (H, W, 3) with each look, by the model; seconds an edit)."""
    instructions = [looks()[name].wordings[0] for name in names]
    count = len(instructions)
    image = editing.encode_image(editor, torch.from_numpy(photo).permute(2, 0, 1)[None] * 2 - 1)
    began = time.monotonic()
    latent = editing.denoise(
        editor,
        ImageLatent(image.tensor.repeat(count, 1, 1, 1)),
        editing.encode_text(editor, instructions),
        steps=steps,
        cfg_text=[cfg_text] * count,
        cfg_image=[cfg_image] * count,
        sampler=sampler,
        generators=editing.make_generators(range(count)),
    )
    seconds = (time.monotonic() - began) / count
    return [edit.permute(1, 2, 0).numpy() for edit in editing.decode(editor, latent)], seconds


def measure(
    editor: Editor,
    photos: Sequence[np.ndarray],
    *,
    cfg_text: float,
    cfg_image: float,
    wanted: Sequence[tuple[str, int]],
    names: Sequence[str] = LOOKS,
    reference: tuple[str, int] = REFERENCE,
) -> Iterator[Row]:
    """A row for the reference, then one for every wanted (sampler, steps)."""
    targets = [[target(name, photo, seed) for seed, name in enumerate(names)] for photo in photos]
    goals: list[list[np.ndarray]] = []
    for sampler, steps in (reference, *wanted):
        pairs = (edits(editor, photo, names, sampler, steps, cfg_text, cfg_image) for photo in photos)
        found, times = zip(*pairs, strict=True)
        goals = goals or list(found)
        yield Row(
            sampler=sampler,
            steps=steps,
            to_reference=None if SAMPLERS[sampler].stochastic else mean_psnr(found, goals),
            to_look=mean_psnr(found, targets),
            seconds=float(np.mean(times)),
        )


def target(name: str, photo: np.ndarray, seed: int) -> np.ndarray:
    """The look, as the noise of the edit's seed draws it."""
    return looks()[name].paint(photo, 1.0, draw_of(seed, *photo.shape[:2]))


def mean_psnr(found: Sequence[Sequence[np.ndarray]], wanted: Sequence[Sequence[np.ndarray]]) -> float:
    pairs = zip(found, wanted, strict=True)
    return float(np.mean([psnr(a, b) for edited, goal in pairs for a, b in zip(edited, goal, strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--photos", type=Path, default=SAMPLES)
    parser.add_argument("--limit", type=int, default=3, help="photos")
    parser.add_argument("--cfg-text", type=float)
    parser.add_argument("--cfg-image", type=float)
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=list(SAMPLERS))
    parser.add_argument("--cut", type=int, default=128, help="pixels a side of the photo's middle: smaller is quicker")
    parser.add_argument("--looks", nargs="+", default=LOOKS)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    spec = find_model(args.model)
    editor = load_editor(spec, device="cpu", dtype="fp32")
    said = {name: getattr(args, name) for name in ("cfg_text", "cfg_image")}
    scales = {name: getattr(spec.defaults, name) if value is None else value for name, value in said.items()}
    paths = [path for path in sorted(args.photos.glob("*.jpg")) if path.name != "before-after.jpg"][: args.limit]
    print(
        f"{spec.name}, {scales}, {len(paths) * len(args.looks)} edits, "
        f"reference {REFERENCE[1]} steps of {REFERENCE[0]}\n"
    )
    print("| sampler | steps | dB to the reference | dB to the look | seconds |\n|---|---|---|---|---|", flush=True)
    photos = [middle(prepared(path), args.cut) for path in paths]
    wanted = [(name, steps) for name in args.samplers for steps in args.steps]
    for row in measure(editor, photos, **scales, wanted=wanted, names=args.looks):
        near = "-" if row.to_reference is None else f"{min(row.to_reference, 99.0):.1f}"
        print(f"| {row.sampler} | {row.steps} | {near} | {row.to_look:.2f} | {row.seconds:.2f} |", flush=True)


if __name__ == "__main__":
    main()
