"""Classifier-free guidance by image and text (eq. 3 of arXiv:2211.09800), and by text alone."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ip2p_cli.diffusion.latents import ImageLatent
from ip2p_cli.diffusion.text import TextCondition, as_condition
from ip2p_cli.errors import UsageError


class Branch(enum.Enum):
    """The conditions of a prediction."""

    NEITHER = "e(0,0)"
    IMAGE = "e(I,0)"
    IMAGE_TEXT = "e(I,T)"


def coefficients(cfg_text: float, cfg_image: float) -> dict[Branch, float]:
    """The weights of the predictions in eq. 3 of arXiv:2211.09800; those that are zero are left out.

    Args:
        cfg_text: s_T, any finite number.
        cfg_image: s_I, any finite number.

    Returns:
        Weights that sum to 1.

    Raises:
        UsageError: A scale is not finite.
    """
    if not (math.isfinite(cfg_text) and math.isfinite(cfg_image)):
        raise UsageError(f"guidance scales must be finite numbers, not text {cfg_text}, image {cfg_image}")
    # Eq. 3: e = e(0,0) + s_I (e(I,0) - e(0,0)) + s_T (e(I,T) - e(I,0)), sorted by prediction.
    weights = {
        Branch.NEITHER: 1.0 - cfg_image,
        Branch.IMAGE: cfg_image - cfg_text,
        Branch.IMAGE_TEXT: cfg_text,
    }
    return {branch: weight for branch, weight in weights.items() if weight != 0.0}


def text_guided_prediction(without: torch.Tensor, with_text: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """e(0) + s (e(T) - e(0)): eq. 6 of arXiv:2207.12598 with s = w + 1."""
    return without + scale * (with_text - without)


def call_unet(
    unet: Any, latent: torch.Tensor, timestep: torch.Tensor, states: torch.Tensor, added: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """Run a UNet on latents (rows, C, h, w) with text states (rows, L, D) and SDXL's `added` conditions."""
    sdxl = {"added_cond_kwargs": dict(added)} if added else {}
    output: torch.Tensor = unet(latent, timestep, encoder_hidden_states=states, **sdxl, return_dict=False)[0]
    return output


def _added_conditions(
    pooled: torch.Tensor | None, time_ids: torch.Tensor | None, rows: int, device: torch.device
) -> dict[str, torch.Tensor]:
    """SDXL's further conditions (rows, ...); none for other models."""
    if time_ids is None:
        return {}
    if pooled is None:
        raise ValueError("an SDXL model needs the pooled text: give what `text.encode_condition` returns")
    return {"text_embeds": pooled, "time_ids": time_ids.to(device).expand(rows, -1)}


@dataclass(frozen=True)
class _Row:
    """A row of a UNet batch: the prediction `branch` of `item`, and its weight in eq. 3."""

    item: int
    branch: Branch
    weight: float


