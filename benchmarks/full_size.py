"""How well an edit comes back at the photo's own size: ours against Lanczos, look by look.

    python -m benchmarks.full_size [--photos FOLDER] [--model nano]
    python -m benchmarks.full_size --ideal [--noise 0.05]    # the look itself at the model's size, no model

PSNR is against the look computed at full size. Then the time and memory of a 12-megapixel photo.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from benchmarks.draws import draw_of
from benchmarks.other_upsampling import bilateral_grid, guided_filter
from ip2p_cli.diffusion.detail import return_to_full_size
from ip2p_cli.editing.choose import Chooser
from ip2p_cli.editing.engine import Engine
from ip2p_cli.editing.model_choice import ModelChoice
from ip2p_cli.editing.model_size import ModelSizeEdit
from ip2p_cli.editing.step_cache import StepCache
from ip2p_cli.editing.tree_plan import single_edit
from ip2p_cli.editing.tree_run import TreeRun
from ip2p_cli.editing.work import LoadedModels
from ip2p_cli.io.images import picture_from_image
from ip2p_cli.looks import Draw, apply, looks
from ip2p_cli.models.registry import find_model
from ip2p_cli.settings import resolve
from ip2p_cli.types import EditSettings

OTHERS = ("Lanczos", "ours", "guided filter", "bilateral grid")
TONE_AND_COLOUR = ("seasons", "time", "light", "colour")
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
SIDE_OF_PHOTOS = 1000
SIDE_OF_MODEL = 256
ROOT = Path(__file__).parent.parent


def edited_small(look: str, photo: Image.Image, model: str) -> tuple[ModelSizeEdit, Draw]:
    """The edit of a photo by a model at its own size, and the look's draw that belongs to its noise."""
    spec = find_model(model)
    choice = ModelChoice(spec=spec, device="cpu", dtype="fp32", known_weights="whichever")
    tree = single_edit(looks()[look].wordings[0], resolve(EditSettings(seed=0), spec), choice)
    run = TreeRun(tree, picture_from_image(photo), _engine(), StepCache(None), Chooser())
    step = tree.steps[0]
    prepared = run.row(step).prepared
    draw = draw_of(prepared.noise_seed, *prepared.pixels.shape[-2:], prepared.fit.box)
    return run.edit(step)[1], draw


@cache
def _engine() -> Engine:
    return Engine(LoadedModels())


def ideal_small(look: str, photo: Image.Image, noise: float) -> ModelSizeEdit:
    """The look itself at the model's size, plus white noise and blotches of 0.4 times its strength."""
    scale = SIDE_OF_MODEL / min(photo.size)
    width, height = (max(8, round(side * scale / 8) * 8) for side in photo.size)
    source = pixels(photo.resize((width, height), Image.Resampling.LANCZOS))
    edited = tensor(apply(look, source))
    if noise > 0:
        random = torch.Generator().manual_seed(zlib.crc32(look.encode()))
        blotches = torch.randn(1, 3, 6, 8, generator=random)
        blotches = torch.nn.functional.interpolate(blotches, edited.shape[-2:], mode="bicubic").squeeze(0)
        edited = edited + noise * (torch.randn(edited.shape, generator=random) + 0.4 * blotches)
    return ModelSizeEdit(source=tensor(source), edited=edited.clamp(0, 1))


def load(path: Path) -> Image.Image:
    """The photo, upright, its shorter side at most SIDE_OF_PHOTOS: more pixels would only take longer."""
    with Image.open(path) as file:
        photo = ImageOps.exif_transpose(file).convert("RGB")
    if min(photo.size) > SIDE_OF_PHOTOS:
        scale = SIDE_OF_PHOTOS / min(photo.size)
        photo = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.LANCZOS)
    return photo


def pixels(photo: Image.Image) -> np.ndarray:
    return np.asarray(photo, np.float32) / 255


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(image, np.float32)).permute(2, 0, 1).contiguous()


