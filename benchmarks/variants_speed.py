"""How much the variants' shared work saves: `python -m benchmarks.variants_speed`.

Makes the same pictures in one sweep, in a loop of single edits over the same loaded model, and with diffusers' own
pipeline around the same parts, in one run, and prints the ratios.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from ip2p_cli.diffusion.samplers import make_scheduler
from ip2p_cli.io.images import read_image
from ip2p_cli.io.sizes import to_model
from ip2p_cli.models.loader import Editor, load_editor
from ip2p_cli.models.registry import find_model
from ip2p_cli.settings import resolve
from ip2p_cli.types import EditRequest, EditSettings
from ip2p_cli.workflows.edit import Prepared, edit_batch, prepare
from ip2p_cli.workflows.variants import SharedWork

SAMPLES = Path(__file__).parent.parent / "samples"


def items(
    editor: Editor, photo: Path, seeds: int, texts: list[float], images: list[float], steps: int, resolution: int | None
) -> list[Prepared]:
    picture = read_image(photo)
    made = []
    for seed in range(seeds):
        for cfg_text in texts:
            for cfg_image in images:
                said = EditSettings(
                    seed=seed,
                    cfg_text=cfg_text,
                    cfg_image=cfg_image,
                    steps=steps,
                    sampler="dpmpp_2m",
                    resolution=resolution,
                )
                settings = resolve(said, editor.spec)
                made.append(
                    EditRequest(
                        source=picture.rgb, instruction="make it winter", settings=settings, digest=picture.digest
                    )
                )
    return [prepare(request, editor.spec) for request in made]


def with_diffusers(editor: Editor, one: Prepared) -> None:
    from diffusers import StableDiffusionInstructPix2PixPipeline

    settings = one.request.settings
    pipeline = StableDiffusionInstructPix2PixPipeline(
        vae=editor.vae,
        text_encoder=editor.text_encoder,
        tokenizer=editor.tokenizer,
        unet=editor.unet,
        scheduler=make_scheduler(settings.sampler, editor.scheduler_config, settings.steps),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline(
        one.request.instruction,
        image=to_model(one.request.source, one.fit),
        num_inference_steps=settings.steps,
        guidance_scale=settings.cfg_text,
        image_guidance_scale=settings.cfg_image,
        generator=torch.Generator("cpu").manual_seed(settings.seed),
        output_type="pt",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--photo", type=Path, default=SAMPLES / "coffee.jpg")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--cfg-text", type=float, nargs="+", default=[2.0, 3.0])
    parser.add_argument("--cfg-image", type=float, nargs="+", default=[1.2, 1.5])
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--resolution", type=int, help="default: the model's own")
    parser.add_argument("--diffusers", action="store_true", help="a model whose VAE diffusers' pipeline knows")
    args = parser.parse_args()
    editor = load_editor(find_model(args.model), device="cpu", dtype="fp32")
    batch = items(editor, args.photo, args.seeds, args.cfg_text, args.cfg_image, args.steps, args.resolution)
    edit_batch(editor, batch[:1])  # first calls are slow
    work = SharedWork()
    ways = {
        "one sweep": lambda one: work(editor, [one]),
        "single edits": lambda one: edit_batch(editor, [one]),
    }
    if args.diffusers:
        ways["diffusers"] = lambda one: with_diffusers(editor, one)  # type: ignore[assignment,return-value]
    seconds = dict.fromkeys(ways, 0.0)
    for one in batch:  # in turn, so that a busy machine is fair to all
        for name, make in ways.items():
            began = time.process_time()
            make(one)
            seconds[name] += time.process_time() - began
    print(f"{args.model}, {len(batch)} variants, {args.steps} steps; CPU seconds, and times one sweep:\n")
    for name, spent in seconds.items():
        print(f"| {name} | {spent:.2f} | {spent / seconds['one sweep']:.2f} |")


if __name__ == "__main__":
    main()
