"""The files of an edited photo: pictures, what is drawn of them, records beside them, an index.

An edit's item is a file, with further files beside it: `winter.png`, `winter.png.json`, `winter-compare.png`,
`winter.gif`. A chain's item is a folder: `01-winter.png`, …, `final.png`, `strip.png`, `index.json`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Literal

from PIL import Image

from ip2p_cli import __version__
from ip2p_cli.editing.model_size import ModelSizeEdit, finish
from ip2p_cli.editing.tree import EditTree, Step, StepPath, hashed
from ip2p_cli.editing.tree_run import Earlier, TreeRun
from ip2p_cli.io.comparison import animated_gif, animated_webp, compare, strip
from ip2p_cli.io.exif import strip_location
from ip2p_cli.io.files import open_regular, sweep_temporary
from ip2p_cli.io.images import Picture, read_image
from ip2p_cli.io.names import slug
from ip2p_cli.io.output import check_ending, encode_picture
from ip2p_cli.io.sizes import Fit
from ip2p_cli.jobs.output_files import OutputFiles
from ip2p_cli.jobs.runner import Saved
from ip2p_cli.types import OutputOptions

INDEX = "index.json"
_MAX_INDEX = 16 << 20  # bytes that are read of an index
_SHOWN_SIDE = 1200  # pixels of a picture in a strip or an animation


@dataclass(frozen=True, kw_only=True)
class EditTask:
    """What to do with a photo: its edits, and how they are saved.

    Attributes:
        ending: Of a folder's pictures, e.g. ".png"; None if the output is a file with a name of its own.
    """

    tree: EditTree
    options: OutputOptions = field(default_factory=OutputOptions)
    ending: str | None = None

    def recipe(self, *, fetch: bool = True) -> dict[str, Any]:
        """Return everything that decides the outputs' bytes besides the photo; fetch: as in `EditTree.recipe`."""
        return self.tree.recipe(fetch=fetch) | {"output": _of_pictures(self.options)}


@dataclass(frozen=True, kw_only=True)
class FileSpec:
    """A file of an item.

    Attributes:
        name: Relative to the job's folder, with slashes.
        paths: The steps that it shows: for a picture and its sidecar one path, whose last step it is.
    """

    name: str
    kind: Literal["picture", "sidecar", "strip", "gif", "webp", "index"]
    paths: tuple[StepPath, ...] = ()
    is_result: bool = False

    @property
    def step(self) -> Step:
        """The step of a picture or sidecar."""
        return self.paths[0][-1]


def file_specs(task: EditTask, name: str) -> list[FileSpec]:
    """Return the files of the item called `name`, in the order in which they are written."""
    specs = _folder_specs(task, PurePath(name)) if task.ending is not None else _single_specs(task, PurePath(name))
    return [*specs, *([FileSpec(name=f"{name}/{INDEX}", kind="index")] if task.ending is not None else [])]


def _single_specs(task: EditTask, name: PurePath) -> list[FileSpec]:
    paths = task.tree.paths
    specs = [FileSpec(name=name.as_posix(), kind="picture", paths=paths, is_result=True)]
    if task.options.strip:
        compare_name = name.with_name(f"{name.stem}-compare.png").as_posix()
        specs.append(FileSpec(name=compare_name, kind="strip", paths=paths))
    return specs + _animations(task.options, name, paths) + _sidecars(task.options, specs)


def _folder_specs(task: EditTask, folder: PurePath) -> list[FileSpec]:
    tree, specs = task.tree, []
    for step in tree.steps:
        if step.save:
            path = next(path[: step.position + 1] for path in tree.paths if step in path)
            file = folder / f"{step.position + 1:02d}{step.label}-{slug(step.name)}{task.ending}"
            specs.append(FileSpec(name=file.as_posix(), kind="picture", paths=(path,)))
    animations = []
    for path in tree.paths:
        stem = f"final-{path[-1].label}" if len(tree.paths) > 1 else "final"
        file = folder / f"{stem}{task.ending}"
        specs.append(FileSpec(name=file.as_posix(), kind="picture", paths=(path,), is_result=True))
        animations += _animations(task.options, file, (path,))
    sidecars = _sidecars(task.options, specs)
    if task.options.strip:
        specs.append(FileSpec(name=(folder / "strip.png").as_posix(), kind="strip", paths=tree.paths))
    return specs + animations + sidecars


