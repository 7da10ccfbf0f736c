"""How much the variants' shared work saves: `python -m benchmarks.variants_speed`.

Makes the same pictures in one sweep, in a loop of single edits over the same loaded model, and with diffusers' own
pipeline around the same parts, in one run, and prints the ratios.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ip2p_cli.diffusion.samplers import make_scheduler
from ip2p_cli.editing.choose import Chooser
from ip2p_cli.editing.engine import Engine
from ip2p_cli.editing.model_choice import ModelChoice
from ip2p_cli.editing.step_cache import StepCache
from ip2p_cli.editing.tree import EditTree
from ip2p_cli.editing.tree_plan import single_edit
from ip2p_cli.editing.tree_run import TreeRun
from ip2p_cli.io.images import Picture, read_image
from ip2p_cli.io.sizes import fit_for, to_model
from ip2p_cli.models.loader import Editor, load_editor
from ip2p_cli.models.registry import find_model
from ip2p_cli.settings import resolve
from ip2p_cli.types import EditSettings

SAMPLES = Path(__file__).parent.parent / "samples"


def variants(
    editor: Editor, seeds: int, texts: list[float], images: list[float], steps: int, resolution: int | None
) -> list[EditTree]:
    choice = ModelChoice(spec=editor.spec, device="cpu", dtype="fp32", known_weights="whichever")
    made = []
    for seed in range(seeds):
        for cfg_text in texts:
            for cfg_image in images:
                given = EditSettings(
                    seed=seed,
                    cfg_text=cfg_text,
                    cfg_image=cfg_image,
                    steps=steps,
                    sampler="dpmpp_2m",
                    resolution=resolution,
                )
                made.append(single_edit("make it winter", resolve(given, editor.spec), choice))
    return made


def with_engine(engine: Engine, picture: Picture, tree: EditTree) -> None:
    TreeRun(tree, picture, engine, StepCache(None), Chooser()).edit(tree.steps[0])


def with_diffusers(editor: Editor, picture: Picture, tree: EditTree) -> None:
    from diffusers import StableDiffusionInstructPix2PixPipeline

    [step] = tree.steps
    settings = step.settings
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
        step.instruction,
        image=to_model(picture.rgb, fit_for(picture.rgb.size, settings, editor.spec.multiple)),
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
    picture = read_image(args.photo)
    trees = variants(editor, args.seeds, args.cfg_text, args.cfg_image, args.steps, args.resolution)
    with_engine(Engine(lambda _: editor), picture, trees[0])  # first calls are slow
    shared = Engine(lambda _: editor)
    ways: dict[str, Callable[[EditTree], None]] = {
        "one sweep": lambda tree: with_engine(shared, picture, tree),
        "single edits": lambda tree: with_engine(Engine(lambda _: editor), picture, tree),
    }
    if args.diffusers:
        ways["diffusers"] = lambda tree: with_diffusers(editor, picture, tree)
    seconds = dict.fromkeys(ways, 0.0)
    for tree in trees:  # in turn, so that a busy machine is fair to all
        for name, make in ways.items():
            began = time.process_time()
            make(tree)
            seconds[name] += time.process_time() - began
    print(f"{args.model}, {len(trees)} variants, {args.steps} steps; CPU seconds, and times one sweep:\n")
    for name, spent in seconds.items():
        print(f"| {name} | {spent:.2f} | {spent / seconds['one sweep']:.2f} |")


if __name__ == "__main__":
    main()
