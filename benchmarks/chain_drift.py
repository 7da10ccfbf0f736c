"""What ten edits in a row cost, handed over as latents and as pixels: `python -m benchmarks.chain_drift`.

"nothing" is nano's null text, an edit that asks for nothing; "gentle" is "make it warmer" and "make it cooler" in turn.
PSNR (dB) and the distance of the mean colours (levels of 255) are those of the last picture from the photo, both at the
model's size, before anything of the photo's own detail is brought back.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import replace
from pathlib import Path

import torch

from ip2p_cli.diffusion import editing
from ip2p_cli.diffusion.latents import ImageLatent
from ip2p_cli.io.images import read_image
from ip2p_cli.models.loader import Editor, load_editor
from ip2p_cli.models.registry import find_model
from ip2p_cli.settings import resolve
from ip2p_cli.types import EditRequest, EditSettings
from ip2p_cli.workflows.edit import Prepared, as_image, as_tensor, cut, prepare, sample

SAMPLES = Path(__file__).parent.parent / "samples"
PHOTOS = ("cat.jpg", "coffee.jpg", "palace.jpg", "portrait.jpg")
CHAINS = {"nothing": ("",), "gentle": ("make it warmer", "make it cooler")}


def ten_edits(editor: Editor, prepared: Prepared, texts: tuple[str, ...], edits: int, *, pixels: bool) -> torch.Tensor:
    """The padded picture after `edits` edits, (3, H, W) in [0, 1]."""
    image = editing.encode_image(editor, prepared.pixels[None] * 2 - 1)
    for position in range(edits):
        request = replace(prepared.request, instruction=texts[position % len(texts)], position=position)
        left = sample(editor, image, [request])
        image = ImageLatent(left.as_condition(editor.scaling_factor).tensor)
        if pixels:
            eight_bits = as_tensor(as_image(editing.decode(editor, image)[0]))
            image = editing.encode_image(editor, eight_bits[None] * 2 - 1)
    return editing.decode(editor, image)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=10)
    parser.add_argument("--resolution", type=int, default=256)
    asked = parser.parse_args()
    spec = find_model("nano")
    editor = load_editor(spec, device="cpu", dtype="fp32")
    settings = resolve(EditSettings(seed=1, resolution=asked.resolution), spec)
    for chain, texts in CHAINS.items():
        for way in ("latent", "pixels"):
            psnr, colour = [], []
            for name in PHOTOS:
                path = SAMPLES / name
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                request = EditRequest(source=read_image(path).rgb, instruction="", settings=settings, digest=digest)
                prepared = prepare(request, spec)
                after = cut(ten_edits(editor, prepared, texts, asked.edits, pixels=way == "pixels"), prepared.fit)
                before = cut(prepared.pixels, prepared.fit)
                psnr.append(float(-10 * ((after - before) ** 2).mean().log10()))
                colour.append(float((after.mean((1, 2)) - before.mean((1, 2))).norm() * 255))
            each = "  ".join(f"{p:5.1f} dB {c:5.1f}" for p, c in zip(psnr, colour, strict=True))
            mean = f"{sum(psnr) / len(psnr):5.2f} dB {sum(colour) / len(colour):5.2f}"
            print(f"{chain:8} {way:7} mean {mean}   {each}", flush=True)


if __name__ == "__main__":
    main()
