"""Prompt-to-Prompt (Hertz et al. 2022, arXiv:2208.01626): two pictures of one composition, from two captions.

As the authors of InstructPix2Pix use it: for a share p of the steps the second picture looks where the first one looks.
Its self-attention takes the first one's queries and keys and keeps its own values, which equals replacing the logits,
and no attention map is ever written out. Cross-attention may be controlled too, as in Prompt-to-Prompt itself: each of
its edits is linear in the columns of a map, so it is folded into the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import AttnProcessor2_0

from ip2p_cli.diffusion.blend import LocalBlend, WordMaps
from ip2p_cli.diffusion.guidance import TextGuidedDenoiser


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossEdit:
    """What the second picture's words take from the first one's, by column of the cross-attention maps.

    mapper: (L, L); the second caption's column j is the sum over i of the first one's column i times mapper[i, j].
    take: (L,) in [0, 1], how much of column j is taken so; the rest is the second one's own. weight: (L,), what
    columns are multiplied by (1 leaves them). until: the share of steps for which it holds.
    """

    mapper: torch.Tensor
    take: torch.Tensor
    weight: torch.Tensor
    until: float = 0.8


@dataclass(frozen=True, kw_only=True, eq=False)
class Control:
    """How the second picture of a pair follows the first. share: p, the share of steps with shared self-attention.

    At step k of n (from 0) it is shared while k / (n - 1) < p, as in the authors' code: never at 0, and at 1 in all
    steps but the last.
    """

    share: float
    cross: CrossEdit | None = None
    blend: LocalBlend | None = None


@dataclass
class AttentionState:
    """What the processors are told of the step in hand. source: for each row, whose queries and keys it takes."""

    source: torch.Tensor | None = None
    cross: list[tuple[int, int, CrossEdit]] = field(default_factory=list)  # (first's row, second's row, edit)
    maps: WordMaps | None = None


def shares(share: float, step: int, steps: int) -> bool:
    """Whether self-attention is shared at `step` (from 0) of `steps`, for p = `share`."""
    return step / max(1, steps - 1) < share


class Controlled:
    """A denoiser for `editing.run` under which items 2i and 2i + 1 are the first and second picture of pair i.

    `after_step` is for `editing.run` too: it blends. Steps count from `first` to `steps`.
    """

    def __init__(self, denoiser: TextGuidedDenoiser, controls: Sequence[Control], steps: int, first: int = 0) -> None:
        if denoiser.items != 2 * len(controls):
            raise ValueError(f"{len(controls)} pairs need {2 * len(controls)} items, not {denoiser.items}")
        self._denoiser, self._controls, self._steps, self._step = denoiser, list(controls), steps, first
        blends = [control.blend for control in controls]
        self.now = AttentionState(maps=WordMaps(blends, first_row=denoiser.items) if any(blends) else None)

    def __call__(self, latent: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The guided output, as `TextGuidedDenoiser` gives it."""
        self.now.source = _sources(self._controls, self._step, self._steps, latent.device)
        rows = range(self._denoiser.items, 2 * self._denoiser.items, 2)
        self.now.cross = [
            (row, row + 1, control.cross)
            for row, control in zip(rows, self._controls, strict=True)
            if control.cross is not None and self._step / self._steps < control.cross.until
        ]
        if self.now.maps is not None:
            self.now.maps.measure(latent)
        self._step += 1
        return self._denoiser(latent, timestep)

    def after_step(self, latent: torch.Tensor, done: int) -> torch.Tensor:
        """The latents with what lies outside of the blended words' places as in the first pictures."""
        return latent if self.now.maps is None else self.now.maps.blend(latent, done - 1, self._steps)


@contextmanager
def controlled(
    denoiser: TextGuidedDenoiser, controls: Sequence[Control], steps: int, first: int = 0
) -> Iterator[Controlled]:
    """Replace the UNet's attention processors while the block runs; afterwards they are the ones from before.

    Each pair has its own control. first: the step that sampling begins with, of `steps`.
    """
    unet, inside = denoiser.unet, Controlled(denoiser, controls, steps, first)
    before = unet.attn_processors
    unet.set_attn_processor(
        {
            name: _SelfSharing(inside.now) if name.endswith("attn1.processor") else _CrossControl(inside.now)
            for name in before
        }
    )
    try:
        yield inside
    finally:
        unet.set_attn_processor(before)


