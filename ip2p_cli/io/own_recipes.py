"""The chain recipes that come with the tool: found by their bare names."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from ip2p_cli.errors import UsageError
from ip2p_cli.suggest import did_you_mean


def own_recipes() -> dict[str, Path]:
    """Name -> file, in the order of names."""
    folder = Path(str(resources.files("ip2p_cli").joinpath("recipes")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_recipe(word: str) -> Path:
    """The recipe that `word` means: a file, else one that comes with the tool. UsageError where it is neither."""
    path = Path(word).expanduser()
    own = own_recipes()
    if word in own and not path.is_file():
        return own[word]
    if path.suffix.lower() in (".yaml", ".yml") or path.is_file():
        return path
    hint = did_you_mean(word, own) or f" It has {', '.join(own)}."
    raise UsageError(f"{word}: neither a recipe file (.yaml) nor one that comes with the tool.{hint}")
