"""Text conditions of the UNet."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ip2p_cli.diffusion.latents import ImageLatent
from ip2p_cli.models.editor import Editor, token_ids


@dataclass(frozen=True, eq=False)
class TextCondition:
    """Encoded instructions.

    Attributes:
        states: Hidden states (N, L, D).
        pooled: SDXL's pooled projection (N, P).
    """

    states: torch.Tensor
    pooled: torch.Tensor | None = None


def as_condition(text: torch.Tensor | TextCondition) -> TextCondition:
    """Make a condition of bare hidden states (N, L, D); conditions are returned as they are."""
    return text if isinstance(text, TextCondition) else TextCondition(text)


@torch.no_grad()
def encode_condition(editor: Editor, instructions: Sequence[str]) -> TextCondition:
    """Encode N instructions; words beyond `editor.text_length` tokens are cut off (see `truncated_words`).

    Stable Diffusion 1.5 takes the last hidden states. SDXL takes the penultimate hidden states of both encoders, side
    by side, and the second encoder's pooled projection (arXiv:2307.01952, section 2.1); an empty instruction is zeros
    where the model's `force_zeros_for_empty_prompt` is set.
    """
    length = editor.text_length
    ids = token_ids(editor.tokenizer, instructions, length).to(editor.device)
    if editor.text_encoder_2 is None:
        states: torch.Tensor = editor.text_encoder(ids)[0]
        return TextCondition(states)
    # The two tokenizers pad with different tokens.
    second_ids = token_ids(editor.tokenizer_2, instructions, length).to(editor.device)
    first = editor.text_encoder(ids, output_hidden_states=True)
    second = editor.text_encoder_2(second_ids, output_hidden_states=True)
    states = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
    pooled: torch.Tensor = second.text_embeds
    if editor.zero_null_text:
        empty = torch.tensor([not text for text in instructions], device=states.device)
        states = states.masked_fill(empty[:, None, None], 0)
        pooled = pooled.masked_fill(empty[:, None], 0)
    return TextCondition(states, pooled)


def null_condition(editor: Editor) -> TextCondition:
    """The condition of the empty instruction, N = 1: the null text of arXiv:2211.09800, eq. 3."""
    return encode_condition(editor, [""])


def encode_text(editor: Editor, instructions: Sequence[str]) -> torch.Tensor:
    """Hidden states (N, L, D) of instructions: the whole condition for models of Stable Diffusion 1.5."""
    return encode_condition(editor, instructions).states


def null_text(editor: Editor) -> torch.Tensor:
    """Hidden states (1, L, D) of the empty instruction."""
    return encode_text(editor, [""])


def size_condition(editor: Editor, image: ImageLatent) -> torch.Tensor | None:
    """SDXL's time ids (6,), or None for other models.

    They are the original height and width, the crop's top and left, and the target height and width. Original and
    target are the model's picture, uncropped, as in diffusers' pipeline by default.
    """
    if editor.text_encoder_2 is None:
        return None
    height, width = (side * editor.vae_factor for side in image.tensor.shape[-2:])
    return torch.tensor([height, width, 0, 0, height, width], dtype=torch.float32)


def truncated_words(editor: Editor, text: str) -> list[str]:
    """The words at the end of `text` that exceed the text encoder's length."""
    words = text.split()
    # By bisection, as each length takes a tokenization.
    fitting = bisect.bisect_right(
        range(1, len(words) + 1), editor.text_length, key=lambda count: _token_count(editor, " ".join(words[:count]))
    )
    return words[fitting:]


def _token_count(editor: Editor, text: str) -> int:
    return len(editor.tokenizer(text, truncation=False, verbose=False).input_ids)
