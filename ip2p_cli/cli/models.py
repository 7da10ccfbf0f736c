"""`ip2p models list|show|pull|rm|path`: the models, and where they are on this machine."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ip2p_cli.cli import loading
from ip2p_cli.cli import options as opt
from ip2p_cli.cli.output import Output
from ip2p_cli.errors import InterruptionError, ModelError, UsageError

if TYPE_CHECKING:
    from ip2p_cli.models.hub import OnDisk
    from ip2p_cli.types import ModelSpec

app = typer.Typer(help="List, show, fetch and delete models.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A model's name, hub id, folder or file.")]


@app.command("list")
def list_models(json: opt.Json = False, quiet: opt.Quiet = False, debug: opt.Debug = False) -> None:
    """List the built-in models, those of the config file, and others in the hub's cache."""
    specs = _all_models()
    width = max(len(spec.name) for spec, _ in specs)
    for spec, origin in specs:
        here = _on_disk(spec)
        licence = spec.licence.split(":")[0]
        text = f"{spec.name:{width}}  {_size(spec, here):>8}  {_state(here):12}  {spec.description}; licence: {licence}"
        if here is not None:
            text += f"; {here.path}"
        Output(json=json, quiet=quiet).data(text, _facts(spec, here) | {"origin": origin})


@app.command()
def show(
    name: Name,
    revision: opt.Revision = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Show a model's card: its origin, what it can do, its licence and defaults."""
    spec = _find(name, revision)
    output, here = Output(json=json, quiet=quiet), _on_disk(spec)
    if json:
        output.data("", _facts(spec, here))
        return
    card = Path(spec.source) / "README.md"
    if card.is_file():
        output.text(card.read_text("utf-8").rstrip("\n"))
        return
    defaults = ", ".join(f"{name} {value}" for name, value in asdict(spec.defaults).items() if value is not None)
    lines = [f"# {spec.name}", "", spec.description, "", f"source: {spec.source}", f"licence: {spec.licence}"]
    lines += [f"revision: {spec.revision}"] if spec.revision else []
    lines += [f"size: {_size(spec, here)}", f"state: {_state(here)}" + (f", at {here.path}" if here else "")]
    lines += [f"defaults: {defaults}"]
    output.text("\n".join(lines))


@app.command()
def pull(
    name: Name,
    revision: opt.Revision = None,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Fetch the files of a model that editing needs. An interrupted pull continues."""
    from ip2p_cli.models.hub import OnDisk, offline

    spec = _find(name, revision)
    output = Output(json=json, quiet=quiet)
    here = _on_disk(spec)
    if Path(spec.source).is_absolute() and here is not None:
        output.say(f"{spec.name} is on this machine already: nothing to pull.")
    else:
        if offline() and (here is None or not here.whole):
            raise ModelError(
                f"model {spec.name} is not on this machine, and nothing is fetched while IP2P_OFFLINE or "
                f"HF_HUB_OFFLINE is set; unset it, or copy the folder of {spec.source} here and give --model FOLDER"
            )
        from ip2p_cli.models.device import pick_device, pick_dtype
        from ip2p_cli.models.known_loras import LORAS, fetch_lora
        from ip2p_cli.models.model_files import fetch

        if quiet:
            from huggingface_hub.utils import disable_progress_bars

            disable_progress_bars()
        output.say(f"fetching huggingface.co/{spec.source} ({_size(spec, None)}); licence: {spec.licence}")
        if spec.name in LORAS:
            folder = fetch_lora(spec)
        else:
            folder = fetch(spec, dtype=pick_dtype(dtype, pick_device(device).name, spec).name)
        here = _on_disk(spec) or OnDisk(folder, 0, True)
    output.result(f"{spec.name}: {_size(spec, here)} at {here.path}", _facts(spec, here) | {"output": str(here.path)})


@app.command()
def rm(
    name: Name,
    revision: opt.Revision = None,
    yes: opt.Yes = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Delete a model from the hub's cache, with all its revisions unless --revision names one."""
    from ip2p_cli.models.hub import plan_removal

    spec, output = _find(name, None), Output(json=json, quiet=quiet)
    removal = plan_removal(spec, revision)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"rm {name} would free {_bytes(removal.size)}; nobody is here to be asked: give --yes.")
        # typer.confirm would write to stdout, which carries data.
        output.ask(f"Delete {spec.name} ({spec.source}) and free {_bytes(removal.size)}? [y/N] ")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise InterruptionError("nothing was deleted.")
    removal.run()
    output.say(f"{spec.name}: {_bytes(removal.size)} freed.")
    if json:
        output.data("", {"name": spec.name, "source": spec.source, "freed": removal.size})


@app.command()
def path(
    name: Name,
    revision: opt.Revision = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Print the path of a model on this machine."""
    spec = _find(name, revision)
    here = _on_disk(spec)
    if here is None:
        raise ModelError(f"model {spec.name} is not on this machine; fetch it with: ip2p models pull {name}")
    Output(json=json, quiet=quiet).data(str(here.path), _facts(spec, here))


def _find(name: str, revision: str | None) -> ModelSpec:
    """The model or the LoRA called `name`."""
    from ip2p_cli.models.known_loras import LORAS

    if name not in LORAS:
        return loading.find(name, revision)
    return LORAS[name] if revision is None else replace(LORAS[name], revision=revision)


def _on_disk(spec: ModelSpec) -> OnDisk | None:
    """Where a model or a LoRA is on this machine."""
    from ip2p_cli.models.hub import on_disk
    from ip2p_cli.models.known_loras import LORAS, lora_on_disk

    return lora_on_disk(spec) if spec.name in LORAS else on_disk(spec)


def _all_models() -> list[tuple[ModelSpec, str]]:
    """The models and LoRAs, each with the origin of its name. Models whose folder is missing are listed too."""
    from ip2p_cli.config import read_config
    from ip2p_cli.models.hub import cached_sources
    from ip2p_cli.models.known_loras import LORAS
    from ip2p_cli.models.registry import MODELS, find_model, known_models

    extra = read_config().models
    listed = [(spec, "built in") for spec in (*MODELS.values(), *LORAS.values())]
    for name in list(known_models(extra))[len(MODELS) :]:
        try:
            listed.append((find_model(name, extra), "config"))
        except ModelError as error:
            listed.append((replace(extra[name], description=str(error)), "config"))
    sources = {spec.source for spec, _ in listed}
    return listed + [(find_model(source), "cache") for source in cached_sources() if source not in sources]


def _facts(spec: ModelSpec, here: OnDisk | None) -> dict[str, Any]:
    return asdict(spec) | {
        "on_disk": here is not None,
        "whole": here is not None and here.whole,
        "path": str(here.path) if here else None,
        "bytes": here.size if here else None,
    }


def _state(here: OnDisk | None) -> str:
    return "not here" if here is None else "here" if here.whole else "incomplete"


def _size(spec: ModelSpec, here: OnDisk | None) -> str:
    if here is not None:
        return _bytes(here.size)
    return f"~{_bytes(spec.size_mb * 1_000_000)}" if spec.size_mb else "?"


def _bytes(count: int) -> str:
    """A size in the hub's units, which are powers of ten."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
