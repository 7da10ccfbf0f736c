"""The flags of `ip2p chain` alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ip2p_cli.cli.input_args import assignments
from ip2p_cli.errors import UsageError
from ip2p_cli.types import Guard, Handoff

if TYPE_CHECKING:
    from ip2p_cli.io.recipe_paths import Recipe

_HOW = "How to edit"
_OUT = "Output"


@dataclass(frozen=True, kw_only=True)
class ChainFlags:
    """Which edits, and how they follow each other."""

    edits: Annotated[
        list[str] | None,
        typer.Option("--edit", help="An edit of a chain without a recipe; may be repeated.", rich_help_panel=_HOW),
    ] = None
    variables: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A recipe's variable; may be repeated.", rich_help_panel=_HOW),
    ] = None
    begin: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Number or name of an edit to begin with, on what the last run into this folder made before it.",
            rich_help_panel=_HOW,
        ),
    ] = None
    until: Annotated[str | None, typer.Option(help="Number or name of the edit to end with.", rich_help_panel=_HOW)] = (
        None
    )
    handoff: Annotated[
        Handoff | None,
        typer.Option(help="How an edit gets what the one before made. Default: the recipe's.", rich_help_panel=_HOW),
    ] = None
    guard: Annotated[
        Guard | None,
        typer.Option(
            help="low: take off what each edit changes unasked, coarsely; against drift, for more time. Default: the "
            "recipe's, else none.",
            rich_help_panel=_HOW,
        ),
    ] = None
    best_of: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=64,
            help="Seeds that an edit tries; the best is kept. Default: the recipe's, else 1.",
            rich_help_panel=_HOW,
        ),
    ] = None
    check: Annotated[
        bool, typer.Option("--check", help="Check the recipe, print what it comes to, and load nothing.")
    ] = False
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Do not keep what edits leave for later runs.", rich_help_panel=_OUT)
    ] = False

    def recipe(self, words: list[str]) -> tuple[list[str], Recipe]:
        """Return the words that name photos, and the recipe; raises UsageError if either is missing."""
        from ip2p_cli.io.own_recipes import find_recipe
        from ip2p_cli.io.recipes import quick_recipe, read_recipe

        values = assignments(self.variables or [], "season=autumn")
        if self.edits:
            if values:
                raise UsageError("--set is for recipes: an --edit has no variables.")
            if not words and not self.check:
                raise UsageError('give a photo: ip2p chain in.jpg --edit "make it winter" --edit "make it night"')
            return words, quick_recipe(self.edits)
        if not words or (len(words) < 2 and not self.check):
            raise UsageError(
                "give a photo and a recipe: ip2p chain in.jpg four-seasons -o out; `ip2p recipes` lists those that "
                "come with the tool."
            )
        if words[0].endswith((".yaml", ".yml")) and not words[-1].endswith((".yaml", ".yml")):
            raise UsageError(f"the recipe comes last: ip2p chain {' '.join(words[1:])} {words[0]}")
        return words[:-1], read_recipe(find_recipe(words[-1]), values)
