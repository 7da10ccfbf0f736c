"""`ip2p recipes [NAME]`: the chain recipes that come with the tool."""

from __future__ import annotations

import json as json_
from typing import Annotated

import typer

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.output import Output


def recipes(
    name: Annotated[str | None, typer.Argument(help="A recipe to show.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of recipes, for editors.")] = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """List the chain recipes that come with the tool, or show one: ip2p recipes four-seasons."""
    from ip2p_cli.io.own_recipes import find_recipe, own_recipes
    from ip2p_cli.io.recipe_paths import paths_of
    from ip2p_cli.io.recipe_schema import recipe_schema
    from ip2p_cli.io.recipes import read_recipe

    output = Output(json=json, quiet=quiet)
    if schema:
        output.text(json_.dumps(recipe_schema(), indent=2))
        return
    if name is not None and not json:
        output.text(find_recipe(name).read_text("utf-8").rstrip("\n"))
        return
    paths = own_recipes() if name is None else {name: find_recipe(name)}
    width = max(map(len, paths))
    for name_, path in paths.items():
        recipe = read_recipe(path)
        edits = [[step.edit.instruction for step in steps] for steps in paths_of(recipe)]
        variables = {key: variable.default for key, variable in recipe.variables.items()}
        data = {"name": name_, "description": recipe.description, "variables": variables, "edits": edits}
        output.data(f"{name_:{width}}  {recipe.description}", data)
