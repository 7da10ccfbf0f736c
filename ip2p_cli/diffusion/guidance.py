"""Classifier-free guidance by image and text (eq. 3 of arXiv:2211.09800), and by text alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ip2p_cli.diffusion.branch_plan import BranchPlan
from ip2p_cli.diffusion.branches import Branch as Branch
from ip2p_cli.diffusion.branches import coefficients as coefficients
from ip2p_cli.diffusion.latents import ImageLatent
from ip2p_cli.diffusion.savings import Savings
from ip2p_cli.diffusion.text import TextCondition, as_condition
from ip2p_cli.errors import UsageError


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


class WrappedUNet:
    """Stands in for a UNet within one denoising run; a subclass says how it predicts.

    Args:
        unet: A UNet2DConditionModel, or what is called like one.
    """

    def __init__(self, unet: Any) -> None:
        self._unet = unet

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the UNet."""
        dtype: torch.dtype = self._unet.dtype
        return dtype

    @property
    def config(self) -> Any:
        """The config of the UNet."""
        return self._unet.config

    def __call__(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        *,
        encoder_hidden_states: torch.Tensor,
        added_cond_kwargs: dict[str, torch.Tensor] | None = None,
        return_dict: bool = False,
    ) -> tuple[torch.Tensor]:
        """Predict as UNet2DConditionModel does; always returns a tuple."""
        return (self._predict(sample, timestep, encoder_hidden_states, added_cond_kwargs or {}),)

    def _predict(
        self, sample: torch.Tensor, timestep: torch.Tensor, states: torch.Tensor, added: dict[str, torch.Tensor]
    ) -> torch.Tensor:
        """The prediction; arguments as of `call_unet`."""
        return call_unet(self._unet, sample, timestep, states, added)


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
    """A row of a UNet batch: the prediction `branch` of `item`."""

    item: int
    branch: Branch


class GuidedDenoiser:
    """Callable: (scaled latent (N, C, h, w), timestep) -> guided model output (N, C, h, w), float32.

    Only predictions with a weight in eq. 3 are evaluated, and fewer as `Savings` say; then it is for one run, and
    called once a step. To change predictions, wrap the callable.
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
        savings: Sequence[Savings] | None = None,
        steps: int = 1,
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
            savings: How each of N items saves evaluations; None for not at all.
            steps: Steps of the run, which the savings count.
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
        saved = [Savings()] * count if savings is None else savings
        self._plans = [
            BranchPlan(text_scale, image_scale, one, steps)
            for text_scale, image_scale, one in zip(cfg_text, cfg_image, saved, strict=True)
        ]
        self._rows = [_Row(item, branch) for item, plan in enumerate(self._plans) for branch in plan.branches]
        blank = torch.zeros_like(image.tensor[0])
        images = [blank if row.branch is Branch.NEITHER else image.tensor[row.item] for row in self._rows]
        # Not unet.device: with offloading the UNet may be elsewhere until it is called.
        self._device = image.tensor.device
        self._image = torch.stack(images).to(unet.dtype)
        self._text = self._by_row(texts.states, null.states)
        has_pooled = texts.pooled is not None and null.pooled is not None
        pooled = self._by_row(texts.pooled, null.pooled) if has_pooled else None
        self._added = _added_conditions(pooled, time_ids, len(self._rows), self._device)
        self._rows_per_call = max_rows or len(self._rows)

    def _by_row(self, text: Any, null: Any) -> torch.Tensor:
        """The text condition of each row, (rows, ...), from texts (N, ...) and null texts (1, ...) or (N, ...)."""
        nulls = null.expand(len(text), *null.shape[1:])
        chosen = [(text if row.branch is Branch.IMAGE_TEXT else nulls)[row.item] for row in self._rows]
        return torch.stack(chosen).to(self._device, self._unet.dtype)

    @property
    def rows(self) -> int:
        """Rows that the UNet evaluates in the next step."""
        return sum(len(plan.weights) for plan in self._plans)

    def __call__(self, latent: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The guided prediction for latents scaled by the scheduler's `scale_model_input`."""
        guided = torch.zeros_like(latent, dtype=torch.float32)
        weights = [plan.weights for plan in self._plans]
        needed = [place for place, row in enumerate(self._rows) if row.branch in weights[row.item]]
        found: list[dict[Branch, torch.Tensor]] = [{} for _ in self._plans]
        for start in range(0, len(needed), self._rows_per_call):
            part = needed[start : start + self._rows_per_call]
            rows = [self._rows[place] for place in part]
            items = [row.item for row in rows]
            unet_input = torch.cat([latent[items].to(self._image.dtype), self._image[part]], dim=1)
            added = {name: value[part] for name, value in self._added.items()}
            predictions = call_unet(self._unet, unet_input, timestep, self._text[part], added).float()
            # Row by row: index_add_ sums in no fixed order on CUDA, and a seed would not repeat exactly.
            for row, prediction in zip(rows, predictions, strict=True):
                guided[row.item].add_(prediction, alpha=weights[row.item][row.branch])  # eq. 3
                found[row.item][row.branch] = prediction
        for plan, of_item in zip(self._plans, found, strict=True):
            plan.finish_step(of_item)
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
