"""A model from nothing, ready to be trained: autoencoder, text encoder, UNet (nano's beginning)."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from ..datagen.looks import looks
from ..datagen.looks.labels import labelled_wordings
from ..datagen.looks.phrasing import vary
from ..datagen.looks.stream import read_photo
from ..io.train_recipes import FreshRecipe
from ..models.loader import Editor
from ..models.nano import text
from ..models.nano.autoencoder import PatchAutoencoder
from ..types import ModelSpec

Say = Callable[[str], None]

# Frames for texts that no look words: a teacher tells where these lie.
_FRAMES = (
    "{}", "make it {}", "make it look {}", "as if it were {}", "a {} look", "turn it into {}", "{} style",
    "give the photo a {} mood", "make the {} {}", "{} {}", "add {}", "{} at {}", "add a {} on the {}",
)  # fmt: skip
_FREE_TEXTS = 8000


def build_fresh(recipe: FreshRecipe, name: str, photos: Sequence[Path], seed: int, say: Say) -> Editor:
    """A fresh model in fp32 on the CPU, its UNet untrained, its other parts finished.

    Deterministic in (recipe, photos, seed). Takes minutes, most of them for the text encoder.
    """
    say(f"autoencoder: principal components of {recipe.patch_size} px patches")
    vae = PatchAutoencoder(patch_size=recipe.patch_size, latent_channels=recipe.latent_channels)
    vae.fit(_pictures(photos, seed))
    shape = text.TextShape(
        hidden_size=recipe.text_width,
        layers=recipe.text_layers,
        vocabulary=recipe.vocabulary,
        max_length=recipe.text_length,
    )
    tokenizer, encoder = _text_encoder(recipe, shape, seed, say)
    torch.manual_seed(seed)
    channels = recipe.latent_channels
    unet = UNet2DConditionModel(
        **{"in_channels": 2 * channels, "out_channels": channels, "cross_attention_dim": recipe.text_width, **recipe.unet}
    )
    betas = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    scheduler = DDIMScheduler(**{**betas, "clip_sample": False, "set_alpha_to_one": False, **recipe.scheduler})
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


def _pictures(photos: Sequence[Path], seed: int) -> Iterator[Tensor]:
    """Photos, each plain and with one look: the autoencoder has to carry both."""
    rng = random.Random(f"{seed}/autoencoder")
    names = list(looks())
    for path in rng.sample(list(photos), min(300, len(photos))):
        photo = read_photo(path, 256)
        painted = looks()[rng.choice(names)].paint(photo, 1.0, torch_free_rng(rng))
        for picture in (photo, painted):
            yield torch.from_numpy(picture.copy()).permute(2, 0, 1) * 2 - 1


def torch_free_rng(rng: random.Random):  # type: ignore[no-untyped-def]
    """A numpy generator that continues `rng`."""
    import numpy as np

    return np.random.default_rng(rng.getrandbits(32))


def _text_encoder(recipe: FreshRecipe, shape: text.TextShape, seed: int, say: Say):  # type: ignore[no-untyped-def]
    trained, held_out = labelled_wordings()
    teacher, free, words = None, None, []
    if recipe.teacher is not None:
        say(f"text encoder: texts by the teacher {recipe.teacher.name}")
        teacher, words = text.load_teacher(recipe.teacher)
        rng = random.Random(f"{seed}/texts")
        frames = [rng.choice(_FRAMES) for _ in range(_FREE_TEXTS)]
        corpus = [re.sub(r"\{\}", lambda _: rng.choice(words), frame) for frame in frames]
        teacher = text.remembering(teacher, corpus)
        free = lambda rng: rng.choice(corpus)  # noqa: E731
    tokenizer = text.train_tokenizer([t for t, _ in trained] * 5 + words, shape)
    torch.manual_seed(seed)
    encoder = text.new_text_encoder(tokenizer, shape)
    head = text.fit_text_encoder(
        encoder,
        tokenizer,
        trained,
        steps=recipe.text_steps,
        seed=seed,
        vary=vary,
        free_texts=free,
        teacher=teacher,
        on_step=lambda step, loss: say(f"text encoder: step {step}, loss {loss:.3f}") if step % 50 == 0 else None,
    )
    say(f"text encoder: {text.accuracy(encoder, tokenizer, head, held_out):.1%} of held-out wordings classified right")
    return tokenizer, encoder