def lanczos(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    planes = [Image.fromarray(plane.numpy().copy()).resize(size, Image.Resampling.LANCZOS) for plane in image]
    return torch.stack([torch.from_numpy(np.array(plane)) for plane in planes]).clamp(0, 1)


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """In dB, of what is written to a file: 8 bits a colour."""
    a, b = ((image * 255).round() / 255 for image in (a, b))
    return -10 * float(torch.log10(((a - b) ** 2).mean() + 1e-8))


def measure(photos: Sequence[Path], names: Sequence[str], args: argparse.Namespace) -> None:
    gained: dict[str, list[float]] = defaultdict(list)
    more = f"{'guided':>8}{'grid':>7}" if args.others else ""
    print(f"{'look':18}{'group':9}{'Lanczos':>8}{'ours':>7}{'gain':>7}{more}   dB, mean of {len(photos)} photos")
    all_others: list[tuple[float, ...]] = []
    loaded = [load(path) for path in photos]
    for name in names:
        pairs, others = [], []
        for photo, path in zip(loaded, photos, strict=True):
            if args.ideal:
                small, target = ideal_small(name, photo, args.noise), tensor(apply(name, pixels(photo)))
            else:
                small, draw = edited_small(name, photo, args.model)
                target = tensor(looks()[name].paint(pixels(photo), 1.0, draw))
            full = tensor(pixels(photo))
            ours = return_to_full_size(full, small.source, small.edited)
            plain = lanczos(small.edited, photo.size)
            pairs.append((psnr(plain, target), psnr(ours, target)))
            if args.others:
                ways = (guided_filter, bilateral_grid)
                others.append(tuple(psnr(way(full, small.source, small.edited), target) for way in ways))
            if args.save is not None:
                strip = torch.cat([full, plain, ours, target], 2).permute(1, 2, 0)
                Image.fromarray((strip.numpy() * 255).round().astype(np.uint8)).save(
                    args.save / f"{name}-{path.stem}.png"
                )
        theirs, ours_mean = (statistics.mean(column) for column in zip(*pairs, strict=True))
        group = looks()[name].group
        gained[group].append(ours_mean - theirs)
        beside = "".join(f"{statistics.mean(column):7.1f}" for column in zip(*others, strict=True))
        print(f"{name:18}{group:9}{theirs:8.1f}{ours_mean:7.1f}{ours_mean - theirs:+7.2f} {beside}", flush=True)
        all_others += [(*pair, *other) for pair, other in zip(pairs, others, strict=True)] if others else []
    print()
    if all_others:
        means = [statistics.mean(column) for column in zip(*all_others, strict=True)]
        print("mean, dB: " + ", ".join(f"{name} {mean:.1f}" for name, mean in zip(OTHERS, means, strict=True)))
    for group, values in gained.items():
        goal = "goal: +3 or more" if group in TONE_AND_COLOUR else "goal: no look below -0.3"
        print(f"{group:9} mean {statistics.mean(values):+6.2f} dB, least {min(values):+6.2f} dB   {goal}")
    toned = [value for group in TONE_AND_COLOUR for value in gained[group]]
    if toned:
        print(f"tone and colour: mean {statistics.mean(toned):+.2f} dB; all looks: least ", end="")
        print(f"{min(value for values in gained.values() for value in values):+.2f} dB")


def twelve_megapixels() -> None:
    """Seconds, and memory on top of the photo and the result (goal: 4 s, 1.5 GB)."""
    random = torch.Generator().manual_seed(0)
    for shorter in (SIDE_OF_MODEL, 512):
        small = torch.rand(3, shorter, shorter * 4 // 3, generator=random)
        full = torch.randint(0, 256, (3, 3000, 4000), dtype=torch.uint8, generator=random)
        before, start, worked = peak_memory(), time.perf_counter(), time.process_time()
        return_to_full_size(full, small, 1 - small)
        seconds, worked = time.perf_counter() - start, time.process_time() - worked
        extra = (peak_memory() - before) / 1e9
        print(
            f"12 megapixels from {shorter} px: {seconds:.2f} s ({worked:.2f} s of processor time, "
            f"{torch.get_num_threads()} threads), {extra:.2f} GB more at the peak, the result included"
        )


def peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.full_size", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, default=ROOT / "samples", help="a folder of photos")
    parser.add_argument("--limit", type=int, help="this many photos at most")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--ideal", action="store_true", help="the look itself at the model's size, instead of a model")
    parser.add_argument("--noise", type=float, default=0.0, help="noise on the ideal edit, standard deviation")
    parser.add_argument("--others", action="store_true", help="compare with a guided filter and a bilateral grid too")
    parser.add_argument("--looks", nargs="+", default=list(looks()), metavar="LOOK")
    parser.add_argument("--save", type=Path, help="a folder for pictures: photo, Lanczos, ours, target")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--skip-timing", action="store_true")
    parser.add_argument("--skip-looks", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.save is not None:
        args.save.mkdir(parents=True, exist_ok=True)
    if not args.skip_timing:  # first: the peak so far is still low
        twelve_megapixels()
    if not args.skip_looks:
        photos = [path for path in sorted(args.photos.iterdir()) if path.suffix.lower() in SUFFIXES]
        photos = [path for path in photos if min(load(path).size) >= SIDE_OF_PHOTOS][: args.limit]
        if not photos:
            parser.error(f"no photo of {SIDE_OF_PHOTOS} px or more in {args.photos}")
        measure(photos, args.looks, args)


if __name__ == "__main__":
    main()
