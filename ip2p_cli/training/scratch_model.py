"""A model built from scratch, ready to be trained: autoencoder, text encoder, UNet. nano began as one."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from ip2p_cli.datagen.dataset.stream import Photo
from ip2p_cli.datagen.triplets.grammar import edits_of
from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.io.train_recipes import ScratchModelRecipe
from ip2p_cli.looks import Draw, looks
from ip2p_cli.looks.labels import class_counts, draw_labelled, labelled_wordings
from ip2p_cli.models.loader import Editor, load_editor
from ip2p_cli.models.nano import text
from ip2p_cli.models.nano.autoencoder import PatchAutoencoder
from ip2p_cli.models.nano.unet import NOISE_KEYS, ResidualUNet
from ip2p_cli.models.registry import find_model
from ip2p_cli.types import ModelSpec

Say = Callable[[str], None]

# Frames for texts that describe no look: a teacher gives their embeddings.
_FRAMES = (
    "{}",
    "make it {}",
    "make it look {}",
    "as if it were {}",
    "a {} look",
    "turn it into {}",
    "{} style",
    "give the photo a {} mood",
    "make the {} {}",
    "{} {}",
    "add {}",
    "{} at {}",
    "add a {} on the {}",
)
_THINGS = (
    "a dog",
    "two cats",
    "a woman in a red dress",
    "an old man with a hat",
    "a child on a bike",
    "a horse",
    "a boat",
    "a vase of flowers",
    "a sports car",
    "a wooden house",
    "a castle",
    "a bowl of fruit",
    "a train",
    "a bird",
    "a couple",
    "a lighthouse",
    "a cup of coffee",
    "a street musician",
    "a bridge",
    "a mountain lake",
)
_PLACES = (
    "in a field",
    "on the beach",
    "in the city",
    "by a river",
    "at the market",
    "in front of mountains",
    "in a garden",
    "on a table",
    "under a tree",
    "in the forest",
    "on a street",
    "at home",
)
_FREE_TEXTS, _REGIONAL_TEXTS = 6000, 2500
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
    unet = _unet(recipe, seed, scheduler.config)
    vae = PatchAutoencoder(patch_size=recipe.patch_size, latent_channels=recipe.latent_channels)
    if recipe.unet_from is None:
        say(f"autoencoder: principal components of {recipe.patch_size} px patches")
        vae.fit(_pictures(photos, seed))
    else:
        old = load_editor(find_model(recipe.unet_from), device="cpu", dtype="fp32")
        say(f"UNet: {_take_over(unet, old.unet)} tensors of {recipe.unet_from}, and its autoencoder")
        vae = old.vae
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


def _unet(recipe: ScratchModelRecipe, seed: int, scheduler: Mapping[str, Any]) -> UNet2DConditionModel:
    torch.manual_seed(seed)
    channels = recipe.latent_channels
    shape = {"in_channels": 2 * channels, "out_channels": channels, "cross_attention_dim": recipe.text_width}
    if not recipe.residual:
        return _built(UNet2DConditionModel, shape, recipe.unet)
    if scheduler.get("prediction_type") != "v_prediction":
        raise UsageError("residual: give the scheduler the prediction_type v_prediction")
    unet = _built(ResidualUNet, {**shape, "time_cond_proj_dim": channels}, recipe.unet)
    unet.register_to_config(noise_schedule={key: scheduler[key] for key in NOISE_KEYS if key in scheduler})
    nn.init.zeros_(unet.conv_out.weight)
    nn.init.zeros_(unet.conv_out.bias)  # begins with photos as they are
    return unet


def _take_over(unet: Any, old: Any) -> int:
    """Copy the tensors of another UNet that fit, except its last layer's; returns how many."""
    weights, own = old.state_dict(), unet.state_dict()
    fitting = {
        name: weight
        for name, weight in weights.items()
        if name in own and own[name].shape == weight.shape and not name.startswith("conv_out.")
    }
    unet.load_state_dict(fitting, strict=False)
    return len(fitting)


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
        corpus = _corpus(words, random.Random(f"{seed}/texts"))
        lesson = text.Lesson(teacher=text.remembering(teacher, corpus), texts=corpus)
    rng = random.Random(f"{seed}/vocabulary")
    regional = [draw_labelled(rng)[0] for _ in range(4000)]
    tokenizer = text.train_tokenizer([wording for wording, _ in trained] * 5 + regional + words, shape)
    torch.manual_seed(seed)
    encoder = text.new_text_encoder(tokenizer, shape)

    def report(step: int, loss: float) -> None:
        if step % 50 == 0:
            say(f"text encoder: step {step} of {recipe.text_steps}, loss {loss:.3f}")

    heads = text.fit_text_encoder(
        encoder,
        tokenizer,
        draw_labelled,
        class_counts(),
        steps=recipe.text_steps,
        seed=seed,
        lesson=lesson,
        on_step=report,
    )
    share = text.accuracy(encoder, tokenizer, heads[0], held_out)
    say(f"text encoder: {share:.1%} of held-out wordings classified right")
    rng = random.Random(f"{seed}/regions")
    regions = [(wording, classes[1]) for wording, classes in (draw_labelled(rng) for _ in range(2000))]
    share = text.accuracy(encoder, tokenizer, heads[1], regions)
    say(f"text encoder: {share:.1%} of regions understood")
    return tokenizer, encoder


def _corpus(words: Sequence[str], rng: random.Random) -> list[str]:
    """Texts for a teacher: wordings, also in regions; instructions and captions of other edits; frames of any words."""
    texts = [wording for wording, _ in labelled_wordings()[0] if wording]
    texts += [draw_labelled(rng)[0] for _ in range(_REGIONAL_TEXTS)]
    for caption in _captions(rng):
        for edit in edits_of(caption):
            texts += [edit.edited, rng.choice(edit.wordings)]
    frames = [rng.choice(_FRAMES) for _ in range(_FREE_TEXTS)]
    texts += [re.sub(r"\{\}", lambda _: rng.choice(words), frame) for frame in frames]
    return sorted({text for text in texts if text})


def _captions(rng: random.Random) -> list[str]:
    """Captions of things in places."""
    return [f"{thing} {place}" for thing in rng.sample(_THINGS, len(_THINGS)) for place in rng.sample(_PLACES, 4)]