def _animations(options: OutputOptions, picture: PurePath, paths: tuple[StepPath, ...]) -> list[FileSpec]:
    specs = []
    kinds: tuple[tuple[Literal["gif", "webp"], bool], ...] = (("gif", options.gif), ("webp", options.webp))
    for kind, wanted in kinds:
        if wanted:
            same = picture.suffix.lower() == f".{kind}"
            file = picture.with_name(f"{picture.stem}{'-animated' if same else ''}.{kind}")
            specs.append(FileSpec(name=file.as_posix(), kind=kind, paths=paths))
    return specs


def _sidecars(options: OutputOptions, specs: Sequence[FileSpec]) -> list[FileSpec]:
    pictures = [spec for spec in specs if spec.kind == "picture"]
    return [
        FileSpec(name=f"{spec.name}.json", kind="sidecar", paths=spec.paths) for spec in pictures if options.sidecar
    ]


class ItemOutput:
    """Writes the files of one item.

    Args:
        task: What is done with the photo.
        name: The item's name.
        folder: The job's folder.
        run: The photo's edits.
        files: Writes files.
    """

    def __init__(self, task: EditTask, name: str, folder: Path, run: TreeRun, files: OutputFiles) -> None:
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
        self._images: dict[str, Image.Image] = {}
        self._encoded: dict[str, tuple[bytes, dict[str, Any]]] = {}

    @property
    def missing_steps(self) -> list[Step]:
        """The steps whose pictures are to be made, each once."""
        specs = [s for s in self.specs if s.name in self.missing and s.kind in ("picture", "sidecar")]
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
        results = [spec for spec in self.specs if spec.is_result]
        made = [self._encoded[self._picture_key(spec.step)][1] for spec in results if spec.name in self.missing]
        return Saved(
            results=tuple(self._folder / spec.name for spec in results),
            records=tuple(made) if len(made) == len(results) else (),
            notes=tuple(self.run.notes),
        )

    def _key(self, spec: FileSpec) -> str:
        if spec.kind == "picture":
            return self._picture_key(spec.step)
        rows = [[self._picture_key(step) for step in _shown(path)] for path in spec.paths]
        return hashed([spec.kind, self.run.picture.digest, rows])

    def _picture_key(self, step: Step) -> str:
        ending = self.task.ending or PurePath(self._name).suffix.lower()
        return hashed([self.run.key(step), step.settings.output_size, _of_pictures(self.task.options), ending])

    def _bytes(self, spec: FileSpec, edits: Mapping[tuple[str, int], tuple[Fit, ModelSizeEdit]]) -> bytes:
        if spec.kind == "index":
            return (json.dumps(self._index(), indent=2, default=str) + "\n").encode()
        if spec.kind in ("picture", "sidecar"):
            data, record = self._picture(spec, edits)
            return data if spec.kind == "picture" else (json.dumps(record, indent=2, default=str) + "\n").encode()
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
            image = finish(self.run.request(step), *edits[step.place])
            record = {**self.run.record(step, image.size), "quality": self.task.options.quality}
            record["input_path"] = _input_path(self.run.picture.path, path.parent)
            self._encoded[key] = encoded(image, path, self.run.picture, record, self.task.options), record
            self._images[key] = image
        return self._encoded[key]

    def _shown_photo(self) -> Image.Image:
        return self._small("", lambda: self.run.picture.rgb)

    def _shown_step(self, step: Step) -> Image.Image:
        key = self._picture_key(step)
        names = [spec.name for spec in self.specs if spec.kind == "picture" and spec.step.place == step.place]
        return self._small(key, lambda: read_image(self._folder / names[0]).rgb)

    def _small(self, key: str, read: Any) -> Image.Image:
        image: Image.Image = self._images[key] if key in self._images else read()
        if max(image.size) > _SHOWN_SIDE:
            image = image.copy()
            image.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
        self._images[key] = image
        return image

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
        picture: The photo; its EXIF and, if the sizes agree, its transparency are carried over.
        record: How it was made.
        options: How to save it.

    Raises:
        UsageError, OutputError: As `io.output.encode_picture`.
    """
    alpha = picture.alpha if picture.alpha is not None and picture.alpha.size == image.size else None
    exif = picture.exif if options.metadata else None
    if exif is not None and options.strip_location:
        exif = strip_location(exif)
    return encode_picture(
        image,
        path,
        alpha=alpha,
        quality=options.quality,
        record=record if options.metadata else None,
        exif=exif,
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


def _of_pictures(options: OutputOptions) -> dict[str, Any]:
    """The options that decide a picture's bytes."""
    return {"quality": options.quality, "metadata": options.metadata, "strip_location": options.strip_location}


def _input_path(source: Path, folder: Path) -> str:
    """Where the photo is relative to the picture, so that both may move together."""
    try:
        return Path(os.path.relpath(source, folder)).as_posix()
    except ValueError:  # another drive
        return source.name
