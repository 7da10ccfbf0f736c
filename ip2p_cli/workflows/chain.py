"""Running a chain on one photo: each edit works on what the one before left, as a latent or as a picture.

What each edit leaves is kept in a cache folder under its key, so that only what changed is made again. A key says all
that decides a result; nothing in the cache is ever needed, and the folder may be deleted at any time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from .. import __version__
from ..diffusion import editing
from ..diffusion.adapted import through_vae
from ..diffusion.latents import ImageLatent
from ..diffusion.text import encode_condition
from ..errors import OutputError, UsageError
from ..io.files import write_whole
from ..io.images import Picture
from ..io.provenance import parents_of
from ..io.sizes import Fit, to_model
from ..models.adapters import Adapter
from ..models.loader import Editor
from ..models.offload import offload
from ..types import EditRequest
from .chain_plan import ChainPlan, Step, key_of
from .edit import Prepared, Small, as_image, as_tensor, cut, edit_batch, finish, memory_plans, prepare, sample
from .memory import MemoryPlan, vae_as, with_retries

EditorOf = Callable[[Any], Editor | Adapter]
OnStep = Callable[[Step, int, int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Left:
    """What an edit left at the model's size.

    latent: unscaled, (1, C, h, w); None from a model that edits its own way. picture: the photo's part of it, 8 bits;
    None until it is needed. fit: how the photo met the model. model: what tells its latents from another model's.
    """

    fit: Fit
    model: str
    latent: torch.Tensor | None = None
    picture: Image.Image | None = None


class ChainRun:
    """A chain on one photo. Edits are made when they are asked for, each once.

    earlier: keys of an earlier run's edits by their place, for those before --from. say: told how memory was saved.
    Raises UsageError where --from has nothing to go on from.
    """

    def __init__(
        self,
        plan: ChainPlan,
        picture: Picture,
        cache: Path,
        editor_of: EditorOf,
        *,
        earlier: Mapping[tuple[str, int], str] | None = None,
        say: Callable[[str], None] = lambda _: None,
        on_step: OnStep | None = None,
    ) -> None:
        self.plan, self.picture = plan, picture
        self._cache, self._editor_of, self._say, self._on_step = cache, editor_of, say, on_step
        self._before: dict[tuple[str, int], Step | None] = {}
        self.keys: dict[tuple[str, int], str] = {}
        self._left: dict[tuple[str, int], Left] = {}
        self._sources: dict[tuple[str, Fit], torch.Tensor] = {}
        self._encoded: dict[tuple[str, Fit], ImageLatent] = {}
        for path in plan.paths:
            for step in path:
                self._add(step, path[step.position - 1] if step.position else None, earlier or {})

    def _add(self, step: Step, before: Step | None, earlier: Mapping[tuple[str, int], str]) -> None:
        if step.place in self.keys:
            return
        self._before[step.place] = before
        if step.position < self.plan.first:
            if step.place not in earlier:
                raise UsageError("--from: no earlier run of this chain lies here: leave it out")
            self.keys[step.place] = earlier[step.place]
            return
        self.keys[step.place] = key_of(
            self.keys[before.place] if before else self.picture.digest, step, self.plan.handoff
        )

    def image(self, step: Step) -> Image.Image:
        """The picture that the user gets of an edit: at the photo's size, or the model's as its settings say."""
        left, prepared = self._result(step), self._prepared(step)
        editor = self._editor_of(step.choice)
        edited = as_tensor(left.picture) if left.latent is None and left.picture else self._decoded(editor, left)
        if step.settings.output_size == "model":
            return as_image(edited)
        small = Small(source=self._source(editor, prepared, left), edited=edited, latent=torch.empty(0))
        return finish(prepared, small)

    def record(self, step: Step, size: tuple[int, int]) -> dict[str, Any]:
        """How an edit's picture was made, with the edits before it as parents."""
        line: list[Step] = []
        one: Step | None = step
        while one is not None:
            line.insert(0, one)
            one = self._before[one.place]
        own, earlier = [self._own_record(one) for one in line], parents_of(self.picture.path)
        record = {**own[-1], "size": list(size)}
        parents = [*earlier, *own[:-1]]
        return {**record, "parents": parents} if parents else record

    def _own_record(self, step: Step) -> dict[str, Any]:
        return {
            "ip2p": __version__,
            **step.choice.identity(),
            "instruction": step.instruction,
            **asdict(step.settings),
            "batch": "1/1",
            "input": self.picture.path.name,
            "input_sha256": self.picture.digest,
            "chain": {"name": self.plan.name, "edit": step.position + 1, "handoff": self.plan.handoff},
        }

    def _prepared(self, step: Step) -> Prepared:
        request = EditRequest(
            source=self.picture.rgb,
            instruction=step.instruction,
            settings=step.settings,
            digest=self.picture.digest,
            position=step.position,
        )
        return prepare(request, step.choice.spec)

    def _result(self, step: Step) -> Left:
        """What the edit left: made now, or earlier, or by an earlier run."""
        if step.place in self._left:
            return self._left[step.place]
        path = self._cache / f"{self.keys[step.place]}.safetensors"
        left = read_left(path)
        if left is None and step.position < self.plan.first:
            raise UsageError(f"--from: what edit {step.position + 1} left is no longer in {self._cache}: leave it out")
        if left is None:
            left = self._edit(step)
            try:
                self._cache.mkdir(parents=True, exist_ok=True)
                write_whole(path, as_bytes(left), overwrite=True)
            except (OSError, OutputError) as error:
                self._say(f"{self._cache}: cannot keep what edit {step.position + 1} left ({error})")
        self._left[step.place] = left
        return left

    def _edit(self, step: Step) -> Left:
        before = self._before[step.place]
        previous = self._result(before) if before else None
        editor = self._editor_of(step.choice)
        prepared, model = self._prepared(step), _latents_of(step)
        report = None if self._on_step is None else lambda done, total: self._on_step(step, done, total)  # type: ignore[misc]
        if previous is not None and previous.fit.seen != prepared.fit.seen:
            raise UsageError(
                f"edit {step.position + 1} sees another part of the photo than the one before: use --fit pad"
            )
        handed = self._handed_over(step, previous, prepared.fit, model)
        if handed is None and previous is not None:
            assert before is not None
            picture = previous.picture or as_image(self._decoded(self._editor_of(before.choice), previous))
            pixels = as_tensor(to_model(picture, replace(prepared.fit, seen=None)))
            prepared = replace(prepared, pixels=pixels)
        plans = memory_plans(editor, prepared.pixels.shape[-2] * prepared.pixels.shape[-1])
        if isinstance(editor, Adapter):
            small, _ = with_retries(
                lambda memory: edit_batch(editor, [prepared], memory=memory, on_step=report)[0], plans, self._say
            )
            return Left(fit=prepared.fit, model=model, picture=as_image(small.edited))

        def run(memory: MemoryPlan) -> ImageLatent:
            offload(editor, memory.offload)
            image = handed
            if image is None:
                with vae_as(editor.vae, memory):
                    image = editing.encode_image(editor, prepared.pixels[None] * 2 - 1)
            if previous is None:
                self._encoded[model, prepared.fit] = image
            text = encode_condition(editor, [prepared.request.instruction])
            latent = sample(editor, image, text, [prepared.request], max_rows=memory.max_rows, on_step=report)
            return latent.as_condition(editor.scaling_factor)

        latent, _ = with_retries(run, plans, self._say)
        return Left(fit=prepared.fit, model=model, latent=latent.tensor)

    def _handed_over(self, step: Step, previous: Left | None, fit: Fit, model: str) -> ImageLatent | None:
        """The latent that the edit starts from, where it needs no encoding."""
        if previous is None:
            return self._encoded.get((model, fit))
        if self.plan.handoff == "pixels" or previous.latent is None or previous.model != model or previous.fit != fit:
            return None
        return ImageLatent(previous.latent.to(self._editor_of(step.choice).device))

    def _decoded(self, editor: Editor | Adapter, left: Left) -> torch.Tensor:
        """The photo's part of a latent, (3, h, w) in [0, 1], on the CPU."""
        assert isinstance(editor, Editor)
        assert left.latent is not None
        latent = ImageLatent(left.latent.to(editor.device))

        def run(memory: MemoryPlan) -> torch.Tensor:
            offload(editor, memory.offload)
            with vae_as(editor.vae, memory):
                return editing.decode(editor, latent).cpu()[0]

        width, height = left.fit.padded
        return cut(with_retries(run, memory_plans(editor, width * height), self._say)[0], left.fit)

    def _source(self, editor: Editor | Adapter, prepared: Prepared, left: Left) -> torch.Tensor:
        """The photo as the autoencoder gives it back, at the size of what an edit left; once for all edits."""
        key = left.model, left.fit
        if key not in self._sources:
            if isinstance(editor, Adapter):
                self._sources[key] = cut(through_vae(editor, prepared.pixels).cpu(), left.fit)
            else:
                image = self._encoded.get(key) or editing.encode_image(editor, prepared.pixels[None] * 2 - 1)
                as_left = Left(fit=left.fit, model=left.model, latent=image.tensor)
                self._sources[key] = self._decoded(editor, as_left)
        return self._sources[key]


def _latents_of(step: Step) -> str:
    identity = step.choice.identity()
    return f"{identity['model']} {identity['weights']}"


def as_bytes(left: Left) -> bytes:
    """A result of an edit as it is kept in the cache: safetensors."""
    tensors = {"latent": left.latent.cpu().contiguous()} if left.latent is not None else {}
    if left.picture is not None and left.latent is None:
        tensors = {"picture": torch.from_numpy(np.array(left.picture))}
    data: bytes = save(tensors, {"fit": json.dumps(asdict(left.fit)), "model": left.model})
    return data


def read_left(path: Path) -> Left | None:
    """What `as_bytes` made; None where there is none, or none that can be read."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            said = json.loads(metadata["fit"])
            fit = Fit(
                resized=tuple(said["resized"]),
                padded=tuple(said["padded"]),
                seen=tuple(said["seen"]) if said["seen"] else None,
            )
            names = set(file.keys())
            latent = file.get_tensor("latent") if "latent" in names else None
            picture = Image.fromarray(file.get_tensor("picture").numpy()) if "picture" in names else None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    if latent is None and picture is None:
        return None
    return Left(fit=fit, model=metadata.get("model", ""), latent=latent, picture=picture)
