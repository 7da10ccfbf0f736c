"""Many edits of one photo: seeds, scales, steps, samplers, instructions; what they share is made once."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ip2p_cli.diffusion import editing
from ip2p_cli.diffusion.latents import ImageLatent
from ip2p_cli.diffusion.sharing import FirstSteps
from ip2p_cli.diffusion.text import TextCondition, encode_condition
from ip2p_cli.errors import UsageError
from ip2p_cli.io.inputs import InputPhoto
from ip2p_cli.io.names import slug
from ip2p_cli.io.range_args import MAX_VALUES, plain
from ip2p_cli.io.sizes import Fit
from ip2p_cli.models.adapters import Adapter
from ip2p_cli.models.loader import Editor
from ip2p_cli.models.offload import offload, placement
from ip2p_cli.types import EditSettings, ModelSpec, ResolvedEditSettings
from ip2p_cli.workflows.edit import OnStep, Prepared, Small, cut_batch, edit_batch, sample
from ip2p_cli.workflows.memory import MemoryPlan, vae_as
from ip2p_cli.workflows.plan import Wanted

# In a file's name and on a contact sheet: the setting, and what it is called there.
LABELS = {"seed": "seed", "cfg_text": "text", "cfg_image": "image", "steps": "steps", "sampler": "sampler"}
SCALES = ("cfg_text", "cfg_image")
_ALWAYS = ("seed", *SCALES)
# The authors' app draws s_T from U(6, 9) and s_I from U(1.2, 1.8): so much around the model's own 7.5 and 1.5.
_SPREAD = (0.8, 1.2)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What to vary. axes: setting -> its values, in this order; drawn: setting -> (low, high), by the seed."""

    instructions: tuple[str, ...]
    axes: Mapping[str, tuple[float | str, ...]]
    drawn: Mapping[str, tuple[float, float]]

    def __len__(self) -> int:
        """How many variants there are."""
        return len(self.instructions) * math.prod(map(len, self.axes.values()))

    @property
    def varied(self) -> tuple[str, ...]:
        """The names of what differs from variant to variant; "instruction" where there are several."""
        several = ["instruction"] if len(self.instructions) > 1 else []
        return (*several, *(name for name, values in self.axes.items() if len(values) > 1), *self.drawn)


def around(spec: ModelSpec, name: str) -> tuple[float, float]:
    """The range from which a scale is drawn where nobody gives one: a fifth around the model's own."""
    middle = getattr(spec.defaults, name) or {"cfg_text": 7.5, "cfg_image": 1.5}[name]
    return middle * _SPREAD[0], middle * _SPREAD[1]


def draw_scale(seed: int, name: str, low: float, high: float) -> float:
    """A number from U(low, high), a function of (seed, name), to two decimals so that it can be typed again."""
    value = round(random.Random(f"{seed} {name}").uniform(low, high), 2)
    return min(max(value, low), high)


def spread_out(
    sweep: Sweep, photo: Path, resolve: Callable[[EditSettings], ResolvedEditSettings], ending: str = ".png"
) -> list[Wanted]:
    """Every variant, with a name of its own: the full product, variants of one seed next to each other.

    resolve: completes settings of which those of the sweep are said. Raises UsageError where there are too many, and
    what `resolve` raises.
    """
    if len(sweep) > MAX_VALUES:
        raise UsageError(f"these are {len(sweep)} variants: at most {MAX_VALUES} are made at once; vary less.")
    names = _instruction_names(sweep.instructions)
    wanted = []
    for instruction, values in product(sweep.instructions, list(product(*sweep.axes.values()))):
        said: dict[str, Any] = dict(zip(sweep.axes, values, strict=True))
        said |= {name: draw_scale(said["seed"], name, *ends) for name, ends in sweep.drawn.items()}
        settings = resolve(EditSettings(**said))
        shown = [*_ALWAYS, *(name for name in ("steps", "sampler") if name in sweep.varied)]
        output = "-".join([names[instruction], *(f"{LABELS[name]}-{value_text(settings, name)}" for name in shown)])
        wanted.append(
            Wanted(photo=InputPhoto(path=photo), instruction=instruction, settings=settings, output=output + ending)
        )
    return wanted


def value_text(settings: ResolvedEditSettings, name: str) -> str:
    """A setting in a file's name or a label."""
    value = getattr(settings, name)
    return plain(value) if isinstance(value, float) else str(value).replace("_", "")


def _instruction_names(instructions: Sequence[str]) -> dict[str, str]:
    """A slug for each, numbered where two are alike."""
    names: dict[str, str] = {}
    for instruction in instructions:
        name = plain_name = slug(instruction)
        number = 2
        while name in names.values():
            name, number = f"{plain_name}-{number}", number + 1
        names[instruction] = name
    return names


class SharedWork:
    """Makes batches of one photo's variants as `edit_batch` does, but encodes photo and texts once.

    Predictions of the first step are shared by variants with the same noise, that is, the same seed and instruction
    (see `diffusion.sharing`). Pixels are those of single edits.
    """

    def __init__(self) -> None:
        self._images: dict[tuple[str, Fit, bool], tuple[ImageLatent, Tensor]] = {}
        self._texts: dict[str, TextCondition] = {}
        self._first = FirstSteps()

    def __call__(
        self,
        editor: Editor | Adapter,
        batch: Sequence[Prepared],
        *,
        memory: MemoryPlan | None = None,
        on_step: OnStep | None = None,
    ) -> list[Small]:
        """As `edit_batch`; models that edit their own way share nothing."""
        if isinstance(editor, Adapter):
            return edit_batch(editor, batch, memory=memory, on_step=on_step)
        memory = memory or MemoryPlan(offload=placement(editor))
        offload(editor, memory.offload)
        encoded = [self._image(editor, one, memory) for one in batch]
        image = ImageLatent(torch.cat([latent.tensor for latent, _ in encoded]))
        texts = [self._text(editor, one.request.instruction) for one in batch]
        sharing = replace(editor, unet=self._first.wrap(editor.unet))
        latent = sample(
            sharing, image, _joined(texts), [one.request for one in batch], max_rows=memory.max_rows, on_step=on_step
        )
        with vae_as(editor.vae, memory):
            after = editing.decode(editor, latent).cpu()
        return cut_batch(batch, torch.cat([before for _, before in encoded]), after, latent)

    def _image(self, editor: Editor, one: Prepared, memory: MemoryPlan) -> tuple[ImageLatent, Tensor]:
        """The photo's latent, and its pixels as the autoencoder gives them back, (1, 3, H, W) on the CPU."""
        key = (one.request.digest, one.fit, memory.tiling)
        if key not in self._images:
            with vae_as(editor.vae, memory):
                latent = editing.encode_image(editor, one.pixels[None] * 2 - 1)
                self._images[key] = latent, editing.decode(editor, latent).cpu()
        return self._images[key]

    def _text(self, editor: Editor, instruction: str) -> TextCondition:
        if instruction not in self._texts:
            self._texts[instruction] = encode_condition(editor, [instruction])
        return self._texts[instruction]


def _joined(texts: Sequence[TextCondition]) -> TextCondition:
    pooled = [text.pooled for text in texts if text.pooled is not None]
    return TextCondition(torch.cat([text.states for text in texts]), torch.cat(pooled) if pooled else None)
