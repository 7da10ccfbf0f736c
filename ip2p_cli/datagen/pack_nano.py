"""Pack a trained model into ip2p as nano.

    python -m ip2p_cli.datagen.pack_nano RECIPE TARGET --model MODEL
    python -m ip2p_cli.datagen.pack_nano RECIPE TARGET --figures FIGURES

The first gives TARGET the weights in half precision, and the known wordings with their sentence states, so that they
can be measured; the second gives it the model card with the figures that were measured.
"""

from __future__ import annotations

import argparse
import json
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


def pack(model: Path, target: Path) -> None:
    """Write a trained model to the folder `target`, without a model card."""
    trained = load_editor(find_model(str(model)), device="cpu", dtype="fp32")
    editor = replace(trained, spec=MODELS["nano"])
    save_editor(editor, target, card="", dtype=torch.float16)
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


def main() -> None:
    """Do what the module says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--model", type=Path, help="a finished run of the recipe")
    parser.add_argument("--figures", type=Path, help="what benchmarks.nano_quality --write wrote")
    args = parser.parse_args()
    if args.model is not None:
        pack(args.model, args.target)
    if args.figures is not None:
        figures = json.loads(args.figures.read_text("utf-8"))
        (args.target / "README.md").write_text(card(figures, read_train_recipe(args.recipe)), "utf-8")


if __name__ == "__main__":
    main()
