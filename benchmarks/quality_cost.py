"""What fewer evaluations of the model cost in quality, for each setting that saves some (docs/speed.md).

    python -m benchmarks.quality_cost [--model nano] [--steps 8] [--cfg-text 3 --cfg-image 1.2] [--photos FOLDER]

Every edit is made in full and with each saving, on the same noise. Evaluations are rows of UNet calls; work is the
arithmetic of the UNet (torch's FLOP counter), as a call that reuses deep features is a part of an evaluation. Both are
shares of the full run's. PSNR is that of the pixels at the model's size against the full run.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.nano_quality.distances import psnr
from benchmarks.nano_quality.editing import prepared
from benchmarks.presets import LOOKS, SAMPLES, middle
from ip2p_cli.diffusion import editing
from ip2p_cli.diffusion.savings import Savings
from ip2p_cli.looks import looks
from ip2p_cli.models.loader import Editor, load_editor
from ip2p_cli.models.registry import find_model

FULL: Mapping[str, Any] = {}


def settings() -> dict[str, Mapping[str, Any]]:
    """The rows of the table: a name, and the arguments of `denoise` that save evaluations."""
    named: dict[str, Mapping[str, Any]] = {"full": FULL}
    for interval in ((0.0, 0.75), (0.0, 0.5), (0.25, 1.0), (0.5, 1.0), (0.25, 0.75)):
        named[f"--guidance-interval {interval[0]:g}-{interval[1]:g}"] = {"savings": [Savings(interval=interval)]}
    for agreement in (0.0001, 0.001, 0.003, 0.01, 0.03, 0.1):
        named[f"--adaptive-guidance {agreement:g}"] = {"savings": [Savings(agreement=agreement)]}
    for reuse in (2, 3):
        named[f"--feature-reuse {reuse}"] = {"reuse": reuse}
    named["--guidance-interval 0-0.5 --feature-reuse 2"] = {"savings": [Savings(interval=(0.0, 0.5))], "reuse": 2}
    return named


@dataclass(frozen=True, kw_only=True)
class Run:
    """An edit: its pixels (H, W, 3), the UNet's rows, and its arithmetic."""

    pixels: np.ndarray
    rows: int
    work: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table: shares of the full run's evaluations and work; means and the worst PSNR over the edits."""

    name: str
    evaluations: float
    work: float
    mean: float
    worst: float


def edited(editor: Editor, photo: np.ndarray, text: str, seed: int, how: Mapping[str, Any], saved: Any) -> Run:
    """Edit a photo (H, W, 3), counting what the UNet does.

    Args:
        editor: The model.
        photo: In [0, 1]; its sides fit the model's grid.
        text: The instruction.
        seed: Of the noise.
        how: Steps, sampler and scales.
        saved: Further arguments of `denoise`.
    """
    image = editing.encode_image(editor, torch.from_numpy(photo).permute(2, 0, 1)[None] * 2 - 1)
    rows: list[int] = []
    handle = editor.unet.register_forward_pre_hook(lambda _module, args: rows.append(len(args[0])))
    condition = editing.encode_text(editor, [text])
    try:
        with FlopCounterMode(display=False) as counter:
            latent = editing.denoise(
                editor, image, condition, generators=editing.make_generators([seed]), **how, **saved
            )
    finally:
        handle.remove()
    pixels = editing.decode(editor, latent)[0].permute(1, 2, 0).numpy()
    return Run(pixels=pixels, rows=sum(rows), work=counter.get_total_flops())


def measure(
    editor: Editor, photos: Sequence[np.ndarray], names: Sequence[str], how: Mapping[str, Any]
) -> Iterator[Row]:
    """A row for each of `settings`, over all photos and looks."""
    edits = [(photo, looks()[name].wordings[0], seed) for photo in photos for seed, name in enumerate(names)]
    full: list[Run] = []
    for name, saved in settings().items():
        runs = [edited(editor, *one, how, saved) for one in edits]
        full = full or runs
        near = [psnr(run.pixels, goal.pixels) for run, goal in zip(runs, full, strict=True)]
        yield Row(
            name=name,
            evaluations=sum(run.rows for run in runs) / sum(run.rows for run in full),
            work=sum(run.work for run in runs) / sum(run.work for run in full),
            mean=float(np.mean(near)),
            worst=float(min(near)),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--photos", type=Path, default=SAMPLES)
    parser.add_argument("--limit", type=int, default=2, help="photos")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--sampler", default="unipc")
    parser.add_argument("--cfg-text", type=float, default=3.0)
    parser.add_argument("--cfg-image", type=float, default=1.2)
    parser.add_argument("--cut", type=int, default=128, help="pixels a side of the photo's middle: smaller is quicker")
    parser.add_argument("--looks", nargs="+", default=LOOKS)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    editor = load_editor(find_model(args.model), device="cpu", dtype="fp32")
    how = {"steps": args.steps, "sampler": args.sampler, "cfg_text": [args.cfg_text], "cfg_image": [args.cfg_image]}
    paths = [path for path in sorted(args.photos.glob("*.jpg")) if path.name != "before-after.jpg"][: args.limit]
    photos = [middle(prepared(path), args.cut) for path in paths]
    print(f"{editor.spec.name}, {how}, {len(photos) * len(args.looks)} edits of {args.cut} pixels\n")
    print("| setting | evaluations | work | mean dB | worst dB |\n|---|---|---|---|---|", flush=True)
    for row in measure(editor, photos, args.looks, how):
        mean, worst = (min(value, 99.0) for value in (row.mean, row.worst))
        print(f"| `{row.name}` | {row.evaluations:.0%} | {row.work:.0%} | {mean:.1f} | {worst:.1f} |", flush=True)


if __name__ == "__main__":
    main()
