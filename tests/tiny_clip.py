"""Random models that look at pictures, with the real ones' topology."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from tests.tiny import byte_vocabulary

SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
EYES = {**SMALL, "image_size": 32, "patch_size": 8}


def save_clip(place: Path) -> Path:
    tokenizer = CLIPTokenizer(vocab=byte_vocabulary(), merges=[], model_max_length=77)
    text = {**SMALL, "vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=EYES, projection_dim=8))
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


def save_clipseg(place: Path, offset: float = 0.0) -> Path:
    """A CLIPSeg; offset: is added to what it answers, before the sigmoid."""
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    tokenizer = CLIPTokenizer(vocab=byte_vocabulary(), merges=[], model_max_length=77)
    text = {**SMALL, "vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = CLIPSegConfig(
            text_config=text,
            vision_config={**EYES, "num_hidden_layers": 2},
            projection_dim=8,
            reduce_dim=8,
            decoder_num_attention_heads=2,
            decoder_intermediate_size=16,
            extract_layers=[0, 1],
        )
        model = CLIPSegForImageSegmentation(config)
    bias = model.decoder.transposed_convolution.bias
    bias.data.fill_(offset)
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


def save_dino(place: Path) -> Path:
    from transformers import Dinov2Config, Dinov2Model

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        Dinov2Model(
            Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14)
        ).save_pretrained(place)
    return place


def save_classifier(place: Path, labels: tuple[str, ...] = ("normal", "nsfw")) -> Path:
    from transformers import ViTConfig, ViTForImageClassification

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = ViTConfig(**EYES, id2label=dict(enumerate(labels)), label2id={n: i for i, n in enumerate(labels)})
        ViTForImageClassification(config).save_pretrained(place)
    return place


def save_checker(place: Path, *, strict: bool) -> Path:
    """Stable Diffusion's checker; strict: it finds everything unsafe, else nothing."""
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig as Config

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        text = {**SMALL, "vocab_size": 100}
        checker = StableDiffusionSafetyChecker(Config(text_config=text, vision_config=EYES, projection_dim=8))
    bound = -2.0 if strict else 2.0
    checker.concept_embeds_weights.data.fill_(bound)
    checker.special_care_embeds_weights.data.fill_(2.0)
    checker.save_pretrained(place)
    return place
