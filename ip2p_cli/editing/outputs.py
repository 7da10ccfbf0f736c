"""Writing the files of an edited photo: pictures, what is drawn of them, records beside them, an index."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

from PIL import Image

from ip2p_cli import __version__
from ip2p_cli.editing.file_specs import INDEX, EditTask, FileSpec, file_specs, options_of_pictures
from ip2p_cli.editing.item_verdicts import ItemVerdicts, facts_of_path
from ip2p_cli.editing.judging import Judge
from ip2p_cli.editing.mask_files import holds_mask, write_mask
from ip2p_cli.editing.model_size import Finished, ModelSizeEdit, finish
from ip2p_cli.editing.tree import Step, StepPath, hashed
from ip2p_cli.editing.tree_run import Earlier, TreeRun
from ip2p_cli.editing.verdict import small_size
from ip2p_cli.errors import Ip2pError
from ip2p_cli.io import xmp
from ip2p_cli.io.comparison import animated_gif, animated_webp, compare, strip
from ip2p_cli.io.exif import strip_location
from ip2p_cli.io.files import open_regular, sweep_temporary
from ip2p_cli.io.images import Picture, read_image
from ip2p_cli.io.output import check_ending, encode_picture
from ip2p_cli.io.provenance import read_record
from ip2p_cli.io.sizes import Fit
from ip2p_cli.jobs.job_work import FatalError, Saved, Verdicts
from ip2p_cli.jobs.output_files import OutputFiles
from ip2p_cli.types import OutputOptions

_MAX_INDEX = 16 << 20  # bytes that are read of an index
_SHOWN_SIDE = 1200  # pixels of a picture in a strip or an animation


class ItemOutput:
    """Writes the files of one item.

    Args:
        task: What is done with the photo.
        name: The item's name.
        folder: The job's folder.
        run: The photo's edits.
        files: Writes files.
        judge: Judges the edits.
    """

    def __init__(self, task: EditTask, name: str, folder: Path, run: TreeRun, files: OutputFiles, judge: Judge) -> None:
        self.task, self.run = task, run
        self._name, self._folder, self._files = name, folder, files
        self.specs = file_specs(task, name)
        for spec in self.specs:
            if spec.kind == "picture":
                check_ending(Path(spec.name))
        self.keys = {spec.name: self._key(spec) for spec in self.specs if spec.kind != "index"}
        if task.ending is not None:
            self.keys[f"{name}/{INDEX}"] = hashed(self.keys)
            sweep_temporary(folder / name)
        self.missing = tuple(files.missing(self.keys))
        files.check_free(self.missing)
        mask = task.tree.steps[0].mask
        self.lacks_mask = task.mask_file is not None and mask is not None and not holds_mask(task.mask_file, mask)
        self._images: dict[str, Image.Image] = {}
        self._encoded: dict[str, tuple[bytes, dict[str, Any]]] = {}
        self._last: Finished | None = None
        self._judged_images: dict[str, Image.Image] = {}
        places = {spec.step.place for spec in self.specs if spec.kind == "picture"}
        self.judged = ItemVerdicts(run, judge, photo=self._judged_photo, picture=self._judged_step, places=places)

    @property
    def missing_steps(self) -> list[Step]:
        """The steps whose pictures are to be made, each once."""
        missing = [spec for spec in self.specs if spec.name in self.missing]
        specs = [s for s in missing if s.kind == "picture" or (s.kind == "sidecar" and self._record_in_file(s) is None)]
        return list({spec.step.place: spec.step for spec in specs}.values())

    def write(self, edits: Mapping[tuple[str, int], tuple[Fit, ModelSizeEdit]]) -> Saved:
        """Write the missing files.

        Args:
            edits: The missing steps' results at the model's size, by place.

        Returns:
            The item's results, and how each of those that were made now was made.

        Raises:
            OutputError: A file cannot be written.
        """
        for spec in self.specs:
            if spec.name in self.missing:
                self._files.put(spec.name, self._bytes(spec, edits), self.keys[spec.name])
        if self.task.mask_file is not None and (self.lacks_mask or self.missing_steps):
            self._write_mask(self.task.mask_file)
        results = [spec for spec in self.specs if spec.is_result]
        made = [self._encoded[self._picture_key(spec.step)][1] for spec in results if spec.name in self.missing]
        leftovers = self._files.leftovers(self._name, [spec.name for spec in self.specs])
        notes = [f"left from an earlier run: {', '.join(leftovers)}"] if leftovers else []
        return Saved(
            results=tuple(self._folder / spec.name for spec in results),
            records=tuple(made) if len(made) == len(results) else (),
            notes=(*self.run.notes, *notes),
            verdicts=self.verdicts(),
        )

    def verdicts(self) -> Verdicts:
        """Return what is said of each result; None where it cannot be judged, which stops nothing."""
        try:
            return tuple(self.judged.facts(spec.paths[0]) for spec in self.specs if spec.is_result)
        except (Ip2pError, FatalError, OSError):
            return None

    def _write_mask(self, file: Path) -> None:
        step = self.task.tree.steps[0]
        facts = self.run.masks.record(step, file.parent)
        write_mask(file, self.run.masks.of(step), facts, self.run.picture, overwrite=self._files.overwrite)

    def _key(self, spec: FileSpec) -> str:
        if spec.kind == "picture":
            return self._picture_key(spec.step)
        rows = [[self._picture_key(step) for step in _shown(path)] for path in spec.paths]
        return hashed([spec.kind, self.run.picture.digest, rows])

    def _picture_key(self, step: Step) -> str:
        ending = self.task.ending or PurePath(self._name).suffix.lower()
        return hashed([self.run.key(step), step.settings.output_size, options_of_pictures(self.task.options), ending])

    def _bytes(self, spec: FileSpec, edits: Mapping[tuple[str, int], tuple[Fit, ModelSizeEdit]]) -> bytes:
        if spec.kind == "index":
            return (json.dumps(self._index(), indent=2, default=str) + "\n").encode()
        if spec.kind == "picture":
            return self._picture(spec, edits)[0]
        if spec.kind == "sidecar":
            record = self._record_in_file(spec) or self._picture(spec, edits)[1]
            return (json.dumps(record, indent=2, default=str) + "\n").encode()
        rows = [[self._shown_photo(), *(self._shown_step(step) for step in _shown(path))] for path in spec.paths]
        if spec.kind == "gif":
            return animated_gif(rows[0])
        if spec.kind == "webp":
            return animated_webp(rows[0])
        alone = len(rows) == 1 and len(rows[0]) == 2
        return encode_picture(compare(*rows[0]) if alone else strip(rows), Path(spec.name))

    def _picture(
        self, spec: FileSpec, edits: Mapping[tuple[str, int], tuple[Fit, ModelSizeEdit]]
    ) -> tuple[bytes, dict[str, Any]]:
        """A step's picture as the bytes of its file, and its record; made once for all files with the same bytes."""
        step, key = spec.step, self._picture_key(spec.step)
        if key not in self._encoded:
            path = self._folder / spec.name.removesuffix(".json" if spec.kind == "sidecar" else "")
            image = finish(self.run.request(step), *edits[step.place], self._last)
            self._last = Finished(edit=edits[step.place][1], image=image)
            self._judged_images[key] = image.resize(small_size(image.size), Image.Resampling.BOX, reducing_gap=3.0)
            record = {**self.run.record(step, image.size, path.parent), "quality": self.task.options.quality}
            record["input_path"] = _input_path(self.run.picture.path, path.parent)
            self._encoded[key] = encoded(image, path, self.run.picture, record, self.task.options), record
        return self._encoded[key]

    def _record_in_file(self, sidecar: FileSpec) -> dict[str, Any] | None:
        """The record of the sidecar's picture, if the picture exists already and holds one."""
        name = sidecar.name.removesuffix(".json")
        return read_record(self._folder / name) if self._files.has(name, self.keys[name]) else None

    def _shown_photo(self) -> Image.Image:
        return self._small("", lambda: self.run.picture.rgb)

    def _shown_step(self, step: Step) -> Image.Image:
        key = self._picture_key(step)
        names = [spec.name for spec in self.specs if spec.kind == "picture" and spec.step.place == step.place]
        return self._small(key, lambda: read_image(self._folder / names[0]).rgb)

    def _judged_photo(self) -> Image.Image:
        return self.run.picture.rgb if self.task.ending is None else self._shown_photo()

    def _judged_step(self, step: Step) -> Image.Image:
        """A step's picture. Those of a chain are read from their files, so that its index is the same each time."""
        made = self._judged_images.get(self._picture_key(step)) if self.task.ending is None else None
        return made or self._shown_step(step)

    def _small(self, key: str, read: Callable[[], Image.Image]) -> Image.Image:
        """A picture in a strip or animation. It is read from its file, so that one that is drawn later is the same."""
        if key not in self._images:
            self._images[key] = read().copy()
            self._images[key].thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
        return self._images[key]

    def _index(self) -> dict[str, Any]:
        run, tree = self.run, self.task.tree
        names = {(spec.step.place, spec.is_result): spec.name for spec in self.specs if spec.kind == "picture"}
        files = {key: PurePath(name).name for key, name in names.items()}
        edits = [
            {
                "edit": step.position + 1,
                "label": step.label,
                "name": step.name,
                **run.made(step),
                **facts_of_path([self.judged.of(step)]),
                "file": files.get((step.place, False)),
                "key": run.key(step),
            }
            for step in tree.steps
        ]
        return {
            "ip2p": __version__,
            "recipe": tree.name,
            "handoff": tree.handoff,
            "guard": tree.guard,
            "input": run.picture.path.name,
            "input_sha256": run.picture.digest,
            "edits": edits,
            "results": [
                {"file": files[path[-1].place, True], "edits": [step.instruction for step in path]}
                for path in tree.paths
            ],
        }


