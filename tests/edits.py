"""Edits of random pictures by small models, for comparing what two ways of getting there give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from PIL import Image

from ip2p_cli.diffusion import editing
from ip2p_cli.diffusion.latents import SampledLatent
from ip2p_cli.diffusion.text import encode_condition
from ip2p_cli.editing.batch import run_batch
from ip2p_cli.editing.choose import Chooser
from ip2p_cli.editing.engine import Engine
from ip2p_cli.editing.memory import MemoryPlan
from ip2p_cli.editing.model_choice import ModelChoice
from ip2p_cli.editing.step_cache import StepCache
from ip2p_cli.editing.tree_plan import single_edit
from ip2p_cli.editing.tree_run import TreeRun
from ip2p_cli.io.images import picture_from_image
from ip2p_cli.models.adapters import Adapter
from ip2p_cli.models.loader import Editor
from ip2p_cli.types import ModelSpec, ResolvedEditSettings


def edit(
    editor: Editor,
    pixels: torch.Tensor,
    instructions: Sequence[str],
    cfg_text: Sequence[float],
    cfg_image: Sequence[float],
    seeds: Sequence[int],
    sampler: str = "euler",
    steps: int = 4,
    **more: Any,
) -> torch.Tensor:
    """Sampled latents of pixels (N, 3, H, W) in [0, 1]."""
    return editing.denoise(
        editor,
        editing.encode_image(editor, pixels * 2 - 1),
        encode_condition(editor, instructions),
        steps=steps,
        cfg_text=cfg_text,
        cfg_image=cfg_image,
        sampler=sampler,
        generators=editing.make_generators(seeds),
        **more,
    ).tensor


def one_edit(editor: Editor, instruction: str = "make it winter", sampler: str = "euler") -> torch.Tensor:
    """Pixels (1, 3, 64, 64) in [0, 1]: the same for the same weights, however they were loaded or placed."""
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    latent = edit(editor, pixels, [instruction], [5.0], [1.5], [0], sampler=sampler, steps=2)
    return editing.decode(editor, SampledLatent(latent))


class Edited(NamedTuple):
    """An edit at the model's size: photo and edit (3, h, w); the latent (1, C, h, w), None from an adapter."""

    source: torch.Tensor
    edited: torch.Tensor
    latent: torch.Tensor | None


def engine_for(editor: Editor | Adapter, memory: MemoryPlan | None = None) -> Engine:
    """An engine with one model, whatever is chosen."""
    return Engine(lambda choice: editor, memory)


def single_run(
    engine: Engine, spec: ModelSpec, photo: Image.Image, instruction: str, settings: ResolvedEditSettings
) -> TreeRun:
    """A single edit of a photo, before it is made."""
    choice = ModelChoice(spec=spec, device="cpu", known_weights="in memory")
    tree = single_edit(instruction, settings, choice)
    return TreeRun(tree, picture_from_image(photo), engine, StepCache(None), Chooser())


def edited(run: TreeRun) -> Edited:
    """What a single edit gives; it is made now unless it ran in a batch."""
    [step] = run.tree.steps
    _, edit = run.edit(step)
    return Edited(edit.source, edit.edited, run.result(step).latent)


def edited_together(engine: Engine, runs: Sequence[TreeRun], *, is_one_photo: bool = False) -> list[Edited]:
    """What single edits give that go through the model in one batch."""
    engine.begin_group()
    run_batch(engine, [run.tree for run in runs], runs, lambda done: None, is_one_photo=is_one_photo)
    return [edited(run) for run in runs]
