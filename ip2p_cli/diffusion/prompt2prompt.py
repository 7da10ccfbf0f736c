"""Prompt-to-Prompt (Hertz et al. 2022, arXiv:2208.01626): two pictures of one composition, from two captions.

As the authors of InstructPix2Pix use it, for a share p of the steps the second picture's self-attention takes the
queries and keys of the first and keeps its own values. That equals replacing the attention maps, without computing
them. Cross-attention may be edited too, as in Prompt-to-Prompt itself. Each of its edits is linear in the columns of a
map, so it is applied to the values.
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
    """An edit of the second picture's cross-attention maps; column j belongs to token j of its caption.

    Attributes:
        mapper: (L, L): column j becomes the sum over i of the first picture's column i times `mapper[i, j]`.
        take: (L,) in [0, 1]: the share of column j that is replaced so; the rest stays as it is.
        weight: (L,): factor of the columns afterwards.
        until: The share of steps with the edit.
    """

    mapper: torch.Tensor
    take: torch.Tensor
    weight: torch.Tensor
    until: float = 0.8


@dataclass(frozen=True, kw_only=True, eq=False)
class Control:
    """How the second picture of a pair follows the first.

    Attributes:
        share: p, the share of steps with shared self-attention, see `shares`.
        cross: An edit of cross-attention.
        blend: Where the pictures may differ.
    """

    share: float
    cross: CrossEdit | None = None
    blend: LocalBlend | None = None


@dataclass
class AttentionState:
    """What the attention processors do in the current step.

    Attributes:
        source: The row whose queries and keys each row takes; None where each takes its own.
        cross: Edits of cross-attention as (row of the first picture, row of the second, edit).
        maps: The maps to collect for local blends.
    """

    source: torch.Tensor | None = None
    cross: list[tuple[int, int, CrossEdit]] = field(default_factory=list)
    maps: WordMaps | None = None


def shares(share: float, step: int, steps: int) -> bool:
    """Whether self-attention is shared at `step` (from 0) of `steps` for p = `share`.

    As in the authors' code: in no step for p = 0, and in all steps but the last for p = 1.
    """
    return step / max(1, steps - 1) < share


class Controlled:
    """A denoiser for `editing.run`, in which items 2i and 2i + 1 are the first and second picture of pair i.

    Its `after_step` is for `editing.run` too. Steps count from `first` to `steps`.
    """

    def __init__(self, denoiser: TextGuidedDenoiser, controls: Sequence[Control], steps: int, first: int = 0) -> None:
        if denoiser.items != 2 * len(controls):
            raise ValueError(f"{len(controls)} pairs need {2 * len(controls)} items, not {denoiser.items}")
        self._denoiser, self._controls, self._steps, self._step = denoiser, list(controls), steps, first
        blends = [control.blend for control in controls]
        self.state = AttentionState(maps=WordMaps(blends, first_row=denoiser.items) if any(blends) else None)

    def __call__(self, latent: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The guided prediction of `TextGuidedDenoiser`."""
        self.state.source = _sources(self._controls, self._step, self._steps, latent.device)
        rows = range(self._denoiser.items, 2 * self._denoiser.items, 2)
        self.state.cross = [
            (row, row + 1, control.cross)
            for row, control in zip(rows, self._controls, strict=True)
            if control.cross is not None and self._step / self._steps < control.cross.until
        ]
        if self.state.maps is not None:
            self.state.maps.measure(latent)
        self._step += 1
        return self._denoiser(latent, timestep)

    def after_step(self, latent: torch.Tensor, done: int) -> torch.Tensor:
        """Latents in which second pictures equal the first outside the blended words' places."""
        return latent if self.state.maps is None else self.state.maps.blend(latent, done - 1, self._steps)


