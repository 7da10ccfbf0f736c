"""Choosing and loading models for the commands that edit, and being honest about what they can do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ip2p_cli.cli.flags import ModelFlags
from ip2p_cli.cli.output import Output
from ip2p_cli.errors import UsageError

if TYPE_CHECKING:
    from ip2p_cli.editing.model_choice import ModelChoice
    from ip2p_cli.editing.work import LoadedModels
    from ip2p_cli.models.adapters import Adapter
    from ip2p_cli.models.editor import Editor
    from ip2p_cli.types import Lora, ModelSpec

_MOST_HINTS = 10


class Choices:
    """The models that a command uses, by the names that a recipe gives them.

    Args:
        flags: The command's flags. `--model` counts before a recipe's names.
        preset: The command's preset, which may need a LoRA.
    """

    def __init__(self, flags: ModelFlags, preset: str | None = None) -> None:
        self._flags, self._preset = flags, preset
        self._known: dict[str | None, ModelChoice] = {}

    def __call__(self, name: str | None = None) -> ModelChoice:
        """Return the choice of a name; None is the command's own model."""
        wanted = self._flags.model or name
        if wanted not in self._known:
            if self._known and (self._flags.loras or self._flags.vae or self._flags.revision):
                raise UsageError("--lora, --vae and --revision are for one model: name it with --model.")
            self._known[wanted] = choose(replace(self._flags, model=wanted), self._preset)
        return self._known[wanted]


def choose(flags: ModelFlags, preset: str | None = None) -> ModelChoice:
    """Return the model that --model, IP2P_MODEL or the config file names, else nano, with what a preset adds."""
    from ip2p_cli.editing.model_choice import ModelChoice, with_preset
    from ip2p_cli.settings import choose_model

    name, chosen = choose_model(flags.model)
    spec = find(name, flags.revision)
    loras: tuple[Lora, ...] = ()
    if flags.loras:
        from ip2p_cli.models.lora import parse_lora

        loras = tuple(parse_lora(text) for text in flags.loras)
    choice = ModelChoice(
        spec=spec,
        chosen=chosen,
        device=flags.device,
        dtype=flags.dtype,
        offload=flags.offload,
        backend=flags.backend,
        quantize=flags.quantize,
        compiled=flags.compiled,
        loras=loras,
        vae=flags.vae,
    )
    return with_preset(choice, preset)


def find(name: str, revision: str | None = None) -> ModelSpec:
    """Return the model called `name`, also of the config file; revision: another branch, tag or commit on the hub."""
    from ip2p_cli.config import read_config
    from ip2p_cli.models.registry import find_model

    spec = find_model(name, read_config().models)
    if revision is None:
        return spec
    if Path(spec.source).is_absolute():
        raise UsageError(f"--revision is for models of the hub; {spec.name} lies at {spec.source}.")
    return replace(spec, revision=revision)


def models_for(instructions: Iterable[tuple[ModelChoice, str]], output: Output) -> LoadedModels:
    """Return models that are loaded when first needed, with a progress bar and a word on what they will not follow.

    Args:
        instructions: (model, instruction) of all edits.
        output: Shows the bar and the warnings.
    """
    from ip2p_cli.editing.work import LoadedModels

    asked = list(instructions)

    def load(choice: ModelChoice) -> Editor | Adapter:
        if not choice.chosen:
            _introduce_nano(output)
        with output.progress(f"loading {choice.spec.name}"):
            editor = choice.load(output.say)
        _hint(editor, (text for model, text in asked if model == choice), output)
        return editor

    return LoadedModels(load)


def _introduce_nano(output: Output) -> None:
    """Say once on this machine what the default model is."""
    from ip2p_cli.folders import user_folder

    folder = user_folder("state")
    if folder is not None:
        with contextlib.suppress(OSError):  # a home that cannot be written to: it will be said again
            if (folder / "nano-introduced").exists():
                return
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "nano-introduced").touch()
    output.say(
        "Using nano, the small built-in model: it knows some fifty looks (seasons, weather, light, colour, drawing and "
        "painting, camera; see `ip2p models show nano`). For any instruction get the full one: "
        "--model instruct-pix2pix (4 GB, downloaded once)."
    )


def _hint(editor: Editor | Adapter, instructions: Iterable[str], output: Output) -> None:
    """Warn of words that are cut off."""
    from ip2p_cli.diffusion.editing import truncated_words
    from ip2p_cli.models.adapters import Adapter

    if isinstance(editor, Adapter):
        return  # these read long instructions
    for instruction in islice(dict.fromkeys(instructions), _MOST_HINTS):
        lost = truncated_words(editor, instruction)
        if lost:
            output.warn(f"the instruction is too long for {editor.spec.name}; it does not see: {' '.join(lost)}")
