"""`ip2p gen-data run RECIPE`: all stages, each with the settings that the recipe has for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from typer import Argument, Option

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.flags import CommonFlags, takes_flags
from ip2p_cli.cli.gen_data import flags as gen
from ip2p_cli.cli.gen_data.captions import captions
from ip2p_cli.cli.gen_data.export import export
from ip2p_cli.cli.gen_data.filter import filter_pairs
from ip2p_cli.cli.gen_data.pairs import pairs
from ip2p_cli.cli.gen_data.running import Stage, begin, command_of, finish
from ip2p_cli.cli.gen_data.triplets import triplets
from ip2p_cli.cli.output import Output
from ip2p_cli.errors import UsageError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from ip2p_cli.io.yaml_files import Document

# The stages in order. Their flags are a recipe's settings, but for those of the run.
STAGES: dict[str, Stage] = {
    "captions": captions,
    "triplets": triplets,
    "pairs": pairs,
    "filter": filter_pairs,
    "export": export,
}
_OF_THE_RUN = {"data", "workers", "engine", "shard", "redo", "json", "quiet", "debug", "plan", "planned"}


@takes_flags
def run(
    recipe: Annotated[Path, Argument(metavar="RECIPE", help="A YAML file: the stages and their settings.")],
    data: gen.DataOption,
    common: CommonFlags,
    source: Annotated[
        str | None, Option(help="Where captions come from, instead of the recipe's own: photos:FOLDER, a file.")
    ] = None,
    until: Annotated[str | None, Option(help="The stage to end with.")] = None,
    workers: gen.Workers = None,
    engine: opt.Engine = "local",
    redo: opt.Redo = False,
    plan: gen.Plan = False,
) -> None:
    """Make a whole dataset: ip2p gen-data run recipes/data-looks.yaml --source photos:FOLDER -o DATA.

    Shards that exist are not made again. The recipe's keys are the stages, and theirs the flags of their commands.
    """
    output = Output(json=common.json, quiet=common.quiet)
    stages = _read_recipe(recipe, source, until)
    shared = {"data": data, "workers": workers, "engine": engine, "redo": redo, "plan": plan, **vars(common)}
    if plan:
        finish(begin(pairs, stages.get("pairs", {}) | shared))
        return
    stages.get("export", {}).setdefault("out", data / "export")
    # What all stages need is checked before the first one works.
    for name, steps in {name: begin(STAGES[name], settings | shared) for name, settings in stages.items()}.items():
        output.say(f"{name}:")
        finish(steps)


def _read_recipe(path: Path, source: str | None, until: str | None) -> dict[str, dict[str, Any]]:
    """The arguments of each stage to run. Raises UsageError with the file and the line of what is wrong."""
    from ip2p_cli.io.yaml_files import read_yaml
    from ip2p_cli.suggest import did_you_mean

    document = read_yaml(path)
    if not isinstance(document.raw, dict):
        raise UsageError(f"{document.where()}: not a recipe: it must hold stages, such as captions and triplets")
    for key in document.raw:
        if key not in (*STAGES, "name", "description"):
            raise UsageError(f"{document.where([key])}: there is no stage {key!r}.{did_you_mean(str(key), STAGES)}")
    names = [name for name in STAGES if name in document.raw or (name == "captions" and source is not None)]
    if not names:
        raise UsageError(f"{document.where()}: it names no stage: {', '.join(STAGES)}")
    if until is not None:
        if until not in names:
            raise UsageError(f"--until {until}: {path} has no such stage.{did_you_mean(until, STAGES)}")
        names = names[: names.index(until) + 1]
    return {name: _read_stage(document, name, {"source": source} if name == "captions" else {}) for name in names}


def _read_stage(document: Document, stage: str, given: dict[str, str | None]) -> dict[str, Any]:
    """The arguments of a stage; `given` ones, where they are not None, come before the recipe's."""
    from pydantic import ValidationError

    from ip2p_cli.suggest import did_you_mean

    raw = document.raw.get(stage)
    if raw is not None and not isinstance(raw, dict):
        raise UsageError(f"{document.where([stage])}: {stage} should hold settings, such as {{seed: 1}}")
    values = {**(raw or {}), **{name: value for name, value in given.items() if value is not None}}
    known = _recipe_settings(command_of(STAGES[stage]))
    arguments = {}
    for name, value in values.items():
        where = document.where([stage, name])
        if name not in known:
            raise UsageError(f"{where}: {stage} has no setting {name!r}.{did_you_mean(str(name), known)}")
        parameter, adapter = known[name]
        try:
            arguments[parameter] = adapter.validate_python(value)
        except ValidationError as error:
            raise UsageError(f"{where}: {stage}: {name}: {error.errors()[0]['msg']} (it is {value!r})") from None
    if stage == "captions" and not arguments.get("source"):
        raise UsageError(f"{document.where([stage])}: captions of what? Give --source photos:FOLDER, or a file")
    return arguments


def _recipe_settings(command: Callable[..., None]) -> dict[str, tuple[str, TypeAdapter[Any]]]:
    """What a recipe may set: the flags' names with _ for -, each with its parameter and what checks its values."""
    from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter

    settings: dict[str, tuple[str, TypeAdapter[Any]]] = {}
    for parameter, hint in get_type_hints(command, include_extras=True).items():
        if parameter in _OF_THE_RUN | {"return"}:
            continue
        kind, option = hint.__origin__, hint.__metadata__[0]
        names = [text for text in (option.default, *(option.param_decls or ())) if str(text).startswith("--")]
        name = (names or [parameter])[0].split("/")[0].removeprefix("--").replace("-", "_")
        checks: list[Any] = [] if kind is bool else [BeforeValidator(_not_a_switch)]
        if option.min is not None or option.max is not None:
            checks.append(Field(ge=option.min, le=option.max))
        checked: Any = Annotated[(kind, *checks)] if checks else kind
        settings[name] = parameter, TypeAdapter(checked, config=ConfigDict(coerce_numbers_to_str=True))
    return settings


def _not_a_switch(value: Any) -> Any:
    """Refuse true and false, which are numbers to Python."""
    if isinstance(value, bool):
        raise ValueError("true and false are no values for it")
    return value
