"""Which files an edited photo has, and what each of them shows.

An edit's item is a file, with further files beside it: `winter.png`, `winter.png.json`, `winter-compare.png`,
`winter.gif`. A chain's item is a folder: `01-winter.png`, …, `final.png`, `strip.png`, `index.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Literal

from ip2p_cli.editing.tree import EditTree, Step, StepPath
from ip2p_cli.errors import Ip2pError
from ip2p_cli.io.names import slug
from ip2p_cli.types import OutputOptions

INDEX = "index.json"


@dataclass(frozen=True, kw_only=True)
class EditTask:
    """What to do with a photo: its edits, and how they are saved.

    Attributes:
        ending: Of a folder's pictures, e.g. ".png"; None if the output is a file with a name of its own.
        mask_file: Where the first step's mask is written too; None for nowhere.
        refusal: Why the edits are not to be made, see `editing.unknown`.
    """

    tree: EditTree
    options: OutputOptions = field(default_factory=OutputOptions)
    ending: str | None = None
    mask_file: Path | None = None
    refusal: Ip2pError | None = None

    def recipe(self, *, fetch: bool = True) -> dict[str, Any]:
        """Return everything that decides the outputs' bytes besides the photo; fetch: as in `EditTree.recipe`."""
        return self.tree.recipe(fetch=fetch) | {"output": options_of_pictures(self.options)}


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


def options_of_pictures(options: OutputOptions) -> dict[str, Any]:
    """The options that decide a picture's bytes."""
    return {"quality": options.quality, "metadata": options.metadata, "strip_location": options.strip_location}
