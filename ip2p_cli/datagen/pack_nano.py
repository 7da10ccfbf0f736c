"""Putting a trained model into the package as nano.

    python -m ip2p_cli.datagen.pack_nano MODEL FIGURES RECIPE TARGET

Half-precision weights, the wordings it knows with their sentence states, and a model card with its figures.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from ip2p_cli.io.train_recipes import TrainRecipe, read_train_recipe
from ip2p_cli.looks import looks
from ip2p_cli.models.loader import load_editor
from ip2p_cli.models.nano.look_matcher import write_known
from ip2p_cli.models.registry import MODELS, find_model
from ip2p_cli.models.save import save_editor


def pack(model: Path, figures: dict[str, float], recipe: TrainRecipe, target: Path) -> None:
    """Write `model` (a finished run of `recipe`) with its measured `figures` to `target`."""
    trained = load_editor(find_model(str(model)), device="cpu", dtype="fp32")
    editor = replace(trained, spec=MODELS["nano"])
    save_editor(editor, target, card=card(figures, recipe), dtype=torch.float16)
    wordings = [(text, look.name) for look in looks().values() for text in look.wordings + look.slightly + look.much]
    write_known(editor, wordings, target)


def card(figures: dict[str, float], recipe: TrainRecipe) -> str:
    """nano's model card: what it is, what it was trained on, its looks, figures and limits."""
    groups: dict[str, list[str]] = {}
    for look in looks().values():
        groups.setdefault(look.group, []).append(f"{look.name} (“{look.wordings[0]}”)")
    known = "\n".join(f"- {group}: {', '.join(names)}" for group, names in groups.items())
    spec = MODELS["nano"]
    settings = ", ".join(f"{key} {value}" for key, value in vars(spec.defaults).items() if value is not None)
    return f"""# nano

The small model inside ip2p: an InstructPix2Pix of its own, made from nothing by `ip2p train`
(`make nano PHOTOS=FOLDER`). It edits real photos offline, in seconds on two processor cores, and does what it
was trained for: {len(looks())} photographic looks. It does not add, remove or replace things.

## Made of

A patch autoencoder in closed form (principal components of 4 x 4 RGB patches, 16 of 48 kept), a text encoder of its
own (CLIP's architecture; taught by all-MiniLM-L6-v2, frozen afterwards) and diffusers' UNet2DConditionModel, with the
image condition concatenated as in the paper; v-prediction, zero terminal SNR; averaged weights, stored in fp16.
Defaults: {settings}. The empty instruction means: no change.

## Trained on

Photographs of the public collection `imagenet-sample-images` (one photo per ImageNet class; every
{recipe.hold_out_every}th held out), reduced to 256 px, as pairs painted on the fly by ip2p's own look functions, with
written instructions for each; {recipe.total_steps} steps. The photos themselves are not part of ip2p.

## Looks

{known}

Most take a strength: “slightly”, “a bit”, “much”, “a lot”.

## Figures

On {figures["photos"]:.0f} photos that were neither trained on nor tuned with, at 256 px, by
`python -m benchmarks.nano_quality --skip 12`: an edit counts as followed when, of all looks' functions applied to the
photo, its own comes nearest.

| | |
|---|---|
| followed, trained wordings | {figures["followed_trained"]:.1%} |
| followed, wordings kept out of training | {figures["followed_held_out"]:.1%} |
| median PSNR to its own look's target | {figures["median_psnr"]:.1f} dB |
| empty instruction: PSNR to the photo | {figures["empty_instruction_psnr"]:.1f} dB |
| mean difference between two seeds | {figures["seed_difference"]:.1f} of 255 |
| one edit on two cores | {figures["seconds"]:.1f} s |

## Limits

It knows looks, not things: “add a cat” gets the nearest look it knows, and a line that says so. Drawing and painting
looks are softer than the functions they were learned from. Photos of people were few among its training photos.
For any instruction use a full model: `--model instruct-pix2pix`.

Licence: Apache-2.0.
"""


if __name__ == "__main__":
    _, model_folder, figures_file, recipe_file, target_folder = sys.argv
    measured = json.loads(Path(figures_file).read_text("utf-8"))
    pack(Path(model_folder), measured, read_train_recipe(Path(recipe_file)), Path(target_folder))
