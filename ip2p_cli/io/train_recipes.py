"""Training recipes: YAML files, checked by pydantic before anything heavy is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.yaml_files import line_of
from ip2p_cli.suggest import did_you_mean

Positive = Annotated[int, Field(gt=0)]
Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StageRecipe(_Strict):
    """`steps` optimizer steps on `batch` pictures; `shapes` (height, width) take turns; `side`: see `stream.CropSpec`.

    `cuts` pictures come from each painted photo. Timesteps are drawn as T u^`timestep_power`.
    """

    steps: Positive
    batch: Positive
    shapes: Annotated[tuple[tuple[Positive, Positive], ...], Field(min_length=1)] = ((256, 256),)
    side: Positive = 256
    cuts: Positive = 1
    timestep_power: Above0 = 1.0


class LossRecipe(_Strict):
    """`null_text`: what an empty instruction stands for while training."""

    weighting: Literal["none", "min_snr"] = "none"
    gamma: Above0 = 5.0
    dropout: Annotated[float, Field(ge=0, le=1 / 3)] = 0.05
    null_text: Literal["any edit", "no edit"] = "any edit"


class FreshRecipe(_Strict):
    """A model from nothing: closed-form autoencoder, text encoder of its own, UNet of the given config."""

    patch_size: Positive = 4
    latent_channels: Positive = 16
    text_width: Positive = 192
    text_layers: Positive = 3
    text_length: Positive = 24
    vocabulary: Annotated[int, Field(ge=600)] = 4000  # bytes, alone and at a word's end, and two marks are 514
    text_steps: Positive = 600
    teacher: Path | None = None
    unet: dict[str, object] = Field(default_factory=dict)
    scheduler: dict[str, object] = Field(default_factory=dict)


def _kind_of_start(value: object) -> str:
    return "model" if isinstance(value, str) else "fresh"


class TrainRecipe(_Strict):
    """Everything a training run is made of. `start`: a model's name, hub id or folder, or a fresh model.

    `batch` of a stage is that of one process and one micro-batch: a step takes batch x accumulate x processes pairs.
    `emphasis`: how much oftener than the others a look is drawn.
    """

    name: Annotated[str, Field(min_length=1)]
    start: Annotated[Annotated[str, Tag("model")] | Annotated[FreshRecipe, Tag("fresh")], Discriminator(_kind_of_start)]
    stages: Annotated[tuple[StageRecipe, ...], Field(min_length=1)]
    data: str | None = None
    emphasis: dict[str, Above0] = Field(default_factory=dict)
    hold_out_every: Annotated[int, Field(ge=0)] = 16
    seed: Annotated[int, Field(ge=0, lt=2**23)] = 0
    learning_rate: Above0 = 1e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    betas: tuple[Share, Share] = (0.9, 0.99)
    max_grad_norm: Above0 = 1.0
    schedule: Literal["constant", "cosine", "cooldown"] = "constant"
    warmup: Annotated[int, Field(ge=0)] = 100
    cooldown: Annotated[float, Field(ge=0, le=1)] = 0.25
    accumulate: Positive = 1
    precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    ema_decay: Share = 0.9999
    loss: LossRecipe = LossRecipe()
    checkpoint_every: Positive = 250
    grid_every: Positive = 500
    grid_instructions: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "make it winter",
        "make it night",
        "turn it into a pencil sketch",
    )

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return sum(stage.steps for stage in self.stages)

    @property
    def is_fresh(self) -> bool:
        """Whether the run starts from nothing."""
        return isinstance(self.start, FreshRecipe)


# What pydantic calls by the names of Python's types.
_KINDS = {
    "model_type": "a mapping of settings",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "too_long": "a shorter list",
    "too_short": "a longer list",
}
_PARTS: dict[str, type[BaseModel]] = {"start": FreshRecipe, "stages": StageRecipe, "loss": LossRecipe}


def read_train_recipe(path: Path) -> TrainRecipe:
    """The recipe in the YAML file `path`; InputError where it cannot be read, UsageError where it is wrong."""
    try:
        text = path.read_text("utf-8")
        raw = yaml.safe_load(text)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}). Give a training recipe, e.g. recipes/train-nano.yaml."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8. Give a training recipe.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise UsageError(f"{path}{where}: not valid YAML: {getattr(error, 'problem', None) or error}.") from error
    if not isinstance(raw, dict):
        raise UsageError(f"{path}: not a recipe: it must hold settings, at least name, start and stages.")
    try:
        return TrainRecipe.model_validate(raw)
    except ValidationError as error:
        # A mistyped name is both unknown and missing: the first says more.
        problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
        raise UsageError(_explain(path, text, problems[0])) from error


def with_overrides(recipe: TrainRecipe, *, data: str | None, teacher: Path | None) -> TrainRecipe:
    """The recipe with what the command line says instead; UsageError for a teacher where nothing is taught."""
    changes: dict[str, object] = {"data": data} if data is not None else {}
    if teacher is not None:
        if not isinstance(recipe.start, FreshRecipe):
            raise UsageError("--teacher is for recipes that start from a fresh model; this one does not.")
        changes["start"] = recipe.start.model_copy(update={"teacher": teacher})
    return recipe.model_copy(update=changes)


def _explain(path: Path, text: str, problem: Any) -> str:
    """One line: file, line, field, what is wrong, and for an unknown field the nearest name."""
    place = [part for part in problem["loc"] if part not in ("model", "fresh")]  # the tags of `start`
    line = line_of(yaml.compose(text, yaml.SafeLoader), place)
    field = ".".join(str(part) for part in place)
    if problem["type"] == "extra_forbidden":
        known = (_PARTS[str(place[0])] if len(place) > 1 else TrainRecipe).model_fields
        return f"{path}:{line}: there is no setting {field}.{did_you_mean(str(place[-1]), known)}"
    if problem["type"] == "missing":
        return f"{path}:{line}: {field} is missing."
    said = _KINDS.get(problem["type"], problem["msg"].removeprefix("Input should be "))
    given = problem["input"]
    shown = f", not {given!r}" if isinstance(given, str | int | float | None) else ""
    return f"{path}:{line}: {field} should be {said}{shown}."