def encoded(
    image: Image.Image, path: Path, picture: Picture, record: Mapping[str, Any], options: OutputOptions
) -> bytes:
    """Return an edit as the bytes of its file.

    Args:
        image: The edit.
        path: Its file, whose ending decides the format.
        picture: The photo; its EXIF, XMP and, if the sizes agree, its transparency are carried over.
        record: How it was made.
        options: How to save it.

    Raises:
        UsageError, OutputError: As `io.output.encode_picture`.
    """
    alpha = picture.alpha if picture.alpha is not None and picture.alpha.size == image.size else None
    exif, description = (picture.exif, picture.xmp) if options.metadata else (None, None)
    if options.strip_location:
        exif = exif and strip_location(exif)
        description = description and xmp.strip_location(description)
    return encode_picture(
        image,
        path,
        alpha=alpha,
        quality=options.quality,
        record=record if options.metadata else None,
        exif=exif,
        xmp=description,
        density=picture.density if options.metadata else None,
    )


def read_index(folder: Path) -> dict[str, Any] | None:
    """Return the index of a chain's folder; None if there is none, or none of ip2p's."""
    try:
        with os.fdopen(open_regular(folder / INDEX), "rb") as file:
            index = json.loads(file.read(_MAX_INDEX))
    except (OSError, ValueError, RecursionError):
        return None
    ours = isinstance(index, dict) and isinstance(index.get("ip2p"), str) and isinstance(index.get("edits"), list)
    return index if ours and all(isinstance(edit, dict) for edit in index["edits"]) else None


def earlier_edits(index: Mapping[str, Any] | None) -> Earlier:
    """Return what an index says of its edits, by place."""
    edits = index["edits"] if index else []
    return {
        (str(edit.get("label")), edit["edit"] - 1): edit
        for edit in edits
        if isinstance(edit.get("edit"), int) and isinstance(edit.get("key"), str)
    }


def _shown(path: StepPath) -> list[Step]:
    """The steps of a path whose pictures exist."""
    return [*(step for step in path[:-1] if step.save), path[-1]]


def _input_path(source: Path, folder: Path) -> str:
    """Where the photo is relative to the picture, so that both may move together."""
    try:
        return Path(os.path.relpath(source, folder)).as_posix()
    except ValueError:  # another drive
        return source.name
