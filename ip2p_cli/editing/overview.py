"""What a job leaves beside its pictures: their ranking, a contact sheet, `index.json`, a report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from PIL import Image

from ip2p_cli import __version__
from ip2p_cli.editing.choose import Chooser, ranked
from ip2p_cli.editing.file_specs import INDEX, file_specs
from ip2p_cli.editing.outputs import read_index
from ip2p_cli.editing.ranking import Measured
from ip2p_cli.editing.sweep import LABELS, value_text
from ip2p_cli.editing.tree import Step, StepPath, hashed
from ip2p_cli.editing.work import LoadedModels
from ip2p_cli.errors import InputError
from ip2p_cli.io.contact_sheet import contact_sheet, grid_of
from ip2p_cli.io.images import read_image
from ip2p_cli.io.names import numbered
from ip2p_cli.io.output import encode_picture
from ip2p_cli.io.report import ReportRow, ReportStep, report
from ip2p_cli.io.setting_parser import SETTINGS
from ip2p_cli.jobs.item import Item
from ip2p_cli.jobs.manifest import Manifest
from ip2p_cli.jobs.output_files import OutputFiles
from ip2p_cli.jobs.plan import Plan
from ip2p_cli.types import VERDICT_FACTS

SHEET, REPORT = "contact-sheet.png", "report.html"
CommandOf = Callable[["Result"], str]


@dataclass(frozen=True, kw_only=True)
class Result:
    """A picture that the user asked for, and that exists.

    Attributes:
        path: The steps that led to it.
        picture: Its file.
        measured: Its measures, if it was ranked.
        is_kept: Whether it is among the best that the user asked for.
        verdict: What is said of whether it worked: "verdict", "advice", "measures"; empty if nothing.
    """

    item: Item
    path: StepPath
    picture: Path
    measured: Measured | None = None
    is_kept: bool = True
    verdict: Mapping[str, Any] = field(default_factory=dict)

    @property
    def step(self) -> Step:
        """The last step."""
        return self.path[-1]

    @property
    def facts(self) -> dict[str, float | str]:
        """Its score and measures by name; empty if it was not ranked."""
        return {"score": self.measured.score, **self.measured.facts} if self.measured else {}


def results_of(plan: Plan, manifest: Manifest) -> list[Result]:
    """Return the results of a plan whose pictures exist, in the plan's order, with the verdicts of the manifest."""
    manifest.refresh()  # workers note what they made in files of their own
    results = []
    for item in (plan.items[index] for index in plan.indices):
        entry = manifest.entries.get(item.name)
        verdicts = entry.verdicts or () if entry is not None else ()
        specs = [spec for spec in file_specs(item.task, item.name) if spec.is_result]
        for place, spec in enumerate(specs):
            picture, noted = plan.folder / spec.name, verdicts[place] if place < len(verdicts) else {}
            verdict = {name: noted[name] for name in VERDICT_FACTS if name in noted}
            if picture.is_file():
                results.append(Result(item=item, path=spec.paths[0], picture=picture, verdict=verdict))
    return results


def rank(results: Sequence[Result], models: LoadedModels, chooser: Chooser, *, keep: int | None = None) -> list[Result]:
    """Put the results of one photo in order, the best first, with their measures.

    Args:
        results: The results; one whose picture cannot be read is left out.
        models: Gives the model that made them.
        chooser: Measures them.
        keep: How many are kept; None for all.
    """
    readable, pictures = _readable(results)
    if not readable:
        return []
    photo = read_image(readable[0].item.source).rgb
    instructions = [result.step.words for result in readable]
    measured = chooser.measure(lambda: models(readable[0].step.choice), photo, pictures, instructions)
    return [
        replace(readable[index], measured=found, is_kept=keep is None or place < keep)
        for place, (index, found) in enumerate(ranked(measured))
    ]


