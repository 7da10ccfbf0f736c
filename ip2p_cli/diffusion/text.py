"""From instructions to what the UNet is told by them."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ip2p_cli.diffusion.latents import ImageLatent
from ip2p_cli.models.loader import Editor


@dataclass(frozen=True, eq=False)
class TextCondition:
    """Instructions as a model takes them: hidden states (N, L, D), and SDXL's pooled projection (N, P) or None."""

    states: torch.Tensor
    pooled: torch.Tensor | None = None


def as_condition(text: torch.Tensor | TextCondition) -> TextCondition:
    """`text` itself, or bare hidden states (N, L, D) as a condition."""
    return text if isinstance(text, TextCondition) else TextCondition(text)


@torch.no_grad()
def encode_condition(editor: Editor, instructions: Sequence[str]) -> TextCondition:
    """The condition of N instructions, in editor.dtype; see `truncated_words` for long ones.

    Stable Diffusion 1.5: the last hidden states. SDXL (arXiv:2307.01952, section 2.1): the penultimate ones of both
    encoders side by side, and the second one's pooled projection; an empty instruction is zeros where the model's
    `force_zeros_for_empty_prompt` says so.
    """
    if editor.text_encoder_2 is None:
        states: torch.Tensor = editor.text_encoder(_tokens(editor, editor.tokenizer, instructions))[0]
        return TextCondition(states)
    first = editor.text_encoder(_tokens(editor, editor.tokenizer, instructions), output_hidden_states=True)
    second = editor.text_encoder_2(_tokens(editor, editor.tokenizer_2, instructions), output_hidden_states=True)
    states = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
    pooled: torch.Tensor = second.text_embeds
    if editor.zero_null_text:
        empty = torch.tensor([not text for text in instructions], device=states.device)
        states = states.masked_fill(empty[:, None, None], 0)
        pooled = pooled.masked_fill(empty[:, None], 0)
    return TextCondition(states, pooled)


def null_condition(editor: Editor) -> TextCondition:
    """The "no text" of eq. 3 of the paper: the empty instruction's condition, N = 1."""
    return encode_condition(editor, [""])


def encode_text(editor: Editor, instructions: Sequence[str]) -> torch.Tensor:
    """Hidden states alone, (N, L, D): all there is for a model of Stable Diffusion 1.5."""
    return encode_condition(editor, instructions).states


def null_text(editor: Editor) -> torch.Tensor:
    """The empty instruction's hidden states, (1, L, D)."""
    return encode_text(editor, [""])


def size_condition(editor: Editor, image: ImageLatent) -> torch.Tensor | None:
    """SDXL's time ids (6,): original height and width, the crop's top and left, target height and width; else None.

    Original and target are the model's picture, uncropped: what diffusers' pipeline says where nobody says more.
    """
    if editor.text_encoder_2 is None:
        return None
    height, width = (side * editor.vae_factor for side in image.tensor.shape[-2:])
    return torch.tensor([height, width, 0, 0, height, width], dtype=torch.float32)


def truncated_words(editor: Editor, text: str) -> list[str]:
    """The words at the end of `text` that the text encoder cannot take in whole; [] where it all fits."""
    words = text.split()
    # By bisection, as each length takes a tokenization.
    fitting = bisect.bisect_right(
        range(1, len(words) + 1), editor.text_length, key=lambda count: _token_count(editor, " ".join(words[:count]))
    )
    return words[fitting:]


def _token_count(editor: Editor, text: str) -> int:
    return len(editor.tokenizer(text, truncation=False, verbose=False).input_ids)


def _tokens(editor: Editor, tokenizer: Any, instructions: Sequence[str]) -> torch.Tensor:
    """(N, L), padded as the tokenizer pads: SDXL's second one does it with another token than the first."""
    tokens = tokenizer(
        list(instructions), padding="max_length", max_length=editor.text_length, truncation=True, return_tensors="pt"
    )
    ids: torch.Tensor = tokens.input_ids
    return ids.to(editor.device)
