"""`ip2p recipes [NAME]`: the chain recipes that come with the tool."""

from __future__ import annotations

import sys
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
    """List the chain recipes that come with the tool, or show one: ip2p recipes four-seasons"""
    from ip2p_cli.io.own_recipes import find_recipe, own_recipes
    from ip2p_cli.io.recipe_paths import paths_of
    from ip2p_cli.io.recipes import read_recipe, recipe_schema

    output = Output(json=json, quiet=quiet)
    if schema:
        import json as as_json

        sys.stdout.write(as_json.dumps(recipe_schema(), indent=2) + "\n")
        return
    if name is not None and not json:
        sys.stdout.write(find_recipe(name).read_text("utf-8"))
        return
    listed = own_recipes() if name is None else {name: find_recipe(name)}
    width = max(map(len, listed))
    for one, path in listed.items():
        recipe = read_recipe(path)
        edits = [[step.edit.instruction for step in way] for way in paths_of(recipe)]
        variables = {key: variable.default for key, variable in recipe.variables.items()}
        data = {"name": one, "description": recipe.description, "variables": variables, "edits": edits}
        output.data(f"{one:{width}}  {recipe.description}", data)