def _sources(controls: Sequence[Control], step: int, steps: int, device: torch.device) -> torch.Tensor | None:
    """For each row of the UNet's batch the row whose queries and keys it takes; None where each has its own."""
    shared = [shares(control.share, step, steps) for control in controls]
    if not any(shared):
        return None
    items = [item for pair, share in enumerate(shared) for item in (2 * pair, 2 * pair + (0 if share else 1))]
    # Both guidance halves: the rows without text, then those with it.
    return torch.tensor([*items, *(len(items) + item for item in items)], device=device)


class _SelfSharing(AttnProcessor2_0):  # type: ignore[misc]
    """Self-attention in which rows take the queries and keys of others, and keep their values."""

    def __init__(self, now: AttentionState) -> None:
        super().__init__()
        self._now = now

    def __call__(self, attn: Any, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        source = self._now.source
        if source is None:
            plain: torch.Tensor = super().__call__(attn, hidden_states, *args, **kwargs)
            return plain

        def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            return F.scaled_dot_product_attention(query[source], key[source], value)

        return _attention(attn, hidden_states, None, attend, kwargs.get("temb"))


class _CrossControl(AttnProcessor2_0):  # type: ignore[misc]
    """Cross-attention in which rows with text may take columns of another row's map."""

    def __init__(self, now: AttentionState) -> None:
        super().__init__()
        self._now = now

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> torch.Tensor:
        now = self._now
        if (not now.cross and now.maps is None) or encoder_hidden_states is None:
            plain: torch.Tensor = super().__call__(attn, hidden_states, encoder_hidden_states, *args, **kwargs)
            return plain

        def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            result = F.scaled_dot_product_attention(query, key, value)
            if now.maps is not None:
                now.maps.take(query, key)
            if now.cross:
                result = result.clone()
            for first, second, edit in now.cross:
                take, weight = (x.to(value)[:, None] for x in (edit.take, edit.weight))
                own = value[second]
                # sum_j ((A_1 M)_j a_j + (A_2)_j (1 - a_j)) w_j v_j, without A_1 and A_2 themselves.
                own = weight * own
                taken = edit.mapper.to(value) @ (take * own)
                result[second] = F.scaled_dot_product_attention(
                    query[first], key[first], taken
                ) + F.scaled_dot_product_attention(query[second], key[second], (1 - take) * own)
            return result

        return _attention(attn, hidden_states, encoder_hidden_states, attend, kwargs.get("temb"))


def _attention(
    attn: Any,
    hidden: torch.Tensor,
    text: torch.Tensor | None,
    attend: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
    temb: torch.Tensor | None,
) -> torch.Tensor:
    """diffusers' attention layer with `attend` (rows, heads, L, d) in the place of its own; tokens (rows, L, D)."""
    if hidden.ndim != 3 or attn.spatial_norm is not None or temb is not None:
        raise ValueError("Prompt-to-Prompt is for the transformer blocks of Stable Diffusion's UNets")
    residual = hidden
    if attn.group_norm is not None:
        hidden = attn.group_norm(hidden.transpose(1, 2)).transpose(1, 2)
    if text is not None and attn.norm_cross:
        text = attn.norm_encoder_hidden_states(text)
    seen = hidden if text is None else text

    def heads(x: torch.Tensor) -> torch.Tensor:
        return x.view(*x.shape[:2], attn.heads, -1).transpose(1, 2)

    query, key, value = heads(attn.to_q(hidden)), heads(attn.to_k(seen)), heads(attn.to_v(seen))
    if attn.norm_q is not None:
        query = attn.norm_q(query)
    if attn.norm_k is not None:
        key = attn.norm_k(key)
    out = attend(query, key, value).transpose(1, 2).flatten(2).to(query.dtype)
    out = attn.to_out[1](attn.to_out[0](out))
    if attn.residual_connection:
        out = out + residual
    result: torch.Tensor = out / attn.rescale_output_factor
    return result
