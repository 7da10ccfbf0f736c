"""nano's vocabulary holds every byte, and its text encoder learns what texts ask for."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import CLIPTokenizer

from ip2p_cli.errors import ModelError
from ip2p_cli.models.nano import text

SHAPE = text.TextShape(hidden_size=32, layers=1, heads=2, vocabulary=620, max_length=16)
LABELLED = [
    ("make it winter", 0), ("add some snow", 0), ("a winter day", 0),
    ("make it night", 1), ("turn day into night", 1), ("at midnight", 1),
    ("a pencil sketch", 2), ("draw it with a pencil", 2), ("sketch it", 2),
]  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return text.train_tokenizer([wording for wording, _ in LABELLED] * 5, SHAPE)


def draw(rng: random.Random) -> text.LabelledText:
    wording, label = rng.choice(LABELLED)
    return wording, (label, len(wording) % 2)


@pytest.mark.parametrize("wording", ["make it winter", "add a snow-covered café, please!", "雪 ❄ ü", "#5%"])
def test_round_trip(tokenizer: CLIPTokenizer, wording: str) -> None:
    tokens = tokenizer(wording).input_ids
    assert tokens[0] == tokenizer.bos_token_id
    assert tokens[-1] == tokenizer.eos_token_id
    assert tokenizer.eos_token_id not in tokens[1:-1]  # it also stands for what cannot be said
    back = tokenizer.decode(tokens, skip_special_tokens=True)
    assert back.replace(" ", "") == wording.replace(" ", "")


def test_every_byte_can_be_said(tokenizer: CLIPTokenizer) -> None:
    from tokenizers.pre_tokenizers import ByteLevel

    vocabulary = tokenizer.get_vocab()
    alphabet = ByteLevel.alphabet()
    assert len(alphabet) == 256
    assert {*alphabet, *(letter + "</w>" for letter in alphabet)} <= vocabulary.keys()
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    assert len(vocabulary) <= SHAPE.vocabulary + 256


def test_common_words_are_one_token(tokenizer: CLIPTokenizer) -> None:
    assert len(tokenizer("winter").input_ids) == 3
    assert tokenizer("WINTER").input_ids == tokenizer("winter").input_ids


def test_padded_and_cut(tokenizer: CLIPTokenizer) -> None:
    ids = text.tokenize(tokenizer, ["", "make it winter", "xyz " * 40])
    assert ids.shape == (3, 16)
    assert ids[0].tolist() == [tokenizer.bos_token_id] + [tokenizer.eos_token_id] * 15
    assert ids[2, -1] == tokenizer.eos_token_id


def test_learns_a_toy_classification(tokenizer: CLIPTokenizer) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    encoder = text.new_text_encoder(tokenizer, SHAPE)
    losses: list[float] = []
    heads = text.fit_text_encoder(
        encoder, tokenizer, draw, (3, 2), steps=60, seed=0, batch=16,
        on_step=lambda step, loss: losses.append(loss),
    )  # fmt: skip
    assert losses[-1] < losses[0] / 2
    assert text.accuracy(encoder, tokenizer, heads[0], LABELLED) == 1
    assert text.accuracy(encoder, tokenizer, heads[0], [("make it winter", 1)]) == 0
    assert not any(weight.requires_grad for weight in encoder.parameters())


def test_a_teacher_draws_free_texts_together(tokenizer: CLIPTokenizer) -> None:
    """Texts that no label names land where the teacher puts them."""
    torch.set_num_threads(1)

    def teacher(texts: list[str]) -> Tensor:
        return torch.tensor([[1.0, 0.0] if "frost" in t or "winter" in t or "snow" in t else [0.0, 1.0] for t in texts])

    torch.manual_seed(0)
    encoder = text.new_text_encoder(tokenizer, SHAPE)
    free = ["frost", "some frost", "a banana", "banana bread", "frost on it", "bananas"]
    lesson = text.Lesson(teacher=teacher, texts=free)
    text.fit_text_encoder(encoder, tokenizer, draw, (3, 2), steps=40, seed=0, lesson=lesson, batch=12)
    states = encoder(text.tokenize(tokenizer, ["frost", "a banana", "some frost"])).pooler_output
    near, far = (
        torch.cosine_similarity(states[0], states[2], dim=0),
        torch.cosine_similarity(states[0], states[1], dim=0),
    )
    assert near > far


def test_no_teacher_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no sentence encoder there"):
        text.load_teacher(tmp_path)


def test_a_teacher_is_asked_once(tokenizer: CLIPTokenizer) -> None:
    asked: list[str] = []

    def teacher(texts: list[str]) -> Tensor:
        asked.extend(texts)
        return torch.tensor([[float(len(t))] for t in texts])

    remembering = text.remembering(teacher, ["aa", "b", "aa"], batch=1)
    assert asked == ["b", "aa"]
    assert remembering(["aa", "ccc", "b"]).flatten().tolist() == [2, 3, 1]
    assert asked == ["b", "aa", "ccc"]