@dataclass(frozen=True, kw_only=True)
class Overview:
    """What to write beside the results of a plan, and with which words.

    Attributes:
        title: Of the report.
        varied: The settings that tell the results apart, for labels.
        is_grid: Whether the contact sheet may have axes.
        command_of: Gives the command that makes a result again.
    """

    plan: Plan
    manifest: Manifest
    title: str
    command_of: CommandOf
    varied: tuple[str, ...] = ()
    is_grid: bool = True

    def write(self, results: Sequence[Result], *, sheet: bool, with_report: bool) -> dict[str, Path]:
        """Write `index.json` and, of the results that are kept, the contact sheet and the report.

        A file that an earlier run wrote is replaced if it is unchanged; beside any other file a numbered one is put.

        Returns:
            Where each file is, by its usual name.
        """
        kept = [result for result in results if result.is_kept]
        written: dict[str, Path] = {}
        if sheet and kept:
            written[SHEET] = self._put(SHEET, self._sheet(kept))
        if with_report and kept:
            several = len({result.item.source for result in kept}) > 1
            rows = [self._row(result, rank, several) for rank, result in enumerate(kept, start=1)]
            facts = {"model": kept[0].step.choice.spec.name, "ip2p": __version__, "results": len(kept)}
            written[REPORT] = self._put(REPORT, report(self.title, rows, self.plan.folder, facts=facts))
        index = {"ip2p": __version__, "varied": list(self.varied), "results": [_listed(r, results) for r in results]}
        written[INDEX] = self._put(INDEX, (json.dumps(index, indent=2, default=str) + "\n").encode())
        return written

    def _put(self, name: str, data: bytes) -> Path:
        """Write a file under its usual name, or under the first numbered one that is free or ours."""
        folder = self.plan.folder
        stem, ending = PurePath(name).stem, PurePath(name).suffix
        theirs = [p.name for p in folder.glob(f"{stem}*{ending}") if not self.manifest.is_ours(p.name)]
        own = numbered(folder, PurePath(name), {other.casefold() for other in theirs}, overwrite=True).as_posix()
        path = folder / own
        if path.is_file() and path.read_bytes() == data:
            return path
        return OutputFiles(folder, self.manifest, overwrite=False).put(own, data, hashed(name))

    def _sheet(self, results: Sequence[Result]) -> bytes:
        readable, pictures = _readable(results)
        names = self.varied or ("seed",)
        values = [tuple(_value(result.step, name) for name in names) for result in readable]
        # Axes only where every cell has a picture. Ranked results come in their order, each with its values below it.
        is_ranked = results[0].measured is not None
        grid = grid_of(values if self.is_grid and not is_ranked else [(str(i),) for i in range(len(readable))])
        labels = [_label(result, names, grid.columns == ()) for result in readable]
        return encode_picture(contact_sheet(pictures, labels, grid), Path(SHEET))

    def _row(self, result: Result, rank: int, several: bool) -> ReportRow:
        item, path, folder = result.item, result.path, self.plan.folder
        title = ", then ".join(step.instruction for step in path)
        if self.varied:
            title = f"{rank}. " + ", ".join(_value(result.step, name) for name in self.varied)
        elif several:
            title = f"{item.source.name}: {title}"
        facts: dict[str, Any] = {"photo": item.source.name, **result.facts}
        steps: list[ReportStep] = []
        if item.task.ending is None:
            facts = {"instruction": result.step.instruction, **result.step.settings.facts, **facts}
        else:
            facts |= {"recipe": item.task.tree.name, "handoff": item.task.tree.handoff, "edits": len(path)}
            steps = _report_steps(item, path, folder)
        if result.measured is not None and result.measured.like is not None:
            facts["near-duplicate of number"] = str(result.measured.like + 1)
        facts |= {name: result.verdict.get(name) for name in ("verdict", "advice")}
        return ReportRow(
            title=title,
            note=": ".join(str(facts[name]) for name in ("verdict", "advice") if facts[name]),
            picture=result.picture,
            before=item.source,
            facts=facts,
            steps=steps,
            command=self.command_of(result),
        )


def _report_steps(item: Item, path: StepPath, folder: Path) -> list[ReportStep]:
    index = read_index(folder / item.name) or {"edits": []}
    made = {(edit.get("label"), edit.get("edit")): edit for edit in index["edits"]}
    files = {
        spec.step.place: spec.name for spec in reversed(file_specs(item.task, item.name)) if spec.kind == "picture"
    }
    steps = []
    for step in path:
        facts: Mapping[str, Any] = made.get((step.label, step.position + 1), {})
        name = files.get(step.place)
        steps.append(
            ReportStep(
                title=step.instruction,
                picture=folder / name if name else None,
                facts={name: facts.get(name) for name in ("name", "model", *SETTINGS, "verdict", "advice")},
            )
        )
    return steps


def _readable(results: Sequence[Result]) -> tuple[list[Result], list[Image.Image]]:
    readable, pictures = [], []
    for result in results:
        try:
            image = read_image(result.picture).rgb
        except InputError:
            continue
        image.thumbnail((640, 640), Image.Resampling.BOX)
        readable.append(result)
        pictures.append(image)
    return readable, pictures


def _listed(result: Result, results: Sequence[Result]) -> dict[str, Any]:
    like = result.measured.like if result.measured else None
    return {
        "output": next(s.name for s in file_specs(result.item.task, result.item.name) if s.paths == (result.path,)),
        "input": result.item.source.name,
        "edits": [step.instruction for step in result.path],
        **result.step.choice.identity(),
        **result.step.settings.facts,
        **result.facts,
        **result.verdict,
        "kept": result.is_kept,
        "like": results[like].item.name if like is not None else None,
    }


def _value(step: Step, name: str) -> str:
    return step.instruction if name == "instruction" else f"{LABELS[name]} {value_text(step.settings, name)}"


def _label(result: Result, names: Sequence[str], is_alone: bool) -> str:
    score = f"{result.measured.score:g}" if result.measured else ""
    return "  ".join(filter(None, [score, *(_value(result.step, name) for name in names if is_alone)]))
