"""Which words of two captions correspond, for Prompt-to-Prompt's cross-attention edits and local blends."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Literal

import torch

from ip2p_cli.diffusion.blend import LocalBlend
from ip2p_cli.diffusion.prompt2prompt import CrossEdit
from ip2p_cli.models.editor import Editor, token_ids

CrossMode = Literal["replace", "refine"]
_Opcode = tuple[str, int, int, int, int]


def cross_edit(
    editor: Editor,
    first: str,
    second: str,
    mode: CrossMode,
    *,
    until: float = 0.8,
    reweight: float = 1.0,
) -> CrossEdit:
    """Make the edit that gives common words of two captions the first caption's maps (arXiv:2208.01626, section 3.2).

    Args:
        editor: The text-to-image model.
        first: The caption of the first picture.
        second: The caption of the second picture.
        mode: "replace": words that replace others take those words' maps, spread evenly. "refine": they keep their own.
        until: The share of steps with the edit.
        reweight: Factor of the maps of words that only the second caption has.
    """
    length = editor.text_length
    mapper, take, weight = torch.zeros(length, length), torch.zeros(length), torch.ones(length)
    for tag, a, b, c, d in _differences(editor, first, second):
        if tag == "equal":
            mapper[range(a, b), range(c, d)] = 1
            take[c:d] = 1
            continue
        weight[c:d] = reweight
        if tag == "replace" and mode == "replace":
            take[c:d] = 1
            for j in range(d - c):  # each new token takes its share of the old tokens, in order
                low, high = j * (b - a) // (d - c), -(-(j + 1) * (b - a) // (d - c))
                mapper[a + low : a + high, c + j] = 1 / (high - low)
    return CrossEdit(mapper=mapper, take=take, weight=weight, until=until)


def local_blend(editor: Editor, first: str, second: str) -> LocalBlend | None:
    """Make a blend around the words that differ; None where the second caption has no word of its own."""
    removed, added = torch.zeros(editor.text_length), torch.zeros(editor.text_length)
    for tag, a, b, c, d in _differences(editor, first, second):
        if tag != "equal":
            removed[a:b] = 1
            added[c:d] = 1
    return LocalBlend(first=removed, second=added) if added.any() else None


def _differences(editor: Editor, first: str, second: str) -> list[_Opcode]:
    """Opcodes of difflib that turn the first caption's tokens, padding included, into the second's."""
    one, two = token_ids(editor.tokenizer, [first, second], editor.text_length).tolist()
    return list(SequenceMatcher(None, one, two, autojunk=False).get_opcodes())
