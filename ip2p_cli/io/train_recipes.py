"""Training recipes: YAML files, checked before anything heavy is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from ip2p_cli.errors import UsageError
from ip2p_cli.io.yaml_files import StrictModel, read_yaml, validated

Positive = Annotated[int, Field(gt=0)]
Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]


class StageRecipe(StrictModel):
    """A part of a run.

    Attributes:
        steps: Its optimizer steps.
        batch: Pairs in one micro-batch of one process: a step takes batch x accumulate x processes pairs.
        shapes: The (height, width) of the crops, in pixels, used in turn.
        side: The shorter side of a photo that crops are taken from; see `look_pairs.CropSpec`.
        cuts: The number of crops from one painted photo.
        regions: The share of the pairs with a look in a region only, see `looks.regions`.
        timestep_power: Timesteps are drawn as T u^timestep_power, u uniform in [0, 1).
    """

    steps: Positive
    batch: Positive
    shapes: Annotated[tuple[tuple[Positive, Positive], ...], Field(min_length=1)] = ((256, 256),)
    side: Positive = 256
    cuts: Positive = 1
    regions: Annotated[float, Field(ge=0, le=1)] = 0.0
    timestep_power: Above0 = 1.0


class LossRecipe(StrictModel):
    """The training loss.

    Attributes:
        weighting: The weights of the timesteps; min_snr: arXiv 2303.09556, equation 5, with `gamma`; sample: the
            error of x_0 counts the same at every timestep.
        gamma: The highest signal-to-noise ratio that counts.
        dropout: How often the text is dropped, the image, and both (each; paper, section 3.2.1).
        noise_offset: The offset of the noise, see `editing.initial_noise`; the finished model samples with it.
        drawn_noise: Whether the noise of a painted pair is the noise that its look was drawn from, so that a seed
            decides what the look chooses.
        null_text: What an empty instruction stands for: any edit of the photo, or the photo unedited.
    """

    weighting: Literal["none", "min_snr", "sample"] = "none"
    gamma: Above0 = 5.0
    dropout: Annotated[float, Field(ge=0, le=1 / 3)] = 0.05
    noise_offset: Annotated[float, Field(ge=0, le=2)] = 0.0
    drawn_noise: bool = False
    null_text: Literal["any edit", "no edit"] = "any edit"


class ScratchModelRecipe(StrictModel):
    """A model built from scratch: closed-form autoencoder, its own text encoder, a UNet of the given config.

    Attributes:
        residual: Whether the UNet computes the change of the photo, see `nano.unet.ResidualUNet`.
        unet_from: A model, of this package's names or a folder, whose UNet's tensors are taken over where they fit; the
            autoencoder is taken over too.
    """

    patch_size: Positive = 4
    latent_channels: Positive = 16
    text_width: Positive = 192
    text_layers: Positive = 3
    text_length: Positive = 24
    vocabulary: Annotated[int, Field(ge=600)] = 4000  # bytes, alone and at a word's end, and two marks are 514
    text_steps: Positive = 600
    teacher: Path | None = None
    residual: bool = False
    unet_from: str | None = None
    unet: dict[str, object] = Field(default_factory=dict)
    scheduler: dict[str, object] = Field(default_factory=dict)


def _start_tag(value: object) -> str:
    return "model" if isinstance(value, str) else "scratch"


class TrainRecipe(StrictModel):
    """A training run.

    Attributes:
        name: The name of the model.
        start: What it starts from: a model's name, hub id or folder, or a model built from scratch.
        stages: The parts of the run, in order.
        data: looks:FOLDER, or the folder of a dataset.
        subjects: A folder with masks of the photos' subjects, of the same names: white is the subject.
        emphasis: By the name of a look, how many times as often as others it is drawn.
        hold_out_every: One photo or triplet in this many is kept for grids; 0 keeps none.
        schedule: How the learning rate goes on after `warmup` steps; see `schedule.learning_rate_factor`.
        cooldown: The share of the steps at the end in which schedule "cooldown" lowers it.
        accumulate: The micro-batches of a step.
        ema_decay: The decay of the averaged weights, which the finished model has.
    """

    name: Annotated[str, Field(min_length=1)]
    start: Annotated[
        Annotated[str, Tag("model")] | Annotated[ScratchModelRecipe, Tag("scratch")], Discriminator(_start_tag)
    ]
    stages: Annotated[tuple[StageRecipe, ...], Field(min_length=1)]
    data: str | None = None
    subjects: Path | None = None
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
        """The optimizer steps of the whole run."""
        return sum(stage.steps for stage in self.stages)

    @property
    def is_from_scratch(self) -> bool:
        """Whether the run starts from a model that it builds itself."""
        return isinstance(self.start, ScratchModelRecipe)


def read_train_recipe(path: Path) -> TrainRecipe:
    """Read a training recipe.

    Raises:
        InputError: The file cannot be read.
        UsageError: It is not a training recipe; the message names line and field.
    """
    document = read_yaml(path)
    if not isinstance(document.raw, dict):
        raise UsageError(f"{document.where()}: not a recipe: it must hold settings, at least name, start and stages")
    return validated(TrainRecipe, document.raw, document)


def with_overrides(
    recipe: TrainRecipe, *, data: str | None, teacher: Path | None, subjects: Path | None = None
) -> TrainRecipe:
    """Replace what the command line gives.

    Raises:
        UsageError: A teacher is given, but the run does not start from scratch.
    """
    changes: dict[str, object] = {"data": data} if data is not None else {}
    if subjects is not None:
        changes["subjects"] = subjects
    if teacher is not None:
        if not isinstance(recipe.start, ScratchModelRecipe):
            raise UsageError("--teacher is for recipes that start from scratch; this one starts from a model")
        changes["start"] = recipe.start.model_copy(update={"teacher": teacher})
    return recipe.model_copy(update=changes)
