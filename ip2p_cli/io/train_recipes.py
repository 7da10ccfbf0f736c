"""Training recipes: YAML files, checked by pydantic before anything heavy is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import InputError, UsageError

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StageRecipe(_Strict):
    """`steps` optimizer steps on `batch` pictures; `shapes` (height, width) take turns; `side`: see `stream.Cut`.

    `cuts` pictures come from each painted photo. Timesteps are drawn as T u^`timestep_power`.
    """

    steps: Positive
    batch: Positive
    shapes: tuple[tuple[Positive, Positive], ...] = ((256, 256),)
    side: Positive = 256
    cuts: Positive = 1
    timestep_power: Annotated[float, Field(gt=0)] = 1.0


class LossRecipe(_Strict):
    """`null_text`: what an empty instruction stands for while training."""

    weighting: Literal["none", "min_snr"] = "none"
    gamma: Annotated[float, Field(gt=0)] = 5.0
    dropout: Annotated[float, Field(ge=0, le=1 / 3)] = 0.05
    null_text: Literal["any edit", "no edit"] = "any edit"


class FreshRecipe(_Strict):
    """A model from nothing: closed-form autoencoder, text encoder of its own, UNet of the given config."""

    patch_size: Positive = 4
    latent_channels: Positive = 16
    text_width: Positive = 192
    text_layers: Positive = 3
    text_length: Positive = 24
    vocabulary: Positive = 4000
    text_steps: Positive = 600
    teacher: Path | None = None
    unet: dict[str, object] = Field(default_factory=dict)
    scheduler: dict[str, object] = Field(default_factory=dict)


class TrainRecipe(_Strict):
    """Everything a training run is made of. `start`: a model's name, hub id or folder, or a fresh model."""

    name: str
    start: str | FreshRecipe
    stages: Annotated[tuple[StageRecipe, ...], Field(min_length=1)]
    data: str | None = None
    hold_out_every: Annotated[int, Field(ge=0)] = 16
    seed: int = 0
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    betas: tuple[Share, Share] = (0.9, 0.99)
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    schedule: Literal["constant", "cosine", "cooldown"] = "constant"
    warmup: Annotated[int, Field(ge=0)] = 100
    cooldown: Annotated[float, Field(ge=0, le=1)] = 0.25
    accumulate: Positive = 1
    precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    ema_decay: Share = 0.9999
    loss: LossRecipe = LossRecipe()
    checkpoint_every: Positive = 250
    grid_every: Positive = 500
    grid_instructions: tuple[str, ...] = ("make it winter", "make it night", "turn it into a pencil sketch")

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return sum(stage.steps for stage in self.stages)


def read_train_recipe(path: Path) -> TrainRecipe:
    """The recipe in the YAML file `path`; InputError where it cannot be read, UsageError where it is wrong."""
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Give a training recipe, e.g. recipes/train-nano.yaml.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise UsageError(f"{path}{where}: not valid YAML: {getattr(error, 'problem', error)}.") from error
    try:
        return TrainRecipe.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UsageError(f"{path}: {field}: {first['msg']}.") from error