class GuidedDenoiser:
    """Callable: (scaled latent (N, C, h, w), timestep) -> guided model output (N, C, h, w), float32.

    Only predictions with a weight in eq. 3 are evaluated. To change predictions, wrap the callable.
    """

    def __init__(
        self,
        unet: Any,
        image: ImageLatent,
        text: torch.Tensor | TextCondition,
        null_text: torch.Tensor | TextCondition,
        cfg_text: Sequence[float],
        cfg_image: Sequence[float],
        *,
        time_ids: torch.Tensor | None = None,
        max_rows: int | None = None,
    ) -> None:
        """Gather the conditions of all rows.

        Args:
            unet: The UNet.
            image: N image conditions.
            text: N text conditions (N, L, D).
            null_text: The condition of the empty instruction (1, L, D), or N negative prompts (N, L, D) in its place.
            cfg_text: N text scales.
            cfg_image: N image scales.
            time_ids: SDXL's size condition (6,), see `text.size_condition`.
            max_rows: The largest number of rows in a UNet call; None for no limit.
        """
        count = image.tensor.shape[0]
        texts, null = as_condition(text), as_condition(null_text)
        if not len(texts.states) == len(cfg_text) == len(cfg_image) == count:
            raise ValueError(
                f"{count} images, {len(texts.states)} texts, {len(cfg_text)} and {len(cfg_image)} scales: one each "
                "per item"
            )
        if max_rows is not None and max_rows < 1:
            raise UsageError(f"at least one row must fit in a UNet call, not {max_rows}")
        self._unet = unet
        self._rows = [
            _Row(item, branch, weight)
            for item, scales in enumerate(zip(cfg_text, cfg_image, strict=True))
            for branch, weight in coefficients(*scales).items()
        ]
        blank = torch.zeros_like(image.tensor[0])
        images = [blank if row.branch is Branch.NEITHER else image.tensor[row.item] for row in self._rows]
        # Not unet.device: with offloading the UNet may be elsewhere until it is called.
        self._device = image.tensor.device
        self._image = torch.stack(images).to(unet.dtype)
        self._text = self._by_row(texts.states, null.states)
        has_pooled = texts.pooled is not None and null.pooled is not None
        pooled = self._by_row(texts.pooled, null.pooled) if has_pooled else None
        self._added = _added_conditions(pooled, time_ids, self.rows, self._device)
        self._rows_per_call = max_rows or self.rows

    def _by_row(self, text: Any, null: Any) -> torch.Tensor:
        """The text condition of each row, (rows, ...), from texts (N, ...) and null texts (1, ...) or (N, ...)."""
        nulls = null.expand(len(text), *null.shape[1:])
        chosen = [(text if row.branch is Branch.IMAGE_TEXT else nulls)[row.item] for row in self._rows]
        return torch.stack(chosen).to(self._device, self._unet.dtype)

    @property
    def rows(self) -> int:
        """Rows that the UNet evaluates in a step."""
        return len(self._rows)

    def __call__(self, latent: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The guided prediction for latents scaled by the scheduler's `scale_model_input`."""
        guided = torch.zeros_like(latent, dtype=torch.float32)
        for start in range(0, self.rows, self._rows_per_call):
            part = slice(start, start + self._rows_per_call)
            items = [row.item for row in self._rows[part]]
            unet_input = torch.cat([latent[items].to(self._image.dtype), self._image[part]], dim=1)
            added = {name: value[part] for name, value in self._added.items()}
            predictions = call_unet(self._unet, unet_input, timestep, self._text[part], added).float()
            # Row by row: index_add_ sums in no fixed order on CUDA, and a seed would not repeat exactly.
            for row, prediction in zip(self._rows[part], predictions, strict=True):
                guided[row.item].add_(prediction, alpha=row.weight)  # eq. 3
        return guided


class TextGuidedDenoiser:
    """Callable like `GuidedDenoiser`, for text-to-image models, which are guided by text alone.

    A call runs the UNet on 2 N rows at once: those without text, then those with it.
    """

    def __init__(
        self,
        unet: Any,
        text: TextCondition,
        null: TextCondition,
        cfg: Sequence[float],
        *,
        time_ids: torch.Tensor | None = None,
    ) -> None:
        """Gather the conditions of all rows.

        Args:
            unet: The UNet.
            text: N text conditions.
            null: The condition of the empty text, N = 1.
            cfg: N scales.
            time_ids: SDXL's size condition (6,), see `text.size_condition`.
        """
        if len(text.states) != len(cfg):
            raise ValueError(f"{len(text.states)} texts and {len(cfg)} scales: one each per item")
        self.unet, self.items = unet, len(cfg)
        device = text.states.device
        self._scales = torch.tensor(list(cfg), device=device, dtype=torch.float32)[:, None, None, None]
        self._text = torch.cat([null.states.expand_as(text.states), text.states]).to(unet.dtype)
        pooled = None
        if text.pooled is not None and null.pooled is not None:
            pooled = torch.cat([null.pooled.expand_as(text.pooled), text.pooled]).to(unet.dtype)
        self._added = _added_conditions(pooled, time_ids, 2 * self.items, device)

    def __call__(self, latent: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The guided prediction (N, C, h, w) for latents scaled by the scheduler's `scale_model_input`, float32."""
        doubled = torch.cat([latent, latent]).to(self.unet.dtype)
        without, with_text = call_unet(self.unet, doubled, timestep, self._text, self._added).float().chunk(2)
        return text_guided_prediction(without, with_text, self._scales)
