"""Which words of two captions belong together: what Prompt-to-Prompt's cross-attention edits and blends start from."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any, Literal

import torch

from ip2p_cli.diffusion.blend import LocalBlend
from ip2p_cli.diffusion.prompt2prompt import CrossEdit
from ip2p_cli.models.editor import Editor

CrossMode = Literal["replace", "refine"]


def cross_edit(
    editor: Editor,
    first: str,
    second: str,
    mode: CrossMode,
    *,
    until: float = 0.8,
    reweight: float = 1.0,
) -> CrossEdit:
    """The edit that gives words which both captions have the first one's maps.

    replace: words that stand in the place of others take those words' maps too, spread evenly; refine: they keep their
    own. reweight: what the maps of words that only the second caption has are multiplied by. Prompt-to-Prompt, section
    3.2. until: the share of steps for which it holds.
    """
    one, two = (_tokens(editor, caption) for caption in (first, second))
    length = editor.text_length
    mapper, take, weight = torch.zeros(length, length), torch.zeros(length), torch.ones(length)
    for tag, a, b, c, d in SequenceMatcher(None, one, two, autojunk=False).get_opcodes():
        if tag == "equal":
            mapper[range(a, b), range(c, d)] = 1
            take[c:d] = 1
        else:
            weight[c:d] = reweight
        if tag == "replace" and mode == "replace":
            spread = torch.zeros(b - a, d - c)
            for j in range(d - c):  # each new token takes its share of the old ones, in order
                low, high = j * (b - a) // (d - c), -(-(j + 1) * (b - a) // (d - c))
                spread[low:high, j] = 1 / (high - low)
            mapper[a:b, c:d] = spread
            take[c:d] = 1
    return CrossEdit(mapper=mapper, take=take, weight=weight, until=until)


def local_blend(editor: Editor, first: str, second: str) -> LocalBlend | None:
    """A blend around the words that differ; None where one of the captions has no word that the other one lacks."""
    one, two = (_tokens(editor, caption) for caption in (first, second))
    words = torch.zeros(editor.text_length), torch.zeros(editor.text_length)
    for tag, a, b, c, d in SequenceMatcher(None, one, two, autojunk=False).get_opcodes():
        if tag != "equal":
            words[0][a:b] = 1
            words[1][c:d] = 1
    if not words[1].any():
        return None
    if not words[0].any():  # only added: where the new words are
        return LocalBlend(first=torch.zeros_like(words[1]), second=words[1])
    return LocalBlend(first=words[0], second=words[1])


def _tokens(editor: Editor, caption: str) -> list[int]:
    """A caption's tokens with both marks and the padding, as many as the text encoder takes."""
    said: Any = editor.tokenizer(caption, padding="max_length", max_length=editor.text_length, truncation=True)
    return [int(token) for token in said.input_ids]
