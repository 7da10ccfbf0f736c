"""Runs edits on loaded models. What several edits share is computed once.

Shared are, by key: a photo's latent and what the autoencoder makes of it, a text's states, the first predictions of
edits with the same noise (see `diffusion.sharing`). A batch gives the pixels of single edits, since the autoencoder
and the text encoder take one item at a time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from ip2p_cli.diffusion import editing
from ip2p_cli.diffusion.adapted import edit_adapted, through_vae
from ip2p_cli.diffusion.latents import ImageLatent, SampledLatent, low_frequencies
from ip2p_cli.diffusion.masking import Hold, free_cells
from ip2p_cli.diffusion.registration import aligned
from ip2p_cli.diffusion.relevance import noises_for, relevance
from ip2p_cli.diffusion.savings import savings_of
from ip2p_cli.diffusion.sharing import FirstSteps
from ip2p_cli.diffusion.text import TextCondition, encode_condition
from ip2p_cli.editing.memory import MemoryPlan, can_tile, ladder, tile_ladder, vae_as, with_retries
from ip2p_cli.editing.model_choice import ModelChoice
from ip2p_cli.editing.model_size import Prepared, cut
from ip2p_cli.editing.seeds import item_seed
from ip2p_cli.io.sizes import Fit
from ip2p_cli.models.adapters import Adapter
from ip2p_cli.models.editor import Editor
from ip2p_cli.models.offload import offload, placement
from ip2p_cli.types import Guard, MaskSteps

Result = TypeVar("Result")
OnStep = Callable[[int, int], None]
_MOST_KEPT = 16  # photos, texts; a chain or a sweep needs far fewer at a time


class Editors(Protocol):
    """Gives the model of a choice, loaded once."""

    def __call__(self, choice: ModelChoice) -> Editor | Adapter:
        """Return the model."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One edit of a batch.

    Attributes:
        start: The latent that the step before left; None to encode the prepared pixels.
        key: Identifies the prepared pixels, so that they are encoded once; None if they are not to be shared.
        may_change: Where the prepared pixels may change, (H, W) bool; None for everywhere.
        mask_steps: When the rest is held in place.
    """

    prepared: Prepared
    start: ImageLatent | None = None
    key: str | None = None
    may_change: Tensor | None = None
    mask_steps: MaskSteps = "all"


class Engine:
    """Runs edits on models.

    Args:
        editors: Gives the models.
        memory: How to run them first, if a record says so.
    """

    def __init__(self, editors: Editors, memory: MemoryPlan | None = None) -> None:
        self._editors, self._first_plan = editors, memory
        self._shared: OrderedDict[Hashable, Any] = OrderedDict()
        self._first_steps: dict[ModelChoice, FirstSteps] = {}
        self._plan: MemoryPlan | None = None
        self.notes: list[str] = []

    def begin_group(self) -> None:
        """Begin with the usual use of memory again, and with no notes."""
        self._plan = self._first_plan
        self.notes = []

    @property
    def memory(self) -> dict[str, Any] | None:
        """How the group was run, if not in the usual way: it decides the last bits."""
        return asdict(self._plan) if self._plan is not None else None

    def editor(self, choice: ModelChoice) -> Editor | Adapter:
        """Return the model of a choice."""
        return self._editors(choice)

    def sample(
        self, choice: ModelChoice, rows: Sequence[Row], *, guard: Guard = "none", on_step: OnStep | None = None
    ) -> list[Tensor]:
        """Run edits of one padded size, sampler and step count through the model together.

        Args:
            choice: A model of our own loop.
            rows: The edits; instructions, scales and seeds may differ.
            guard: "low" removes the low frequencies of what the model changes without any words, which nobody asked
                for, at the cost of a second run.
            on_step: Called with (steps done, steps).

        Returns:
            An unscaled latent (1, C, h, w) for each row.
        """
        editor = self._editors(choice)
        assert isinstance(editor, Editor)

        def run(memory: MemoryPlan) -> list[Tensor]:
            offload(editor, memory.offload)
            image = ImageLatent(torch.cat([self._image(editor, choice, row, memory).tensor for row in rows]))
            hold = _hold(rows, editor.vae_factor)
            asked = self._denoise(editor, choice, image, rows, memory, on_step, hold)
            if guard == "low":
                alone = self._denoise(editor, choice, image, rows, memory, None, hold, words=False)
                asked = asked - low_frequencies(alone - image.tensor)
                asked = hold.keep(image.tensor, asked) if hold is not None else asked
            return [asked[index : index + 1] for index in range(len(asked))]

        return self._in_memory(editor, rows[0].prepared.size, run)

    def encode(self, choice: ModelChoice, row: Row) -> ImageLatent:
        """Return the latent that an edit starts from."""
        editor = self._editors(choice)
        assert isinstance(editor, Editor)
        return self._in_memory(editor, row.prepared.size, lambda memory: self._image(editor, choice, row, memory))

    def relevance(self, choice: ModelChoice, row: Row) -> Tensor:
        """Return how much a model would edit each cell of the latents, (h, w), whatever the edit's seed."""
        editor, request = self._editors(choice), row.prepared.request
        assert isinstance(editor, Editor)
        seed = item_seed(0, request.digest, request.instruction, request.position)

        def run(memory: MemoryPlan) -> Tensor:
            offload(editor, memory.offload)
            image, text = self._image(editor, choice, row, memory), self._texts(editor, choice, [request.instruction])
            noises = noises_for(request.settings.steps)
            return relevance(editor, image, text, noises=noises, seed=seed, max_rows=memory.max_rows)

        return self._in_memory(editor, row.prepared.size, run)

    def edit_adapted(self, choice: ModelChoice, row: Row, on_step: OnStep | None = None) -> Tensor:
        """Run an edit on a model that edits in a way of its own.

        Returns:
            The photo's part, (3, h, w) in [0, 1], without the shift and the zoom that such models may add.
        """
        adapter, prepared = self._editors(choice), row.prepared
        assert isinstance(adapter, Adapter)
        settings = prepared.request.settings

        def run(memory: MemoryPlan) -> Tensor:
            with vae_as(adapter.pipeline.vae, memory):
                return edit_adapted(
                    adapter,
                    prepared.pixels,
                    prepared.request.instruction,
                    steps=settings.steps,
                    cfg_text=settings.cfg_text,
                    generator=editing.make_generators([prepared.noise_seed])[0],
                    may_change=row.may_change,
                    on_step=on_step,
                )[0]

        edited = cut(self._in_memory(adapter, prepared.size, run).cpu(), prepared.fit)
        is_held = adapter.inpainting is not None and row.may_change is not None and not row.may_change.all()
        return edited if is_held else aligned(cut(prepared.pixels, prepared.fit), edited)

    def decode(self, choice: ModelChoice, fit: Fit, latent: Tensor) -> Tensor:
        """Return the photo's part of an unscaled latent (1, C, h, w) as (3, h, w) in [0, 1], on the CPU."""
        editor = self._editors(choice)
        assert isinstance(editor, Editor)

        def run(memory: MemoryPlan) -> Tensor:
            offload(editor, memory.offload)
            with vae_as(editor.vae, memory):
                return editing.decode(editor, ImageLatent(latent.to(editor.device))).cpu()[0]

        return cut(self._in_memory(editor, fit.padded[0] * fit.padded[1], run), fit)

    def source(self, choice: ModelChoice, row: Row) -> Tensor:
        """Return the photo as the autoencoder gives it back, (3, h, w) in [0, 1], on the CPU; made once a photo."""
        editor, prepared = self._editors(choice), row.prepared

        def through_adapter(memory: MemoryPlan) -> Tensor:
            assert isinstance(editor, Adapter)
            with vae_as(editor.pipeline.vae, memory):
                return through_vae(editor, prepared.pixels).cpu()

        def make() -> Tensor:
            if isinstance(editor, Adapter):
                return cut(self._in_memory(editor, prepared.size, through_adapter), prepared.fit)
            return self.decode(choice, prepared.fit, self.encode(choice, row).tensor)

        tiling = self._plan is not None and self._plan.tiling
        return self._once(("source", choice, row.key, prepared.fit, tiling), make, row.key is not None)

    def _image(self, editor: Editor, choice: ModelChoice, row: Row, memory: MemoryPlan) -> ImageLatent:
        if row.start is not None:
            return row.start

        def make() -> ImageLatent:
            with vae_as(editor.vae, memory):
                return editing.encode_image(editor, row.prepared.pixels[None] * 2 - 1)

        key = ("image", choice, row.key, row.prepared.fit, memory.tiling)
        return self._once(key, make, row.key is not None)

    def _denoise(
        self,
        editor: Editor,
        choice: ModelChoice,
        image: ImageLatent,
        rows: Sequence[Row],
        memory: MemoryPlan,
        on_step: OnStep | None,
        hold: Hold | None,
        words: bool = True,
    ) -> Tensor:
        settings = [row.prepared.request.settings for row in rows]
        instructions = [row.prepared.request.instruction if words else "" for row in rows]
        negatives, reuse = [one.negative_prompt for one in settings], settings[0].feature_reuse
        shared = self._first_steps.setdefault(choice, FirstSteps())
        sampled: SampledLatent = editing.denoise(
            # Where features are reused a first step must run: it leaves them.
            editor if reuse > 1 else replace(editor, unet=shared.wrap(editor.unet)),
            image,
            self._texts(editor, choice, instructions),
            steps=settings[0].steps,
            cfg_text=[one.cfg_text for one in settings],
            cfg_image=[one.cfg_image for one in settings],
            sampler=settings[0].sampler,
            generators=editing.make_generators([row.prepared.noise_seed for row in rows]),
            negative=self._texts(editor, choice, negatives) if any(negatives) else None,
            hold=hold,
            on_step=on_step,
            max_rows=memory.max_rows,
            savings=list(map(savings_of, settings)),
            reuse=reuse,
        )
        return sampled.as_condition(editor.scaling_factor).tensor

    def _texts(self, editor: Editor, choice: ModelChoice, texts: Sequence[str]) -> TextCondition:
        """The conditions of N texts, each encoded once."""
        conditions = []
        for text in texts:
            encode = partial(encode_condition, editor, [text])
            conditions.append(self._once(("text", choice, text), encode, True))
        return _joined(conditions)

    def _in_memory(self, editor: Editor | Adapter, pixels: int, run: Callable[[MemoryPlan], Result]) -> Result:
        """Run with as little memory as it turns out to need, and remember a step down for the rest of the group."""
        plans = memory_plans(editor, pixels)
        begin = plans.index(self._plan) if self._plan in plans else 0
        result, plan = with_retries(run, plans[begin:], self.notes.append)
        if plan != plans[0]:
            self._plan = plan
        return result

    def _once(self, key: Hashable, make: Callable[[], Result], share: bool) -> Result:
        """Return what `make` gives, made once for a key, the last few of them."""
        if not share:
            return make()
        if key not in self._shared:
            self._shared[key] = make()
            while len(self._shared) > _MOST_KEPT:
                self._shared.popitem(last=False)
        self._shared.move_to_end(key)
        result: Result = self._shared[key]
        return result


def _hold(rows: Sequence[Row], factor: int) -> Hold | None:
    """What is held in a batch; None where everything may change."""
    if all(row.may_change is None for row in rows):
        return None
    masks = [
        torch.ones(row.prepared.pixels.shape[-2:], dtype=torch.bool) if row.may_change is None else row.may_change
        for row in rows
    ]
    free = torch.stack([free_cells(mask, factor) for mask in masks])
    return Hold(free=free, only_last=[row.mask_steps == "last" for row in rows])


def memory_plans(editor: Editor | Adapter, pixels: int) -> tuple[MemoryPlan, ...]:
    """Return the ways to run a model on pictures of `pixels` = width x height, from the fastest to the smallest."""
    if isinstance(editor, Adapter):
        return tile_ladder(pixels=pixels, can_tile=can_tile(editor.pipeline.vae))
    return ladder(pixels=pixels, device=editor.device.type, offload=placement(editor), can_tile=can_tile(editor.vae))


def _joined(texts: Sequence[TextCondition]) -> TextCondition:
    pooled = [text.pooled for text in texts if text.pooled is not None]
    return TextCondition(torch.cat([text.states for text in texts]), torch.cat(pooled) if pooled else None)
