"""What the commands that edit share: choosing the model, loading it, and being honest about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ip2p_cli.cli.output import Output
from ip2p_cli.errors import UsageError

if TYPE_CHECKING:
    from ip2p_cli.models.adapters import Adapter
    from ip2p_cli.models.loader import Editor
    from ip2p_cli.types import DeviceName, DtypeName, Lora, ModelSpec, OffloadName
    from ip2p_cli.workflows.loading import ModelChoice

_HINTS = 10


def introduce_nano(output: Output) -> None:
    """Say once on this machine what the default model is."""
    import platformdirs

    seen = platformdirs.user_state_path("ip2p") / "nano-introduced"
    if seen.exists():
        return
    output.say(
        "Using nano, the small built-in model: it knows some fifty looks (seasons, weather, light, colour, drawing and "
        "painting, camera; see `ip2p models show nano`). For any instruction get the full one: "
        "--model instruct-pix2pix (4 GB, downloaded once)."
    )
    try:
        seen.parent.mkdir(parents=True, exist_ok=True)
        seen.touch()
    except OSError:
        pass  # a home that cannot be written to: it will be said again


def choose(
    model: str | None,
    device: DeviceName,
    dtype: DtypeName,
    *,
    loras: Sequence[str] = (),
    vae: str | None = None,
    revision: str | None = None,
    offload: OffloadName = "none",
) -> ModelChoice:
    """The model that --model, IP2P_MODEL or the config file names, else nano; loras: as --lora takes them."""
    from ip2p_cli.settings import choose_model
    from ip2p_cli.workflows.loading import ModelChoice

    name, chosen = choose_model(model)
    spec = find(name, revision)
    parsed: tuple[Lora, ...] = ()
    if loras:
        from ip2p_cli.models.lora import parse_lora

        parsed = tuple(parse_lora(text) for text in loras)
    return ModelChoice(spec=spec, chosen=chosen, device=device, dtype=dtype, offload=offload, loras=parsed, vae=vae)


def load(choice: ModelChoice, output: Output) -> Editor | Adapter:
    """Load it, with a progress bar; nano is introduced where nobody chose it."""
    if not choice.chosen:
        introduce_nano(output)
    with output.progress(f"loading {choice.spec.name}"):
        return choice.load()


def find(name: str, revision: str | None = None) -> ModelSpec:
    """The model called `name`, of the config file too; revision: another branch, tag or commit of it on the hub."""
    from ip2p_cli.config import read_config
    from ip2p_cli.models.registry import find_model

    spec = find_model(name, read_config().models)
    if revision is None:
        return spec
    if Path(spec.source).is_absolute():
        raise UsageError(f"--revision is for models of the hub; {spec.name} lies at {spec.source}.")
    return replace(spec, revision=revision)


def hint(editor: Editor | Adapter, instructions: Iterable[str], output: Output) -> None:
    """Be honest about words that are cut off, and about instructions that nano does not know."""
    from ip2p_cli.diffusion.editing import truncated_words
    from ip2p_cli.models.adapters import Adapter
    from ip2p_cli.models.nano.look_matcher import closest

    if isinstance(editor, Adapter):
        return  # these read long instructions
    for instruction in islice(dict.fromkeys(instructions), _HINTS):
        lost = truncated_words(editor, instruction)
        if lost:
            output.warn(f"the instruction is too long for {editor.spec.name}; it does not see: {' '.join(lost)}")
        if editor.spec.name != "nano":
            continue
        near = closest(editor, instruction)
        if not near.known:
            output.warn(
                f"nano was not trained for “{instruction}”; the closest that it can do: {near.examples}. For any "
                "instruction: --model instruct-pix2pix (4 GB, downloaded once)."
            )
