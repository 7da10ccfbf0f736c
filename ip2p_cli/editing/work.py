"""What a job of edits does with its photos: the `Work` of `jobs.runner`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ip2p_cli.editing.batch import run_batch
from ip2p_cli.editing.choose import Chooser
from ip2p_cli.editing.engine import Engine
from ip2p_cli.editing.file_specs import EditTask, file_specs
from ip2p_cli.editing.judging import Judge
from ip2p_cli.editing.memory import MemoryPlan
from ip2p_cli.editing.model_choice import ModelChoice
from ip2p_cli.editing.outputs import ItemOutput, earlier_edits, read_index
from ip2p_cli.editing.step_cache import StepCache
from ip2p_cli.editing.tree import Step
from ip2p_cli.editing.tree_run import TreeRun
from ip2p_cli.errors import InputError, Ip2pError
from ip2p_cli.io.images import Picture, read_image
from ip2p_cli.io.names import printable
from ip2p_cli.io.sizes import fit_for
from ip2p_cli.jobs.item import Item, Request
from ip2p_cli.jobs.job_work import FatalError, Finish, OnUnits, Read
from ip2p_cli.jobs.manifest import file_stamp
from ip2p_cli.jobs.output_files import OutputFiles
from ip2p_cli.jobs.plan import GroupOf
from ip2p_cli.models.adapters import Adapter
from ip2p_cli.models.editor import Editor

_PIXELS_AT_ONCE = 8 * 512 * 512  # on a GPU; three branches of Stable Diffusion 1.5 then take about 8 GB
_MOST_AT_ONCE = 32


class LoadedModels:
    """Models, each loaded when it is first needed.

    Args:
        load: Loads a model; `ModelChoice.load`, or one that shows progress.
    """

    def __init__(self, load: Callable[[ModelChoice], Editor | Adapter] = ModelChoice.load) -> None:
        self._load = load
        self._lock = threading.Lock()  # photos are read, and results judged, in several threads
        self._loaded: dict[ModelChoice, Editor | Adapter | Ip2pError] = {}

    def __call__(self, choice: ModelChoice) -> Editor | Adapter:
        """Return the model; raises FatalError, each time, if it cannot be loaded."""
        with self._lock:
            if choice not in self._loaded:
                try:
                    self._loaded[choice] = self._load(choice)
                except Ip2pError as error:
                    self._loaded[choice] = error
        loaded = self._loaded[choice]
        if isinstance(loaded, Ip2pError):
            raise FatalError(loaded)
        return loaded

    def loaded(self, choice: ModelChoice) -> Editor | Adapter:
        """Return the model; raises Ip2pError if it cannot be loaded. For use before a job runs."""
        try:
            return self(choice)
        except FatalError as fatal:
            raise fatal.error from None


class EditWork:
    """Edits photos; see `jobs.job_work.Work`.

    Args:
        models: Gives the models.
        folder: The job's folder.
        cache: Keeps what the steps of chains leave.
        clip: CLIP's folder, to judge edits and to choose among the seeds of a step.
        memory: How to run the models first, if a record says so.
    """

    def __init__(
        self,
        models: LoadedModels,
        folder: Path,
        *,
        cache: StepCache | None = None,
        clip: Path | None = None,
        memory: MemoryPlan | None = None,
    ) -> None:
        self._engine, self._folder = Engine(models, memory), folder
        self._cache, self._chooser = cache or StepCache(None), Chooser(clip)
        self._photos, self._judge = _LastPhoto(), Judge(models, self._chooser)

    def read(self, item: Item, files: OutputFiles) -> Read:
        """Read the photo and find out which files are missing; raises Ip2pError."""
        if item.task.refusal is not None:
            raise item.task.refusal
        picture = self._photos.read(item.source, file_stamp(item.source))
        if item.size is not None and picture.rgb.size != item.size:
            raise InputError(f"{printable(item.source)}: the photo changed while this ran: run the command again")
        task: EditTask = item.task
        earlier = earlier_edits(read_index(self._folder / item.name)) if task.tree.first else None
        cache = self._cache if task.ending is not None else StepCache(None)
        run = TreeRun(task.tree, picture, self._engine, cache, self._chooser, earlier)
        output = ItemOutput(task, item.name, self._folder, run, files, self._judge)
        if output.missing_steps or output.lacks_mask:
            run.masks.check()
        if task.tree.is_single and output.missing_steps:
            run.row(task.tree.steps[0])  # resized here, while the model works on another photo
        return Read(
            work=output,
            sha256=picture.digest,
            missing=(*output.missing, *([str(task.mask_file)] if output.lacks_mask else [])),
            notes=picture.notes,
            verdicts=output.verdicts,
        )

    def run(self, items: Sequence[Item], ready: Mapping[int, Read], on_units: OnUnits) -> Mapping[int, Finish]:
        """Run the models on a group; see `jobs.job_work.Work`."""
        outputs: dict[int, ItemOutput] = {place: read.work for place, read in ready.items()}
        counter = _Units(on_units)
        finishes: dict[int, Finish] = {}
        self._engine.begin_group()
        if _is_batch(items) and any(output.missing_steps for output in outputs.values()):
            runs = [outputs[place].run if place in outputs else None for place in range(len(items))]
            run_batch(
                self._engine,
                [item.task.tree for item in items],
                runs,
                lambda done: counter.tell_all(outputs, done),
                is_one_photo=_are_variants(items),
            )
        for place, output in outputs.items():
            output.run.on_step = partial(counter.tell, place)
            edits = {step.place: output.run.edit(step) for step in output.missing_steps}
            if output.lacks_mask:
                output.run.masks.of(output.task.tree.steps[0])  # an automatic one runs the model
            output.judged.prepare(output.task.tree.steps)
            finishes[place] = partial(output.write, edits)
        for output in outputs.values():
            output.run.notes += self._engine.notes
        return finishes

    def results(self, item: Item) -> Sequence[str]:
        """Return the pictures that the user asked for."""
        return [spec.name for spec in file_specs(item.task, item.name) if spec.is_result]

    def units(self, item: Item) -> int:
        """Return the denoising steps of all edits and seeds."""
        return sum(step.settings.steps * step.best_of for step in item.task.tree.steps)


class _Units:
    """Adds up the denoising steps of a group's items."""

    def __init__(self, on_units: OnUnits) -> None:
        self._on_units = on_units
        self._done: dict[Any, int] = {}

    def tell(self, item: int, step: Step, done: int) -> None:
        """Note how many denoising steps of an item's step are done."""
        self._done[item, step.place] = done
        self._on_units(sum(self._done.values()))

    def tell_all(self, items: Iterable[int], done: int) -> None:
        """Note how many denoising steps of items in a batch are done."""
        self._done.update(dict.fromkeys(((item, ("", 0)) for item in items), done))
        self._on_units(sum(self._done.values()))


