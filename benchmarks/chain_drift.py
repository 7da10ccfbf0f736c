"""What ten edits in a row cost, handed over as latents and as pixels: `python -m benchmarks.chain_drift`.

"nothing" is nano's null text, an edit that asks for nothing; "gentle" is "make it warmer" and "make it cooler" in turn.
PSNR (dB) and the distance of the mean colours (levels of 255) are those of the last picture from the photo, both at the
model's size, before anything of the photo's own detail is brought back.

`--guards` tries drift guards: the same noise without words shows what changes unasked, and that is taken off the edit's
latent: all of it, what is left of it under an average of 9 x 9 (low), or its mean in each channel (mean). Edits that
are asked for are then measured by how near they come to their look (`editing.ranking`; 1 is the look itself): alone,
and as the sixth edit of a chain after five that ask for nothing.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ip2p_cli.diffusion import editing
from ip2p_cli.diffusion.latents import ImageLatent, low_frequencies
from ip2p_cli.diffusion.text import encode_condition
from ip2p_cli.editing.model_size import Prepared, as_image, as_tensor, cut, prepare
from ip2p_cli.editing.ranking import measure
from ip2p_cli.editing.seeds import item_seed
from ip2p_cli.io.images import read_image
from ip2p_cli.models.loader import Editor, load_editor
from ip2p_cli.models.nano.look_matcher import closest
from ip2p_cli.models.registry import find_model
from ip2p_cli.settings import resolve
from ip2p_cli.types import EditRequest, EditSettings, ModelSpec, ResolvedEditSettings

SAMPLES = Path(__file__).parent.parent / "samples"
PHOTOS = ("cat.jpg", "coffee.jpg", "palace.jpg", "portrait.jpg")
GUARDS = ("mean", "low", "all")
ASKED = ("make it night", "make it winter", "turn it into a pencil sketch", "make it look vintage")
CHAINS = {"nothing": ("",), "gentle": ("make it warmer", "make it cooler")}


def edits_in_a_row(
    editor: Editor, prepared: Prepared, texts: Sequence[str], *, pixels: bool = False, guard: str = "none"
) -> list[torch.Tensor]:
    """The padded picture before the first edit and after each, (3, H, W) in [0, 1]."""
    image = editing.encode_image(editor, prepared.pixels[None] * 2 - 1)
    pictures = [editing.decode(editor, image)[0]]
    for position, text in enumerate(texts):
        request = replace(prepared.request, instruction=text, position=position)
        left = edited(editor, image, text, request)
        if guard != "none":
            unasked = edited(editor, image, "", request) - image.tensor
            left = left - guarded(unasked, guard)
        image = ImageLatent(left)
        pictures.append(editing.decode(editor, image)[0])
        if pixels:
            image = editing.encode_image(editor, as_tensor(as_image(pictures[-1]))[None] * 2 - 1)
    return pictures


def edited(editor: Editor, image: ImageLatent, text: str, request: EditRequest) -> torch.Tensor:
    """The unscaled latent of one edit, by the noise of `request`, whatever the text."""
    settings = request.settings
    seed = item_seed(settings.seed, request.digest, request.instruction, request.position)
    latent = editing.denoise(
        editor,
        image,
        encode_condition(editor, [text]),
        steps=settings.steps,
        cfg_text=[settings.cfg_text],
        cfg_image=[settings.cfg_image],
        sampler=settings.sampler,
        generators=editing.make_generators([seed]),
    )
    return latent.as_condition(editor.scaling_factor).tensor


def guarded(unasked: torch.Tensor, guard: str) -> torch.Tensor:
    """What a guard takes off, of what changed unasked (1, C, h, w)."""
    if guard == "low":
        return low_frequencies(unasked)
    return unasked.mean((2, 3), keepdim=True) if guard == "mean" else unasked


def measured(before: torch.Tensor, after: torch.Tensor) -> tuple[float, float]:
    """(PSNR in dB, distance of the mean colours in levels of 255)"""
    psnr = float(-10 * ((after - before) ** 2).mean().clamp(min=1e-10).log10())
    return psnr, float((after.mean((1, 2)) - before.mean((1, 2))).norm() * 255)


def followed(editor: Editor, before: torch.Tensor, after: torch.Tensor, text: str) -> float:
    """How near an edit comes to its look, 0 to 1."""
    return measure(as_image(before), [as_image(after)], [closest(editor, text).looks[0]])[0].score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=10)
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--guards", action="store_true")
    asked = parser.parse_args()
    spec = find_model("nano")
    editor = load_editor(spec, device="cpu", dtype="fp32")
    settings = resolve(EditSettings(seed=1, resolution=asked.resolution), spec)
    photos = [prepared_photo(SAMPLES / name, settings, spec) for name in PHOTOS]
    ways = [("none", False)] + ([(guard, False) for guard in GUARDS] if asked.guards else [("none", True)])
    for guard, pixels in ways:
        name = "pixels" if pixels else f"latent, guard {guard}" if asked.guards else "latent"
        for chain, texts in CHAINS.items():
            row = [texts[position % len(texts)] for position in range(asked.edits)]
            found = []
            for one in photos:
                pictures = edits_in_a_row(editor, one, row, pixels=pixels, guard=guard)
                found.append(measured(cut(one.pixels, one.fit), cut(pictures[-1], one.fit)))
            each = "  ".join(f"{p:5.1f} dB {c:5.1f}" for p, c in found)
            psnr, colour = (sum(values) / len(values) for values in zip(*found, strict=True))
            print(f"{name:20} {chain:8} mean {psnr:5.2f} dB {colour:5.2f}   {each}", flush=True)
        for before in (0, 5) if asked.guards else ():
            scores = []
            for text in ASKED:
                for one in photos:
                    first, last = edits_in_a_row(editor, one, [""] * before + [text], guard=guard)[-2:]
                    scores.append(followed(editor, cut(first, one.fit), cut(last, one.fit), text))
            print(f"{name:20} asked for, after {before} others: {sum(scores) / len(scores):.3f}", flush=True)


def prepared_photo(path: Path, settings: ResolvedEditSettings, spec: ModelSpec) -> Prepared:
    """A sample photo at the model's size."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return prepare(EditRequest(source=read_image(path).rgb, instruction="", settings=settings, digest=digest), spec)


if __name__ == "__main__":
    main()
