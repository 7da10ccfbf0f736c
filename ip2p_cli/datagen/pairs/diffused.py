"""Paint pairs with a text-to-image model and Prompt-to-Prompt, from noise or from a real photo.

As in the authors' code (github.com/timothybrooks/instruct-pix2pix) both pictures of a pair have the same initial noise
and the same noise in every step; p and the guidance scale are drawn for each candidate. Candidates with different p are
sampled in one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ip2p_cli.datagen.pairs.settings import Candidate, PairSettings
from ip2p_cli.diffusion import editing
from ip2p_cli.diffusion.alignment import cross_edit, local_blend
from ip2p_cli.diffusion.guidance import TextGuidedDenoiser
from ip2p_cli.diffusion.latents import ImageLatent, SampledLatent
from ip2p_cli.diffusion.prompt2prompt import Control, controlled
from ip2p_cli.diffusion.samplers import find_sampler, make_scheduler
from ip2p_cli.diffusion.text import encode_condition, null_condition, size_condition
from ip2p_cli.errors import DeviceError, InputError
from ip2p_cli.io.encoded import picture_of
from ip2p_cli.io.images import read_image
from ip2p_cli.models.loader import Editor
from ip2p_cli.types import Triplet

Pair = tuple[Image.Image, Image.Image]


class DiffusionPainter:
    """Paints candidates of a triplet; the painter "anchored" starts from the triplet's noised photo (SDEdit)."""

    def __init__(self, editor: Editor, settings: PairSettings) -> None:
        self._editor, self._settings = editor, settings
        self._null = null_condition(editor)

    @torch.no_grad()
    def paint(self, triplet: Triplet, candidates: Sequence[Candidate]) -> list[Pair]:
        """Paint the pictures (before, after) of each candidate. Raises InputError if the photo cannot be read."""
        if self._settings.painter != "anchored":
            return self._sample(triplet, candidates, None)
        anchor = self._anchor(triplet)
        # One at a time: each may start at another step.
        return [pair for candidate in candidates for pair in self._sample(triplet, [candidate], anchor)]

    def _sample(self, triplet: Triplet, candidates: Sequence[Candidate], anchor: SampledLatent | None) -> list[Pair]:
        editor, settings = self._editor, self._settings
        side = settings.side // editor.vae_factor
        # Each picture has a generator of its own, and both of a pair draw the same numbers.
        both = [candidate for candidate in candidates for _ in range(2)]
        generators = editing.make_generators([candidate.seed for candidate in both])
        noise = editing.initial_noise((editor.latent_channels, side, side), generators).to(editor.device)
        denoiser = TextGuidedDenoiser(
            editor.unet,
            encode_condition(editor, [triplet.caption, triplet.edited_caption] * len(candidates)),
            self._null,
            [candidate.cfg for candidate in both],
            time_ids=size_condition(editor, ImageLatent(noise)),
        )
        start = None
        if anchor is not None:
            step = min(settings.steps - 1, round(settings.steps * (1 - candidates[0].strength)))
            start = editing.SDEditStart(latent=SampledLatent(anchor.tensor.expand(len(noise), -1, -1, -1)), step=step)
        controls, first_step = self._controls(triplet, candidates), start.step if start else 0
        with controlled(denoiser, controls, settings.steps, first_step) as controlled_denoiser:
            latent = editing.run(
                make_scheduler(settings.sampler, editor.scheduler_config, settings.steps),
                controlled_denoiser,
                noise,
                generators=generators if find_sampler(settings.sampler).stochastic else None,
                after_step=controlled_denoiser.after_step,
                begin=start,
            )
        if not torch.isfinite(latent).all():
            raise DeviceError(f"the model overflowed in {editor.dtype} on {editor.device}; try again with --dtype fp32")
        decoded = (editing.decode(editor, SampledLatent(item[None]))[0] for item in latent)
        pictures = [picture_of(pixels.permute(1, 2, 0).cpu().numpy()) for pixels in decoded]
        return list(zip(pictures[::2], pictures[1::2], strict=True))

    def _controls(self, triplet: Triplet, candidates: Sequence[Candidate]) -> list[Control]:
        settings, captions = self._settings, (triplet.caption, triplet.edited_caption)
        cross = blend = None
        if settings.cross != "none":
            until, reweight = settings.cross_until, settings.reweight
            cross = cross_edit(self._editor, *captions, settings.cross, until=until, reweight=reweight)
        if settings.blend:
            blend = local_blend(self._editor, *captions)
        return [Control(share=candidate.share, cross=cross, blend=blend) for candidate in candidates]

    def _anchor(self, triplet: Triplet) -> SampledLatent:
        """The middle of the photo, a square of the pictures' size, as latents."""
        if triplet.image is None:
            raise InputError(f"the triplet {triplet.key} has no photo to start from: make its captions from photos")
        photo, side = read_image(Path(triplet.image)).rgb, self._settings.side
        scale = side / min(photo.size)
        width, height = (max(side, round(length * scale)) for length in photo.size)
        left, top = (width - side) // 2, (height - side) // 2
        square = photo.resize((width, height), Image.Resampling.LANCZOS).crop((left, top, left + side, top + side))
        pixels = torch.from_numpy(np.asarray(square, dtype=np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
        return SampledLatent(editing.encode_image(self._editor, pixels).tensor * self._editor.scaling_factor)