@contextmanager
def controlled(
    denoiser: TextGuidedDenoiser, controls: Sequence[Control], steps: int, first: int = 0
) -> Iterator[Controlled]:
    """Replace the UNet's attention processors within the block.

    Args:
        denoiser: The denoiser of the pairs' items.
        controls: A control for each pair.
        steps: Steps of the sampler.
        first: The step with which sampling begins.
    """
    unet, inside = denoiser.unet, Controlled(denoiser, controls, steps, first)
    before = unet.attn_processors
    unet.set_attn_processor(
        {name: (_SelfSharing if name.endswith("attn1.processor") else _CrossControl)(inside.state) for name in before}
    )
    try:
        yield inside
    finally:
        unet.set_attn_processor(before)


def _sources(controls: Sequence[Control], step: int, steps: int, device: torch.device) -> torch.Tensor | None:
    """The value of `AttentionState.source` at a step."""
    shared = [shares(control.share, step, steps) for control in controls]
    if not any(shared):
        return None
    items = [item for pair, share in enumerate(shared) for item in (2 * pair, 2 * pair + (0 if share else 1))]
    # Both guidance halves: the rows without text, then those with it.
    return torch.tensor([*items, *(len(items) + item for item in items)], device=device)


class _SelfSharing(AttnProcessor2_0):  # type: ignore[misc]
    """Self-attention in which rows may take the queries and keys of others."""

    def __init__(self, state: AttentionState) -> None:
        super().__init__()
        self._state = state

    def __call__(self, attn: Any, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        source = self._state.source
        if source is None:
            plain: torch.Tensor = super().__call__(attn, hidden_states, *args, **kwargs)
            return plain

        def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            return F.scaled_dot_product_attention(query[source], key[source], value)

        return _attention(attn, hidden_states, None, attend, kwargs.get("temb"))


class _CrossControl(AttnProcessor2_0):  # type: ignore[misc]
    """Cross-attention in which rows may take columns of another row's maps."""

    def __init__(self, state: AttentionState) -> None:
        super().__init__()
        self._state = state

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> torch.Tensor:
        state = self._state
        if (not state.cross and state.maps is None) or encoder_hidden_states is None:
            plain: torch.Tensor = super().__call__(attn, hidden_states, encoder_hidden_states, *args, **kwargs)
            return plain

        def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            result = F.scaled_dot_product_attention(query, key, value)
            if state.maps is not None:
                state.maps.take(query, key)
            if state.cross:
                result = result.clone()
            for first, second, edit in state.cross:
                # sum_j ((A_1 M)_j a_j + (A_2)_j (1 - a_j)) w_j v_j with maps A_1, A_2, mapper M, take a, weight w.
                take, weight = (x.to(value)[:, None] for x in (edit.take, edit.weight))
                weighted = weight * value[second]
                taken = edit.mapper.to(value) @ (take * weighted)
                from_first = F.scaled_dot_product_attention(query[first], key[first], taken)
                own = F.scaled_dot_product_attention(query[second], key[second], (1 - take) * weighted)
                result[second] = from_first + own
            return result

        return _attention(attn, hidden_states, encoder_hidden_states, attend, kwargs.get("temb"))


def _attention(
    attn: Any,
    hidden: torch.Tensor,
    text: torch.Tensor | None,
    attend: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
    temb: torch.Tensor | None,
) -> torch.Tensor:
    """Run an attention layer of diffusers on tokens (rows, L, D), with `attend` on (rows, heads, L, d)."""
    if hidden.ndim != 3 or attn.spatial_norm is not None or temb is not None:
        raise ValueError("Prompt-to-Prompt is for the transformer blocks of Stable Diffusion's UNets")
    residual = hidden
    if attn.group_norm is not None:
        hidden = attn.group_norm(hidden.transpose(1, 2)).transpose(1, 2)
    if text is not None and attn.norm_cross:
        text = attn.norm_encoder_hidden_states(text)
    context = hidden if text is None else text

    def split_heads(x: torch.Tensor) -> torch.Tensor:
        return x.view(*x.shape[:2], attn.heads, -1).transpose(1, 2)

    query, key, value = (split_heads(x) for x in (attn.to_q(hidden), attn.to_k(context), attn.to_v(context)))
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
