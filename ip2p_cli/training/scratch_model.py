"""A model built from scratch, ready to be trained: autoencoder, text encoder, UNet. nano began as one."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from ip2p_cli.datagen.dataset.stream import Photo
from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.train_recipes import ScratchModelRecipe
from ip2p_cli.looks import Draw, looks
from ip2p_cli.looks.labels import labelled_wordings
from ip2p_cli.looks.phrasing import vary
from ip2p_cli.models.editor import Editor
from ip2p_cli.models.nano import text
from ip2p_cli.models.nano.autoencoder import PatchAutoencoder
from ip2p_cli.types import ModelSpec

Say = Callable[[str], None]

# Frames for texts that describe no look: a teacher gives their embeddings.
_FRAMES = (
    "{}", "make it {}", "make it look {}", "as if it were {}", "a {} look", "turn it into {}", "{} style",
    "give the photo a {} mood", "make the {} {}", "{} {}", "add {}", "{} at {}", "add a {} on the {}",
)  # fmt: skip
_FREE_TEXTS = 8000
_BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def build_scratch_model(recipe: ScratchModelRecipe, name: str, photos: Sequence[Photo], seed: int, say: Say) -> Editor:
    """Build a model in fp32 on the CPU, with an untrained UNet; its other parts are finished.

    It depends on the arguments alone, and takes minutes, most of them for the text encoder.

    Raises:
        UsageError: The recipe has settings that a part cannot take.
        InputError: No photo can be read.
    """
    # What can fail on a wrong recipe comes first.
    scheduler = _built(DDIMScheduler, {"clip_sample": False, "set_alpha_to_one": False, **_BETAS}, recipe.scheduler)
    unet = _unet(recipe, seed)
    say(f"autoencoder: principal components of {recipe.patch_size} px patches")
    vae = PatchAutoencoder(patch_size=recipe.patch_size, latent_channels=recipe.latent_channels)
    vae.fit(_pictures(photos, seed))
    tokenizer, encoder = _text_encoder(recipe, seed, say)
    return Editor(
        unet=unet,
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        scheduler_config=dict(scheduler.config),
        spec=ModelSpec(name=name, source="", description="being trained", licence=""),
        device=torch.device("cpu"),
        dtype=torch.float32,
    )


def _unet(recipe: ScratchModelRecipe, seed: int) -> UNet2DConditionModel:
    torch.manual_seed(seed)
    channels = recipe.latent_channels
    shape = {"in_channels": 2 * channels, "out_channels": channels, "cross_attention_dim": recipe.text_width}
    return _built(UNet2DConditionModel, shape, recipe.unet)


def _built(cls: Any, ours: dict[str, Any], theirs: dict[str, Any]) -> Any:
    """Make `cls(**ours, **theirs)`, where theirs win; UsageError for settings that the class cannot take."""
    try:
        return cls(**{**ours, **theirs})
    except (TypeError, ValueError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0].replace("__init__() ", "")
        raise UsageError(f"the recipe's settings of {cls.__name__} are not possible: {reason}") from error


def _pictures(photos: Sequence[Photo], seed: int) -> Iterator[Tensor]:
    """Yield photos, (3, H, W) in [-1, 1], each as it is and with one look: the autoencoder needs both.

    A photo that cannot be read is passed over; InputError where none can.
    """
    rng = random.Random(f"{seed}/autoencoder")
    names, failures = list(looks()), []
    chosen = rng.sample(photos, min(300, len(photos)))
    for read in chosen:
        try:
            photo = read(256)
        except InputError as error:
            failures.append(error)
            continue
        look = looks()[rng.choice(names)]
        painted = look.paint(photo, 1.0, Draw.from_seed(rng.getrandbits(32), *photo.shape[:2]))
        for picture in (photo, painted):
            yield torch.from_numpy(picture.copy()).permute(2, 0, 1) * 2 - 1
    if failures and len(failures) == len(chosen):
        raise failures[-1]


def _text_encoder(recipe: ScratchModelRecipe, seed: int, say: Say) -> tuple[CLIPTokenizer, CLIPTextModel]:
    """Train a tokenizer and a text encoder on the wordings of looks and, with a teacher, on free texts."""
    trained, held_out = labelled_wordings()
    shape = text.TextShape(
        hidden_size=recipe.text_width,
        layers=recipe.text_layers,
        vocabulary=recipe.vocabulary,
        max_length=recipe.text_length,
    )
    lesson: text.Lesson | None = None
    words: list[str] = []
    if recipe.teacher is not None:
        say(f"text encoder: texts by the teacher {recipe.teacher.name}")
        teacher, words = text.load_teacher(recipe.teacher)
        corpus = _free_texts(words, random.Random(f"{seed}/texts"))
        lesson = text.Lesson(teacher=text.remembering(teacher, corpus), texts=corpus)
    tokenizer = text.train_tokenizer([wording for wording, _ in trained] * 5 + words, shape)
    torch.manual_seed(seed)
    encoder = text.new_text_encoder(tokenizer, shape)

    def report(step: int, loss: float) -> None:
        if step % 50 == 0:
            say(f"text encoder: step {step} of {recipe.text_steps}, loss {loss:.3f}")

    head = text.fit_text_encoder(
        encoder, tokenizer, trained, steps=recipe.text_steps, seed=seed, vary=vary, lesson=lesson, on_step=report
    )
    share = text.accuracy(encoder, tokenizer, head, held_out)
    say(f"text encoder: {share:.1%} of held-out wordings classified right")
    return tokenizer, encoder


def _free_texts(words: Sequence[str], rng: random.Random) -> list[str]:
    """Fill frames with random words, whatever they mean."""
    frames = [rng.choice(_FRAMES) for _ in range(_FREE_TEXTS)]
    return [re.sub(r"\{\}", lambda _: rng.choice(words), frame) for frame in frames]
