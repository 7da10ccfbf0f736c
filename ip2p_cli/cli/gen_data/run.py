"""`ip2p gen-data run RECIPE`: all stages, one after the other; each stage's settings are its command's flags."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.gen_data import options as gen
from ip2p_cli.cli.gen_data.pairs import Plan
from ip2p_cli.cli.output import Output
from ip2p_cli.errors import UsageError

STAGES = ("captions", "triplets", "pairs", "filter", "export")
# Said once for all stages, or never in a recipe.
_COMMON = ("workers", "engine", "shard", "redo", "json", "quiet", "debug", "plan", "triplets")


def run(
    context: typer.Context,
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A YAML file: the stages and their settings.")],
    data: gen.DataOption,
    source: Annotated[
        str | None, typer.Option(help="What to take captions from, instead of the recipe's own: photos:FOLDER, a file.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="The stage to end with.")] = None,
    workers: gen.Workers = None,
    engine: opt.Engine = "local",
    redo: opt.Redo = False,
    plan: Plan = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Make a whole dataset: ip2p gen-data run recipes/data-looks.yaml --source photos:FOLDER -o DATA

    What is done already is not done again. The recipe's keys are the stages, and theirs the flags of their commands.
    """
    output = Output(json=json, quiet=quiet)
    group: Any = context.parent.command if context.parent else None
    stages = _read(recipe, group, source, until)
    common = ["--workers", str(workers)] if workers else []
    common += ["--engine", engine] if engine != "local" else []
    common += ["--redo"] if redo else []
    common += [flag for flag, said in (("--json", json), ("--quiet", quiet), ("--debug", debug)) if said]
    if plan:
        _invoke(group.commands["pairs"], "pairs", [str(data), *stages.get("pairs", []), "--plan"], recipe)
        return
    for name, arguments in stages.items():
        command = group.commands[name]
        output.say(f"{name}:")
        known = {flag for parameter in command.params for flag in parameter.opts}
        shared = [*_pairs_of(common, known)]
        _invoke(command, name, [*_places(name, data, arguments), *shared], recipe)


def _places(name: str, data: Path, arguments: Sequence[str]) -> list[str]:
    """A stage's arguments, with the dataset's folder where its command takes it."""
    if name == "captions":
        return [*arguments, "-o", str(data)]
    if name == "export" and "--output" not in arguments:
        return [str(data), *arguments, "--output", str(data / "export")]
    return [str(data), *arguments]


def _pairs_of(common: Sequence[str], known: set[str]) -> list[str]:
    """Those of the common flags that a command has, with their values."""
    kept: list[str] = []
    takes = False
    for word in common:
        if word.startswith("--"):
            takes = word in known
        if takes:
            kept.append(word)
    return kept


def _invoke(command: Any, name: str, arguments: list[str], recipe: Path) -> None:
    """Run a stage's command as if it were typed; UsageError for a value that it does not take."""
    try:
        command.main(args=arguments, prog_name=f"ip2p gen-data {name}", standalone_mode=False)
    except Exception as error:
        told = getattr(error, "format_message", None)  # of Typer's own parser
        if told is None:
            raise
        raise UsageError(f"{recipe}: {name}: {' '.join(str(told()).split())}") from None


def _read(recipe: Path, group: Any, source: str | None, until: str | None) -> dict[str, list[str]]:
    """Each stage's arguments; UsageError with file and line for a key that is no stage or no flag of its command."""
    from ip2p_cli.io.yaml_files import read_yaml
    from ip2p_cli.suggest import did_you_mean

    document = read_yaml(recipe)
    if not isinstance(document.raw, dict):
        raise UsageError(f"{document.where()}: not a recipe: it must hold stages, such as captions and triplets")
    for key in document.raw:
        if key not in (*STAGES, "name", "description"):
            raise UsageError(f"{document.where([key])}: there is no stage {key!r}.{did_you_mean(str(key), STAGES)}")
    if until is not None and until not in document.raw:
        raise UsageError(f"--until {until}: {recipe} has no such stage.{did_you_mean(until, STAGES)}")
    stages: dict[str, list[str]] = {}
    for name in STAGES:
        said = document.raw.get(name, {} if name in document.raw else None)
        if name == "captions" and source is not None:
            said = {**(said or {}), "source": source}
        if name not in document.raw and not (name == "captions" and source is not None):
            continue
        if said is not None and not isinstance(said, dict):
            raise UsageError(f"{document.where([name])}: {name} should hold settings, such as {{seed: 1}}")
        known = _flags(group.commands[name])
        for key in said or {}:
            if key not in known:
                near = did_you_mean(str(key), known)
                raise UsageError(f"{document.where([name, key])}: {name} has no setting {key!r}.{near}")
        if name == "captions" and not (said or {}).get("source"):
            raise UsageError(f"{document.where([name])}: captions of what? Give --source photos:FOLDER, or a file")
        stages[name] = [word for key, value in (said or {}).items() for word in _words(known[key], value)]
        if name == until:
            break
    if not stages:
        raise UsageError(f"{document.where()}: it names no stage: {', '.join(STAGES)}")
    return stages


def _flags(command: Any) -> dict[str, Any]:
    """A command's parameters by the names that a recipe gives them: flags without dashes, _ for -."""
    found = {}
    for parameter in command.params:
        names = [flag for flag in parameter.opts if flag.startswith("--")] or [parameter.name]
        for name in names:
            found[name.lstrip("-").replace("-", "_")] = parameter
    for name in (*_COMMON, "data", "output", "help"):
        if name != "output" or command.name != "export":
            found.pop(name, None)
    return found


def _words(parameter: Any, value: Any) -> list[str]:
    """A setting as it is typed."""
    flag = next((flag for flag in parameter.opts if flag.startswith("--")), None)
    values = value if isinstance(value, list) else [value]
    if flag is None:
        return [str(one) for one in values]
    if isinstance(value, bool):
        negative = next(iter(parameter.secondary_opts), None)
        return [flag] if value else [negative] if negative else []
    return [word for one in values for word in (flag, str(one))]
