"""Groups of flags: a command gets them whole, a user sees them one by one."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from ip2p_cli.cli.app import app
from ip2p_cli.cli.flags import CommonFlags, EditFlags, ModelFlags, OutputFlags, ScaleFlags, takes_flags
from ip2p_cli.types import EditSettings, OutputOptions


@dataclass(frozen=True, kw_only=True)
class Colours:
    """A group with a flag that must be given."""

    front: Annotated[str, typer.Option()]
    back: Annotated[str | None, typer.Option(help="Behind.")] = None


@pytest.fixture
def called() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def small_app(called: list[dict[str, Any]]) -> typer.Typer:
    small = typer.Typer()

    @small.command()
    @takes_flags
    def paint(
        words: Annotated[list[str] | None, typer.Argument()] = None, *, colours: Colours, output: OutputFlags
    ) -> None:
        """Paint words."""
        called.append({"words": words, "colours": colours, "output": output})

    return small


def test_groups_come_back_as_dataclasses(small_app: typer.Typer, called: list[dict[str, Any]]) -> None:
    words = ["one", "--front", "red", "two", "-o", "out", "--quality", "80", "--gif"]
    result = CliRunner().invoke(small_app, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert called == [
        {
            "words": ["one", "two"],
            "colours": Colours(front="red"),
            "output": OutputFlags(out="out", quality=80, gif=True),
        }
    ]


def test_a_flag_without_a_default_must_be_given(small_app: typer.Typer, called: list[dict[str, Any]]) -> None:
    result = CliRunner().invoke(small_app, ["--back", "blue"])
    assert result.exit_code == 2
    assert "--front" in result.output
    assert called == []


def test_help_shows_every_flag_and_the_commands_docstring(small_app: typer.Typer) -> None:
    result = CliRunner().invoke(small_app, ["--help"], env={"COLUMNS": "200"})
    for text in ("Paint words.", "--front", "--back", "Behind.", "--quality", "--overwrite"):
        assert text in result.output
    assert "--colours" not in result.output


def options_of(command: str) -> dict[str, Any]:
    """The options of a command by name: how they are written, their help, default and panel."""
    commands: Any = typer.main.get_command(app)
    return {
        option.name: (option.opts, option.help, option.default, getattr(option, "rich_help_panel", None))
        for option in commands.commands[command].params
        if hasattr(option, "help")
    }


@pytest.mark.parametrize("group", [OutputFlags, ModelFlags, EditFlags, CommonFlags])
@pytest.mark.parametrize("command", ["variants", "chain"])
def test_commands_that_edit_have_the_same_options(command: str, group: type) -> None:
    expected, found = options_of("edit"), options_of(command)
    names = [flag.name for flag in fields(group)]
    assert len(names) > 2
    assert {name: found[name] for name in names} == {name: expected[name] for name in names}


@pytest.mark.parametrize("command", ["edit", "variants", "chain"])
def test_output_options_are_in_the_help(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    for flag in fields(OutputFlags):
        assert any(name in result.output for name in options_of(command)[flag.name][0])
    for name in ("--format", "--quality", "--strip", "--gif", "--webp", "--report", "--sidecar", "--no-metadata"):
        assert name in result.output


def test_no_two_options_of_a_command_are_written_alike() -> None:
    commands: Any = typer.main.get_command(app)
    for command in ("edit", "variants", "chain", "replay"):
        written = [name for option in commands.commands[command].params for name in option.opts]
        assert len(written) == len(set(written)), command


def test_what_is_not_given_stays_open() -> None:
    assert EditFlags(seed=3).settings(ScaleFlags(steps=2)) == EditSettings(seed=3, steps=2)
    assert EditFlags().settings() == EditSettings()


def test_output_flags_as_options() -> None:
    assert OutputFlags().options() == OutputOptions()
    assert OutputFlags().options(strip=True).strip
    assert not OutputFlags(strip=False).options(strip=True).strip
    assert not OutputFlags(no_metadata=True).options().metadata
