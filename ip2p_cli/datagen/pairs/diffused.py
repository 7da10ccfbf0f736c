"""Pairs painted by a text-to-image model with Prompt-to-Prompt, from noise or from a real photo.

As in the authors' code (github.com/timothybrooks/instruct-pix2pix): both pictures of a pair share the initial noise and
every step's; p and the scale are drawn for each candidate. Candidates of different p are sampled in one batch.
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
from ip2p_cli.io.images import read_image
from ip2p_cli.models.loader import Editor
from ip2p_cli.types import Triplet

Pair = tuple[Image.Image, Image.Image]


class DiffusionPainter:
    """Paints blocks of a triplet's candidates. anchored: each begins with the triplet's photo, noised (SDEdit)."""

    def __init__(self, editor: Editor, settings: PairSettings) -> None:
        self._editor, self._settings = editor, settings
        self._null = null_condition(editor)

    @torch.no_grad()
    def paint(self, triplet: Triplet, candidates: Sequence[Candidate]) -> list[Pair]:
        """The pictures (before, after) of each candidate. Raises InputError for a photo that cannot be read."""
        if self._settings.painter != "anchored":
            return self._sample(triplet, candidates, None)
        anchor = self._anchor(triplet)
        pairs = []
        for candidate in candidates:  # one at a time: each may begin at another step
            pairs += self._sample(triplet, [candidate], anchor)
        return pairs

    def _sample(self, triplet: Triplet, candidates: Sequence[Candidate], anchor: SampledLatent | None) -> list[Pair]:
        editor, settings = self._editor, self._settings
        side = settings.side // editor.vae_factor
        shape = (editor.latent_channels, side, side)
        # Each picture draws from a generator of its own, and both of a pair the same numbers.
        generators = editing.make_generators([one.seed for one in candidates for _ in range(2)])
        noise = editing.initial_noise(shape, generators).to(editor.device)
        captions = [triplet.caption, triplet.edited_caption] * len(candidates)
        denoiser = TextGuidedDenoiser(
            editor.unet,
            encode_condition(editor, captions),
            self._null,
            [one.cfg for one in candidates for _ in range(2)],
            time_ids=size_condition(editor, ImageLatent(noise)),
        )
        begin = None
        if anchor is not None:
            step = min(settings.steps - 1, round(settings.steps * (1 - candidates[0].strength)))
            begin = editing.SDEditStart(latent=SampledLatent(anchor.tensor.expand(len(noise), -1, -1, -1)), step=step)
        first = begin.step if begin else 0
        with controlled(denoiser, self._controls(triplet, candidates), settings.steps, first) as inside:
            latent = editing.run(
                make_scheduler(settings.sampler, editor.scheduler_config, settings.steps),
                inside,
                noise,
                generators=generators if find_sampler(settings.sampler).stochastic else None,
                after_step=inside.after_step,
                begin=begin,
            )
        if not torch.isfinite(latent).all():
            raise DeviceError(f"the model overflowed in {editor.dtype} on {editor.device}; try again with --dtype fp32")
        pictures = [_as_image(editing.decode(editor, SampledLatent(one[None]))[0]) for one in latent]
        return list(zip(pictures[::2], pictures[1::2], strict=True))

    def _controls(self, triplet: Triplet, candidates: Sequence[Candidate]) -> list[Control]:
        settings, words = self._settings, (triplet.caption, triplet.edited_caption)
        cross = blend = None
        if settings.cross != "none":
            until, reweight = settings.cross_until, settings.reweight
            cross = cross_edit(self._editor, *words, settings.cross, until=until, reweight=reweight)
        if settings.blend:
            blend = local_blend(self._editor, *words)
        return [Control(share=one.share, cross=cross, blend=blend) for one in candidates]

    def _anchor(self, triplet: Triplet) -> SampledLatent:
        """The photo's middle, cut to a square of the pictures' size, as latents."""
        if triplet.image is None:
            raise InputError(f"the triplet {triplet.key} has no photo to begin with")
        photo, side = read_image(Path(triplet.image)).rgb, self._settings.side
        scale = side / min(photo.size)
        width, height = (max(side, round(n * scale)) for n in photo.size)
        left, top = (width - side) // 2, (height - side) // 2
        square = photo.resize((width, height), Image.Resampling.LANCZOS).crop((left, top, left + side, top + side))
        pixels = torch.from_numpy(np.asarray(square, dtype=np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
        return SampledLatent(editing.encode_image(self._editor, pixels).tensor * self._editor.scaling_factor)


def _as_image(pixels: torch.Tensor) -> Image.Image:
    """(3, H, W) in [0, 1] as a picture of 8 bits."""
    return Image.fromarray((pixels.permute(1, 2, 0).cpu().numpy() * 255).round().astype(np.uint8))
