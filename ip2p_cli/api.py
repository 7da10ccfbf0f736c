"""ip2p from Python: load a model once, edit photos with it. The same pixels as the command; no files are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from PIL import Image

from ip2p_cli.config import read_config
from ip2p_cli.editing.choose import Chooser
from ip2p_cli.editing.engine import Engine
from ip2p_cli.editing.in_memory import run_in_memory
from ip2p_cli.editing.judging import Judge
from ip2p_cli.editing.model_choice import ModelChoice, with_preset
from ip2p_cli.editing.tree import EditTree
from ip2p_cli.editing.tree_plan import plan_tree, single_edit
from ip2p_cli.editing.unknown import InstructionResolver, Resolved
from ip2p_cli.errors import LeftOutError, UsageError
from ip2p_cli.io.images import Picture, picture_from_image, read_image
from ip2p_cli.io.instructions import checked_instruction
from ip2p_cli.io.mask_settings import checked_mask
from ip2p_cli.io.own_recipes import find_recipe
from ip2p_cli.io.recipes import quick_recipe, read_recipe
from ip2p_cli.models.adapters import Adapter
from ip2p_cli.models.editor import Editor as LoadedModel
from ip2p_cli.models.lora import parse_lora
from ip2p_cli.models.registry import find_model
from ip2p_cli.settings import choose_model, draw_seed, resolve
from ip2p_cli.types import (
    BackendName,
    DeviceName,
    DtypeName,
    EditResult,
    EditSettings,
    Guard,
    Handoff,
    MaskSettings,
    ModelSpec,
    OffloadName,
    QuantizeName,
    Unknown,
)

Photo = str | PathLike[str] | Image.Image
OnStep = Callable[[int, int], None]


class Editor:
    """A loaded model: `Editor.load("nano").edit("in.jpg", "make it winter").image`.

    Args:
        parts: A loaded model; `Editor.load` is the usual way.
        choice: How it was chosen.
    """

    def __init__(self, parts: LoadedModel | Adapter, choice: ModelChoice | None = None) -> None:
        self._choice = choice or ModelChoice(spec=parts.spec, known_weights="in memory")
        self._models = {self._choice: parts}
        self._engine = Engine(self._model)
        self._judge = Judge(self._model, Chooser())

    @classmethod
    def load(
        cls,
        model: str | None = None,
        *,
        device: DeviceName = "auto",
        dtype: DtypeName = "auto",
        offload: OffloadName = "none",
        backend: BackendName = "auto",
        quantize: QuantizeName = "none",
        loras: Sequence[str] = (),
        vae: str | None = None,
    ) -> Editor:
        """Load a model.

        Args:
            model: A name, hub id, folder or file; None for that of IP2P_MODEL, the config file, or nano.
            device: Where to compute.
            dtype: The number format.
            offload: Which parts wait in main memory, for a small GPU.
            backend: What runs the UNet and the VAE: "torch" or "openvino". "auto" is OpenVINO for full-size models on
                a CPU, where it is installed.
            quantize: The format of the UNet's weights, with OpenVINO.
            loras: LoRA files, each with a weight if wanted: "style.safetensors:0.8".
            vae: Another autoencoder: a folder, a file or a hub id.

        Raises:
            ModelError: The model cannot be had.
            DeviceError: The device or number format does not exist there.
            UsageError: OpenVINO was asked for and is not installed.
        """
        choice = ModelChoice(
            spec=find_model(choose_model(model)[0], read_config().models),
            device=device,
            dtype=dtype,
            offload=offload,
            backend=backend,
            quantize=quantize,
            loras=tuple(parse_lora(text) for text in loras),
            vae=vae,
        )
        return cls(choice.load(), choice)

    @property
    def spec(self) -> ModelSpec:
        """What the model is, and its defaults."""
        return self._choice.spec

    def edit(
        self,
        photo: Photo,
        instruction: str,
        settings: EditSettings | None = None,
        *,
        mask: Photo | MaskSettings | None = None,
        preset: str | None = None,
        unknown: Unknown = "do",
        max_tries: int = 0,
        on_step: OnStep | None = None,
    ) -> EditResult:
        """Edit a photo.

        Args:
            photo: Its path, or a picture.
            instruction: What to change.
            settings: What is unset is resolved as the command does; an unset seed is drawn.
            mask: A picture, or its path, in which white may change and black stays; a folder of such pictures; or
                `MaskSettings` for rectangles and soft borders too.
            preset: Settings under one name.
            unknown: What to do if nano does not know the instruction. "do": the nearest look, if it is near enough;
                `extra["unknown"]` then says so. "skip" and "fail": raise UnknownInstructionError.
            max_tries: How many other scales and seeds are tried where the edit is not ok, as `--auto-tune` does.
            on_step: Called with (denoising steps done, steps).

        Returns:
            The result. `image` is RGB, upright, at the photo's size, with transparent parts on white; `request` holds
            the resolved settings; `verdict` says whether it worked; `extra["input_sha256"]` names the input,
            `extra["mask"]` says how a mask was made, `extra["auto_tune"]` what was tried.

        Raises:
            InputError: The photo cannot be read.
            UsageError: A setting is not possible.
            UnknownInstructionError: nano does not know the instruction, see `unknown`.
        """
        tree = self._single(instruction, settings or EditSettings(), mask, preset, max_tries)
        resolved = self._resolve(tree, unknown)
        if resolved.refusal is not None:
            raise resolved.refusal
        return self._run(_picture(photo), resolved, on_step)[-1]

    def edit_many(
        self,
        photos: Sequence[Photo],
        instruction: str,
        settings: EditSettings | None = None,
        *,
        mask: Photo | MaskSettings | None = None,
        preset: str | None = None,
        unknown: Unknown = "do",
    ) -> list[EditResult]:
        """Edit several photos alike; arguments and errors as `edit`. The first photo that fails ends it.

        With `unknown="skip"` there are no results if nano does not know the instruction.
        """
        resolved = self._resolve(self._single(instruction, settings or EditSettings(), mask, preset), unknown)
        return [] if _is_left_out(resolved) else [self._run(_picture(photo), resolved)[-1] for photo in photos]

    def variants(
        self,
        photo: Photo,
        instruction: str,
        seeds: int | Sequence[int] = 8,
        settings: EditSettings | None = None,
        *,
        mask: Photo | MaskSettings | None = None,
        preset: str | None = None,
        unknown: Unknown = "do",
    ) -> list[EditResult]:
        """Edit a photo with several seeds; what the edits share is computed once.

        Args:
            photo: Its path, or a picture.
            instruction: What to change.
            seeds: How many, from the settings' seed or 0 on; or the seeds themselves.
            settings: As for `edit`.
            mask: As for `edit`.
            preset: As for `edit`.
            unknown: As for `edit_many`.

        Returns:
            A result for each seed.
        """
        settings, picture = settings or EditSettings(), _picture(photo)
        first = settings.seed or 0
        numbers = range(first, first + seeds) if isinstance(seeds, int) else seeds
        trees = [self._single(instruction, replace(settings, seed=seed), mask, preset) for seed in numbers]
        resolved = [self._resolve(tree, unknown) for tree in trees]
        return [self._run(picture, one)[-1] for one in resolved if not _is_left_out(one)]

    def chain(
        self,
        photo: Photo,
        edits: str | PathLike[str] | Sequence[str],
        settings: EditSettings | None = None,
        *,
        mask: Photo | MaskSettings | None = None,
        variables: Mapping[str, str] | None = None,
        preset: str | None = None,
        handoff: Handoff | None = None,
        guard: Guard | None = None,
        unknown: Unknown = "do",
        on_step: OnStep | None = None,
    ) -> list[EditResult]:
        """Run edits that follow each other.

        Args:
            photo: Its path, or a picture.
            edits: The instructions; or a recipe, by its name or file. All its edits use this model.
            settings: Count before those of the recipe.
            mask: Of every edit, as for `edit`; counts before those of the recipe.
            variables: The recipe's variables.
            preset: As for `edit`.
            handoff: How an edit gets what the one before made; None as the recipe says.
            guard: What is removed from what an edit changes although nobody asked for it; None as the recipe says.
            unknown: As for `edit_many`, if nano does not know one of the instructions.
            on_step: Called with (denoising steps done, all of the chain).

        Returns:
            A result for each edit, in order; those of alternatives one after the other.
        """
        self._check_preset(preset)
        given = settings or EditSettings()
        if isinstance(edits, (str, PathLike)):
            recipe = read_recipe(find_recipe(str(edits)), variables)
        else:
            recipe = quick_recipe(list(edits))
        tree = plan_tree(
            recipe,
            given,
            choice_of=lambda _: self._choice,
            seed=draw_seed() if given.seed is None else given.seed,
            preset=preset,
            handoff=handoff,
            guard=guard,
            mask=checked_mask(mask),
        )
        resolved = self._resolve(tree, unknown)
        return [] if _is_left_out(resolved) else self._run(_picture(photo), resolved, on_step)

    def _model(self, choice: ModelChoice) -> LoadedModel | Adapter:
        return self._models[choice]

    def _single(
        self,
        instruction: str,
        settings: EditSettings,
        mask: Photo | MaskSettings | None,
        preset: str | None,
        max_tries: int = 0,
    ) -> EditTree:
        self._check_preset(preset)
        resolved = resolve(settings, self.spec, preset)
        instruction = checked_instruction(instruction)
        return single_edit(instruction, resolved, self._choice, checked_mask(mask), max_tries=max_tries)

    def _check_preset(self, preset: str | None) -> None:
        """Refuse a preset that needs a LoRA where the model was loaded without any."""
        needed = [] if preset is None else [lora.path for lora in with_preset(self._choice, preset).loras]
        if needed and not self._choice.loras:
            raise UsageError(f'the preset {preset} needs a LoRA: load the model with loras=["{needed[0]}"]')

    def _resolve(self, tree: EditTree, unknown: Unknown) -> Resolved:
        return InstructionResolver(self._model, unknown).resolve(tree)

    def _run(self, picture: Picture, resolved: Resolved, on_step: OnStep | None = None) -> list[EditResult]:
        return run_in_memory(resolved, picture, self._engine, self._judge, on_step)


def _is_left_out(resolved: Resolved) -> bool:
    """Whether edits are left out; raises UnknownInstructionError if they are to fail."""
    if resolved.refusal is not None and not isinstance(resolved.refusal, LeftOutError):
        raise resolved.refusal
    return resolved.refusal is not None


def _picture(photo: Photo) -> Picture:
    return picture_from_image(photo) if isinstance(photo, Image.Image) else read_image(Path(photo))
