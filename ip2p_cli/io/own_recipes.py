"""The chain recipes that come with the tool, found by their names."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from ip2p_cli.errors import UsageError
from ip2p_cli.folders import expand_home
from ip2p_cli.suggest import did_you_mean


def own_recipes() -> dict[str, Path]:
    """List the recipes: the file of each name, in the order of names."""
    folder = Path(str(resources.files("ip2p_cli").joinpath("recipes")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_recipe(word: str) -> Path:
    """Find the recipe that `word` names: a file, or else a recipe that comes with the tool.

    Raises:
        UsageError: It is neither; the message has the nearest name.
    """
    path = expand_home(word)
    own = own_recipes()
    is_file = os.path.isfile(path)  # noqa: PTH113 - False for a name that is too long, as a quoted instruction may be
    if word in own and not is_file:
        return own[word]
    if path.suffix.lower() in (".yaml", ".yml") or is_file:
        return path
    hint = did_you_mean(word, own) or f" The tool has {', '.join(own)}."
    raise UsageError(f"{word}: neither a recipe file (.yaml) nor a recipe that comes with the tool.{hint}")
