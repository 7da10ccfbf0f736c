"""Pack a trained model into ip2p as nano.

    python -m ip2p_cli.datagen.pack_nano MODEL FIGURES RECIPE TARGET

TARGET gets the weights in half precision, the known wordings with their sentence states, and a model card.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib import resources
from itertools import groupby
from pathlib import Path

import jinja2
import torch

from ip2p_cli.io.train_recipes import TrainRecipe, read_train_recipe
from ip2p_cli.looks import looks
from ip2p_cli.models.loader import load_editor
from ip2p_cli.models.nano.look_matcher import write_known
from ip2p_cli.models.registry import MODELS, find_model
from ip2p_cli.models.save import save_editor


def pack(model: Path, figures: dict[str, float], recipe: TrainRecipe, target: Path) -> None:
    """Write a model, a finished run of `recipe`, with its measured `figures` to the folder `target`."""
    trained = load_editor(find_model(str(model)), device="cpu", dtype="fp32")
    editor = replace(trained, spec=MODELS["nano"])
    save_editor(editor, target, card=card(figures, recipe), dtype=torch.float16)
    wordings = [(text, look.name) for look in looks().values() for text in look.wordings + look.slightly + look.much]
    write_known(editor, wordings, target)


def card(figures: dict[str, float], recipe: TrainRecipe) -> str:
    """Write nano's model card: what it is, what it was trained on, its looks, figures and limits."""
    defaults = vars(MODELS["nano"].defaults)
    environment = jinja2.Environment(keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    template = resources.files(__package__ or "ip2p_cli.datagen").joinpath("nano_card.md.j2").read_text("utf-8")
    return environment.from_string(template).render(
        count=len(looks()),
        groups={group: list(members) for group, members in groupby(looks().values(), lambda look: look.group)},
        settings=", ".join(f"{name} {value}" for name, value in defaults.items() if value is not None),
        recipe=recipe,
        figures=figures,
    )


if __name__ == "__main__":
    _, model_folder, figures_file, recipe_file, target_folder = sys.argv
    measured = json.loads(Path(figures_file).read_text("utf-8"))
    pack(Path(model_folder), measured, read_train_recipe(Path(recipe_file)), Path(target_folder))
