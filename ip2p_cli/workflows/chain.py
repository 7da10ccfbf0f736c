"""Running a chain on one photo: each edit works on what the one before left, as a latent or as a picture.

What each edit leaves is kept (see `chain_cache`), so that only what changed is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ip2p_cli import __version__
from ip2p_cli.diffusion import editing
from ip2p_cli.diffusion.adapted import through_vae
from ip2p_cli.diffusion.latents import ImageLatent, low_frequencies
from ip2p_cli.diffusion.text import encode_condition
from ip2p_cli.errors import OutputError, UsageError
from ip2p_cli.io.files import write_whole
from ip2p_cli.io.images import Picture
from ip2p_cli.io.provenance import parents_of
from ip2p_cli.io.sizes import Fit, to_model
from ip2p_cli.models.adapters import Adapter
from ip2p_cli.models.loader import Editor
from ip2p_cli.models.offload import offload
from ip2p_cli.types import EditRequest
from ip2p_cli.workflows.best_of import Chosen, Judge, rounds
from ip2p_cli.workflows.chain_cache import Left, as_bytes, cache_file, read_left
from ip2p_cli.workflows.chain_plan import ChainPlan, Step, key_of
from ip2p_cli.workflows.edit import (
    Prepared,
    Small,
    as_image,
    as_tensor,
    cut,
    edit_batch,
    finish,
    memory_plans,
    prepare,
    sample,
)
from ip2p_cli.workflows.memory import MemoryPlan, vae_as, with_retries

# What chain.json says of an edit besides how it was made.
_OF_THE_FOLDER = ("edit", "label", "name", "file", "key")

EditorOf = Callable[[Any], Editor | Adapter]
OnStep = Callable[[Step, int, int], None]


class ChainRun:
    """A chain on one photo. Edits are made when they are asked for, each once.

    cache: the folder that keeps what edits leave; None: nothing is kept. judge: chooses among the seeds of an edit.
    earlier: what chain.json says of an earlier run's edits, by their place, for those before --from.
    say: told how memory was saved. on_step: called as (edit, steps done, all of the edit's; each seed's count).
    Raises UsageError where --from has nothing to go on from.
    """

    def __init__(
        self,
        plan: ChainPlan,
        picture: Picture,
        cache: Path | None,
        editor_of: EditorOf,
        *,
        judge: Judge | None = None,
        earlier: Mapping[tuple[str, int], Mapping[str, Any]] | None = None,
        say: Callable[[str], None] = lambda _: None,
        on_step: OnStep | None = None,
    ) -> None:
        self.plan, self.picture = plan, picture
        self._cache, self._editor_of, self._say, self._on_step = cache, editor_of, say, on_step
        self._judge = judge or Judge(plan.clip)
        self._before: dict[tuple[str, int], Step | None] = {}
        self.keys: dict[tuple[str, int], str] = {}
        self._left: dict[tuple[str, int], Left] = {}
        self._kept: dict[tuple[str, int], Mapping[str, Any]] = {}
        self._sources: dict[tuple[str, Fit], torch.Tensor] = {}
        self._encoded: dict[tuple[str, Fit], ImageLatent] = {}
        for path in plan.paths:
            for step in path:
                self._add(step, path[step.position - 1] if step.position else None, earlier or {})

    def _add(self, step: Step, before: Step | None, earlier: Mapping[tuple[str, int], Mapping[str, Any]]) -> None:
        if step.place in self.keys:
            return
        self._before[step.place] = before
        if step.position < self.plan.first:
            if step.place not in earlier:
                raise UsageError("--from: no earlier run of this chain lies here: leave it out")
            self._kept[step.place] = earlier[step.place]
            self.keys[step.place] = str(earlier[step.place].get("key"))
            return
        self.keys[step.place] = key_of(self.keys[before.place] if before else self.picture.digest, step, self.plan)

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

    def made(self, step: Step) -> dict[str, Any]:
        """How an edit was made: model, instruction, settings, and which of several seeds was kept, and why."""
        kept = self._kept.get(step.place)
        if kept is not None:
            return {name: value for name, value in kept.items() if name not in _OF_THE_FOLDER}
        found = self._result(step).chosen if step.best_of > 1 else None
        chosen = found.facts(step) if found else None
        won = {"seed": chosen["seed"], "best_of": chosen} if chosen else {}
        return {**step.choice.identity(), "instruction": step.instruction, **asdict(step.settings), **won}

    def _own_record(self, step: Step) -> dict[str, Any]:
        return {
            "ip2p": __version__,
            **self.made(step),
            "batch": "1/1",
            "input": self.picture.path.name,
            "input_sha256": self.picture.digest,
            "chain": {"name": self.plan.name, "edit": step.position + 1, "handoff": self.plan.handoff, **self._guard()},
        }

    def _guard(self) -> dict[str, str]:
        return {} if self.plan.guard == "none" else {"guard": self.plan.guard}

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
        path = cache_file(self._cache, self.keys[step.place]) if self._cache is not None else None
        left = read_left(path) if path is not None else None
        if left is None and step.position < self.plan.first:
            raise UsageError(f"--from: what edit {step.position + 1} left is no longer in the cache: leave it out")
        if left is None:
            left = self._edit(step)
            if path is not None:
                self._keep(left, path, step)
        self._left[step.place] = left
        return left

    def _keep(self, left: Left, path: Path, step: Step) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, as_bytes(left), overwrite=True)
        except (OSError, OutputError) as error:
            self._say(f"{path.parent}: cannot keep what edit {step.position + 1} left ({error})")

    def _edit(self, step: Step) -> Left:
        before = self._before[step.place]
        previous = self._result(before) if before else None
        editor = self._editor_of(step.choice)
        prepared, model = self._prepared(step), _latents_of(step)
        if previous is not None and previous.fit.seen != prepared.fit.seen:
            raise UsageError(
                f"edit {step.position + 1} sees another part of the photo than the one before: use --resize-mode pad"
            )
        handed = self._handed_over(step, previous, prepared.fit, model)
        if handed is None and previous is not None:
            assert before is not None
            picture = previous.picture or as_image(self._decoded(self._editor_of(before.choice), previous))
            pixels = as_tensor(to_model(picture, replace(prepared.fit, seen=None)))
            prepared = replace(prepared, pixels=pixels)
        if isinstance(editor, Adapter):
            return self._adapted(editor, step, prepared, model)
        image = handed if handed is not None else self._encode(editor, prepared)
        if previous is None:
            self._encoded[model, prepared.fit] = image
        found = [
            Left(fit=prepared.fit, model=model, latent=latent[None])
            for done, seeds in self._rounds(step, prepared)
            for latent in self._sampled(editor, step, prepared, image, seeds, done)
        ]
        if step.best_of == 1:
            return found[0]
        before_it = Left(fit=prepared.fit, model=model, latent=image.tensor)
        pictures = [as_image(self._decoded(editor, one)) for one in (found if step.winner is None else ())]
        chosen = self._chosen(editor, step, lambda: as_image(self._decoded(editor, before_it)), pictures)
        return replace(found[chosen.index], chosen=chosen)

    def _chosen(
        self, editor: Editor | Adapter, step: Step, before: Callable[[], Image.Image], edits: Sequence[Image.Image]
    ) -> Chosen:
        if step.winner is not None:
            return Chosen(index=step.winner)
        return self._judge.best(editor, before(), edits, step.instruction)

    def _rounds(self, step: Step, prepared: Prepared) -> Iterator[tuple[int, list[int]]]:
        """(seeds done before, seeds that go through the model together)"""
        done = 0
        for seeds in rounds(step, prepared.pixels.shape[-2] * prepared.pixels.shape[-1]):
            yield done, seeds
            done += len(seeds)

    def _reporting(self, step: Step, before: int, seeds: int) -> Callable[[int, int], None] | None:
        """A seed's step counts alone, all those of an edit make it whole."""
        tell = self._on_step
        if tell is None:
            return None
        return lambda done, total: tell(step, before * total + seeds * done, step.best_of * total)

    def _adapted(self, editor: Adapter, step: Step, prepared: Prepared, model: str) -> Left:
        """An edit by a model that edits its own way: one seed after the other, pictures instead of latents."""
        if self.plan.guard != "none":
            raise UsageError(f"guard {self.plan.guard}: {step.choice.spec.name} has none: leave it out")
        plans = memory_plans(editor, prepared.pixels.shape[-2] * prepared.pixels.shape[-1])
        pictures: list[Image.Image] = []
        for place, seed in enumerate(step.seeds):
            one = replace(prepared, request=_with_seed(prepared.request, seed))
            report = self._reporting(step, place, 1)

            def run(memory: MemoryPlan, one: Prepared = one, report: Any = report) -> Small:
                return edit_batch(editor, [one], memory=memory, on_step=report)[0]

            pictures.append(as_image(with_retries(run, plans, self._say)[0].edited))
        left = Left(fit=prepared.fit, model=model, picture=pictures[0])
        if step.best_of == 1:
            return left
        chosen = self._chosen(editor, step, lambda: as_image(cut(prepared.pixels, prepared.fit)), pictures)
        return replace(left, picture=pictures[chosen.index], chosen=chosen)

    def _encode(self, editor: Editor, prepared: Prepared) -> ImageLatent:
        def run(memory: MemoryPlan) -> ImageLatent:
            offload(editor, memory.offload)
            with vae_as(editor.vae, memory):
                return editing.encode_image(editor, prepared.pixels[None] * 2 - 1)

        height, width = prepared.pixels.shape[-2:]
        return with_retries(run, memory_plans(editor, height * width), self._say)[0]

    def _sampled(
        self, editor: Editor, step: Step, prepared: Prepared, image: ImageLatent, seeds: Sequence[int], before: int
    ) -> torch.Tensor:
        """Unscaled latents, one a seed, (N, C, h, w)."""
        requests = [_with_seed(prepared.request, seed) for seed in seeds]
        images = ImageLatent(image.tensor.repeat(len(seeds), 1, 1, 1))

        def run(memory: MemoryPlan) -> torch.Tensor:
            offload(editor, memory.offload)
            text = encode_condition(editor, [step.instruction] * len(seeds))
            report = self._reporting(step, before, len(seeds))
            latent = sample(editor, images, text, requests, max_rows=memory.max_rows, on_step=report)
            asked = latent.as_condition(editor.scaling_factor).tensor
            if self.plan.guard == "none":
                return asked
            # The same noise without words: what changes then, nobody asked for.
            null = encode_condition(editor, [""] * len(seeds))
            alone = sample(editor, images, null, requests, max_rows=memory.max_rows)
            return asked - low_frequencies(alone.as_condition(editor.scaling_factor).tensor - images.tensor)

        height, width = prepared.pixels.shape[-2:]
        return with_retries(run, memory_plans(editor, height * width), self._say)[0]

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


def _with_seed(request: EditRequest, seed: int) -> EditRequest:
    return replace(request, settings=replace(request.settings, seed=seed))


def _latents_of(step: Step) -> str:
    identity = step.choice.identity()
    return f"{identity['model']} {identity['weights']}"
