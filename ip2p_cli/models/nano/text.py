"""nano's text encoder: a small CLIPTextModel with its own vocabulary, trained before the UNet.

It learns to classify instructions by look. With a teacher sentence encoder it also learns the teacher's vectors of
further texts (distillation), so that unknown synonyms come near the look that they mean. Afterwards it is frozen, like
CLIP's in the paper.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ip2p_cli.errors import ModelError
from ip2p_cli.models.editor import token_ids

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
LabelledText = tuple[str, tuple[int, ...]]
Teacher = Callable[[Sequence[str]], Tensor]  # texts -> (N, D) unit vectors
_TEACHER_WEIGHT = 4.0


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """A teacher, and further `texts` to learn its vectors of."""

    teacher: Teacher
    texts: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class TextShape:
    """Sizes of the text encoder; `max_length` counts tokens with the start and end token."""

    hidden_size: int = 192
    layers: int = 3
    heads: int = 4
    vocabulary: int = 3000
    max_length: int = 32


def train_tokenizer(texts: Iterable[str], shape: TextShape) -> CLIPTokenizer:
    """Train a CLIP tokenizer's byte pairs on `texts`; it can represent every byte."""
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=shape.vocabulary - len(alphabet) - 2,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    learned = json.loads(bpe.to_str())["model"]
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in learned["merges"]]
    pieces = alphabet + [a + "</w>" for a in alphabet] + ["".join(m) for m in merges] + [BOS, EOS]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=shape.max_length)


def new_text_encoder(tokenizer: CLIPTokenizer, shape: TextShape) -> CLIPTextModel:
    """Make a CLIPTextModel with random weights for `tokenizer`."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        intermediate_size=4 * shape.hidden_size,
        projection_dim=shape.hidden_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def tokenize(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """Tokenize texts to ids (N, max_length), padded and cut off."""
    return token_ids(tokenizer, texts, tokenizer.model_max_length)


def fit_text_encoder(
    encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    draw: Callable[[random.Random], LabelledText],
    classes: Sequence[int],
    *,
    steps: int,
    seed: int,
    lesson: Lesson | None = None,
    batch: int = 64,
    on_step: Callable[[int, float], None] | None = None,
) -> nn.ModuleList:
    """Train `encoder` in place to classify texts in one way or several.

    Args:
        encoder: The text encoder.
        tokenizer: Its tokenizer.
        draw: Draws a text and its class, from 0, in each way.
        classes: The number of classes in each way.
        steps: Training steps.
        seed: Seed of all random numbers.
        lesson: With it, each batch holds as many of the teacher's texts besides; a linear map of their pooled states
            is trained on the teacher's vectors (cosine distance).
        batch: Labelled texts in a batch.
        on_step: Called with the number of steps done and the loss.

    Returns:
        The classifying layers, one a way.
    """
    width = encoder.config.hidden_size
    torch.manual_seed(seed)
    heads, to_teacher = nn.ModuleList(nn.Linear(width, n) for n in classes), nn.Linear(width, _teacher_width(lesson))
    parameters = [*encoder.parameters(), *heads.parameters(), *to_teacher.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.05)
    ramp = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / ramp, 0.5 * (1 + math.cos(math.pi * s / steps)) + 0.01)
    )
    rng = random.Random(seed)
    encoder.train()
    for step in range(steps):
        drawn = [draw(rng) for _ in range(batch)]
        texts, labels = [text for text, _ in drawn], torch.tensor([label for _, label in drawn])
        lessons = [] if lesson is None else [rng.choice(lesson.texts) for _ in range(batch)]
        pooled = encoder(tokenize(tokenizer, texts + lessons)).pooler_output
        loss = torch.zeros(())
        for head, column in zip(heads, labels.T, strict=True):
            loss = loss + F.cross_entropy(head(pooled[:batch]), column, label_smoothing=0.05)
        if lesson is not None:
            taught = F.cosine_similarity(to_teacher(pooled[batch:]), lesson.teacher(lessons))
            loss = loss + _TEACHER_WEIGHT * (1 - taught).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if on_step:
            on_step(step + 1, loss.item())
    encoder.eval().requires_grad_(False)
    return heads


def _teacher_width(lesson: Lesson | None) -> int:
    return 1 if lesson is None else lesson.teacher(lesson.texts[:1]).shape[1]


@torch.no_grad()
def accuracy(
    encoder: CLIPTextModel, tokenizer: CLIPTokenizer, head: nn.Module, labelled: Sequence[tuple[str, int]]
) -> float:
    """The share of `labelled` texts that `head` classifies correctly."""
    pooled = encoder(tokenize(tokenizer, [text for text, _ in labelled])).pooler_output
    right = head(pooled).argmax(1) == torch.tensor([label for _, label in labelled])
    return float(right.float().mean())


def load_teacher(folder: Path) -> tuple[Teacher, list[str]]:
    """Load a mean-pooled sentence encoder, such as all-MiniLM-L6-v2, and the most common words it knows."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        model = AutoModel.from_pretrained(str(folder), local_files_only=True, use_safetensors=True).eval()
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{folder}: no sentence encoder there; give --teacher a folder in transformers layout."
        ) from error
    model.requires_grad_(False)
    vocabulary = tokenizer.get_vocab()
    words = [word for word in sorted(vocabulary, key=vocabulary.__getitem__) if re.fullmatch("[a-z]{4,}", word)]

    def embed(texts: Sequence[str]) -> Tensor:
        batch = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        states, mask = model(**batch).last_hidden_state, batch.attention_mask[..., None]
        return F.normalize((states * mask).sum(1) / mask.sum(1), dim=1)

    return embed, words[:12000]


def remembering(teacher: Teacher, corpus: Sequence[str], batch: int = 256) -> Teacher:
    """Cache the vectors of `teacher`; those of `corpus` are computed at once."""
    known: dict[str, Tensor] = {}

    def embed(texts: Sequence[str]) -> Tensor:
        # By length, as a batch is padded to its longest text.
        new = sorted({text for text in texts if text not in known}, key=lambda text: (len(text), text))
        for i in range(0, len(new), batch):
            part = new[i : i + batch]
            known.update(zip(part, teacher(part), strict=True))
        return torch.stack([known[text] for text in texts])

    if corpus:
        embed(corpus)
    return embed