class _LastPhoto:
    """Reads photos and keeps the last one: the variants of a photo are made one after the other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: tuple[tuple[Path, str | None], Picture] | None = None

    def read(self, path: Path, stamp: str | None) -> Picture:
        """Read a photo; its file's stamp tells whether it changed."""
        with self._lock:
            if self._last is not None and self._last[0] == (path, stamp):
                return self._last[1]
        picture = read_image(path)
        with self._lock:
            self._last = (path, stamp), picture
        return picture


@dataclass(frozen=True, kw_only=True)
class MakeWork:
    """Makes an `EditWork` in another process; can be pickled."""

    folder: Path
    cache: Path | None = None
    clip: Path | None = None

    def __call__(self) -> EditWork:
        """Return the work."""
        return EditWork(LoadedModels(), self.folder.absolute(), cache=StepCache(self.cache), clip=self.clip)


def files_of(request: Request, name: str) -> tuple[str, ...]:
    """Return the files of an item, for `jobs.plan.make_plan`."""
    return tuple(spec.name for spec in file_specs(request.task, name))


def group_by(batch_size: int | None) -> GroupOf:
    """Return which items share a batch: single edits of one model, padded size, sampler and step count.

    Args:
        batch_size: The most items of a batch; None: one on a CPU, where more is no faster, and on a GPU as many as it
            has memory for.
    """

    def group_of(item: Item) -> tuple[Any, int] | None:
        tree = item.task.tree
        step: Step = tree.steps[0]
        if not tree.is_single or step.choice.spec.pipeline is not None or item.size is None:
            return None
        try:
            padded = fit_for(item.size, step.settings, step.choice.spec.multiple).padded
        except Ip2pError:  # it fails alone in its turn
            return None
        automatic = 1 if step.choice.device_name == "cpu" else _PIXELS_AT_ONCE // (padded[0] * padded[1])
        size = batch_size if batch_size is not None else max(1, min(_MOST_AT_ONCE, automatic))
        return (step.choice, padded, step.settings.sampler, step.settings.steps, step.settings.feature_reuse), size

    return group_of


def _are_variants(items: Sequence[Item]) -> bool:
    """Whether all items are edits of one photo that differ from each other."""
    steps = {(item.task.tree.steps[0].instruction, item.task.tree.steps[0].settings) for item in items}
    return len({item.source for item in items}) == 1 and len(steps) == len(items)


def _is_batch(items: Sequence[Item]) -> bool:
    return len(items) > 1 or (items[0].task.tree.is_single and items[0].task.tree.steps[0].choice.spec.pipeline is None)
