"""Guidance by image and text: eq. 3 of the paper (arXiv:2211.09800), evaluating only what it needs."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ip2p_cli.diffusion.latents import ImageLatent
from ip2p_cli.diffusion.text import TextCondition, as_condition
from ip2p_cli.errors import UsageError


class Branch(enum.Enum):
    """What a prediction is conditioned on."""

    NEITHER = "e(0,0)"
    IMAGE = "e(I,0)"
    IMAGE_TEXT = "e(I,T)"


def coefficients(cfg_text: float, cfg_image: float) -> dict[Branch, float]:
    """The weights of eq. 3, gathered by prediction; only those that are not zero. They sum to 1.

    e = (1 - s_I) e(0,0) + (s_I - s_T) e(I,0) + s_T e(I,T), with s_T = cfg_text and s_I = cfg_image,
    for any finite scales (no gate at 1). Raises UsageError for a scale that is not finite.
    """
    if not (math.isfinite(cfg_text) and math.isfinite(cfg_image)):
        raise UsageError(f"guidance scales must be finite numbers, not text {cfg_text}, image {cfg_image}")
    weights = {
        Branch.NEITHER: 1.0 - cfg_image,
        Branch.IMAGE: cfg_image - cfg_text,
        Branch.IMAGE_TEXT: cfg_text,
    }
    return {branch: weight for branch, weight in weights.items() if weight != 0.0}


@dataclass(frozen=True)
class _Row:
    """One row of a UNet batch: the prediction `branch` of `item`, and its weight in eq. 3."""

    item: int
    branch: Branch
    weight: float


class GuidedDenoiser:
    """Callable: (scaled latent (N, C, h, w), timestep) -> guided model output (N, C, h, w), float32.

    Every item has its own scales. Each call runs the UNet on `rows` rows in all, at most `max_rows`
    at a time (None: all at once). To change predictions, wrap the callable.
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
        """Gather the conditions. text: (N, L, D); null_text: (1, L, D), the empty instruction's.

        time_ids: (6,), what `text.size_condition` gives; SDXL's UNet wants it, and pooled texts.
        """
        count = image.tensor.shape[0]
        texts, nothing = as_condition(text), as_condition(null_text)
        given = len(texts.states)
        if not given == len(cfg_text) == len(cfg_image) == count:
            raise ValueError(
                f"{count} images, {given} texts, {len(cfg_text)} and {len(cfg_image)} scales: one each per item"
            )
        if max_rows is not None and max_rows < 1:
            raise UsageError(f"at least one row must fit in a UNet call, not {max_rows}")
        self._unet = unet
        self._plan = [
            _Row(item, branch, weight)
            for item, scales in enumerate(zip(cfg_text, cfg_image, strict=True))
            for branch, weight in coefficients(*scales).items()
        ]
        blank = torch.zeros_like(image.tensor[0])
        images = [blank if row.branch is Branch.NEITHER else image.tensor[row.item] for row in self._plan]
        # Not unet.device: with offloading the UNet may be elsewhere until it is called.
        self._device = image.tensor.device
        self._image = torch.stack(images).to(unet.dtype)
        self._text = self._gather(texts.states, nothing.states)
        self._added = self._added_conditions(texts, nothing, time_ids)
        self._chunk = max_rows or len(self._plan)

    def _gather(self, text: torch.Tensor, null: torch.Tensor) -> torch.Tensor:
        """What each row is told by text: (rows, ...)."""
        rows = [text[row.item] if row.branch is Branch.IMAGE_TEXT else null[0] for row in self._plan]
        return torch.stack(rows).to(self._device, self._unet.dtype)

    def _added_conditions(
        self, text: TextCondition, null: TextCondition, time_ids: torch.Tensor | None
    ) -> dict[str, torch.Tensor]:
        """SDXL's further conditions by row; none for other models."""
        if time_ids is None:
            return {}
        if text.pooled is None or null.pooled is None:
            raise ValueError("an SDXL model needs the pooled text: give what `text.encode_condition` returns")
        return {
            "text_embeds": self._gather(text.pooled, null.pooled),
            "time_ids": time_ids.to(self._device).expand(self.rows, -1),
        }

    @property
    def rows(self) -> int:
        """UNet evaluations per call, counted in batch rows."""
        return len(self._plan)

    def __call__(self, latent: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """Predict; latent is already scaled by the scheduler's `scale_model_input`."""
        guided = torch.zeros_like(latent, dtype=torch.float32)
        for start in range(0, self.rows, self._chunk):
            rows = self._plan[start : start + self._chunk]
            predictions = self._predict(latent, timestep, rows, start)
            # Row after row: index_add_ would sum in no fixed order on CUDA, and a seed would not repeat exactly.
            for row, prediction in zip(rows, predictions, strict=True):
                guided[row.item].add_(prediction, alpha=row.weight)
        return guided

    def _predict(self, latent: torch.Tensor, timestep: torch.Tensor, rows: list[_Row], start: int) -> torch.Tensor:
        stop = start + len(rows)
        noisy = latent[[row.item for row in rows]].to(self._image.dtype)
        added = {name: rows[start:stop] for name, rows in self._added.items()}
        output = self._unet(
            torch.cat([noisy, self._image[start:stop]], dim=1),
            timestep,
            encoder_hidden_states=self._text[start:stop],
            **({"added_cond_kwargs": added} if added else {}),
            return_dict=False,
        )
        prediction: torch.Tensor = output[0]
        return prediction.float()


class TextGuidedDenoiser:
    """Callable like `GuidedDenoiser`, for text-to-image models: e = e(0) + s (e(T) - e(0)) (arXiv:2207.12598).

    Each of its N items has its own text and scale. A call runs the UNet on 2 N rows at once: those without text, then
    those with it.
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
        """text: N of them; null: one, the empty text's. time_ids: (6,), see `text.size_condition`, of SDXL only."""
        if len(text.states) != len(cfg):
            raise ValueError(f"{len(text.states)} texts and {len(cfg)} scales: one each per item")
        self.unet, self.items = unet, len(cfg)
        device = text.states.device
        self._scales = torch.tensor(list(cfg), device=device, dtype=torch.float32)[:, None, None, None]
        self._text = torch.cat([null.states.expand_as(text.states), text.states]).to(unet.dtype)
        self._added: dict[str, torch.Tensor] = {}
        if time_ids is not None:
            if text.pooled is None or null.pooled is None:
                raise ValueError("an SDXL model needs the pooled text: give what `text.encode_condition` returns")
            pooled = torch.cat([null.pooled.expand_as(text.pooled), text.pooled]).to(unet.dtype)
            self._added = {"text_embeds": pooled, "time_ids": time_ids.to(device).expand(2 * self.items, -1)}

    def __call__(self, latent: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w), already scaled by the scheduler's `scale_model_input`, to the guided output, float32."""
        output = self.unet(
            torch.cat([latent, latent]).to(self.unet.dtype),
            timestep,
            encoder_hidden_states=self._text,
            **({"added_cond_kwargs": self._added} if self._added else {}),
            return_dict=False,
        )[0].float()
        without, with_text = output.chunk(2)
        guided: torch.Tensor = without + self._scales * (with_text - without)
        return guided
