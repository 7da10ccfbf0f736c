"""`ip2p gen-data filter DATA`: score pairs, select those to keep, report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.flags import CommonFlags
from ip2p_cli.cli.gen_data import flags as gen
from ip2p_cli.cli.gen_data.running import run_shown
from ip2p_cli.cli.gen_data.tables import table_text
from ip2p_cli.cli.output import Output

if TYPE_CHECKING:
    from ip2p_cli.datagen.selection import Thresholds
    from ip2p_cli.datagen.stages import Task, WorkerConfig
    from ip2p_cli.io.shards import Shards

_measure = partial(Option, rich_help_panel="What to score with")


@dataclass(frozen=True, kw_only=True)
class ScoreFlags:
    """What pairs are scored with, besides CLIP."""

    dino: Annotated[Path | None, _measure(help="Also score with the DINO in this folder.")] = None
    safety: Annotated[
        Path | None, _measure(help="Also score with the safety checker or classifier in this folder.")
    ] = None
    judge: Annotated[
        str | None,
        _measure(metavar="URL", help="Also ask a vision-language model: an OpenAI-compatible endpoint, http://…/v1."),
    ] = None
    judge_model: Annotated[str, _measure(metavar="NAME", help="The model's name at that endpoint.")] = "default"
    batch_size: Annotated[int, _measure(min=1, help="Pairs at a time.")] = 16
    device: opt.Device = "auto"


@dataclass(frozen=True, kw_only=True)
class BoundFlags:
    """The other bounds, as in `Thresholds`."""

    max_change: Annotated[float, gen.bound(help="Offline: mean CIELAB distance at most.")] = 80.0
    min_structure: Annotated[float, gen.bound(help="Offline: correlation of luminance; unrelated photos have 0.3.")] = (
        0.4
    )
    min_dino: Annotated[float, gen.bound(help="With --dino: similarity.")] = 0.5
    min_judge: Annotated[float, gen.bound(help="With --judge: its score, 0 to 1.")] = 0.7
    max_unsafe: Annotated[float, gen.bound(help="With --safety: 0 to 1, at most.")] = 0.5
    keep: Annotated[int, gen.bound(min=1, help="The most pairs of a triplet; the best by direction stay.")] = 4


def filter_pairs(
    data: gen.Data,
    clip: gen.ClipFlags,
    models: ScoreFlags,
    bounds: BoundFlags,
    workers: gen.WorkerFlags,
    common: CommonFlags,
    redo: opt.Redo = False,
) -> Iterator[None]:
    """Score the pairs and keep the good ones: DATA/scores, DATA/kept, DATA/report/filter.html.

    Scores stay: with other bounds the same command only selects again. Without CLIP the change of the pictures is
    measured, which knows nothing of the words; the report says so.
    """
    from ip2p_cli.datagen.judge import VisionJudge
    from ip2p_cli.datagen.scores import ScorePairs, ScorerConfig
    from ip2p_cli.datagen.selection import Thresholds
    from ip2p_cli.datagen.stages import tasks_of
    from ip2p_cli.io.shards import Shards
    from ip2p_cli.models.clip import find_clip

    output, config = Output(json=common.json, quiet=common.quiet), workers.config()
    scorers = ScorerConfig(
        clip=find_clip(clip.clip),
        dino=models.dino,
        safety=models.safety,
        judge=VisionJudge(url=models.judge, model=models.judge_model) if models.judge is not None else None,
        device=models.device,
        batch=models.batch_size,
    )
    settings = scorers.settings()
    yield
    pairs, scores = Shards(folder=data / "pairs", format="tar"), Shards(folder=data / "scores")
    tasks = tasks_of(pairs)
    chosen = any(flag is not None for flag in (clip.clip, models.dino, models.safety, models.judge))
    if chosen or redo or not _finished(scores, tasks):
        scores.begin(settings, redo=redo)
        if scorers.clip is None:
            output.say("no CLIP here: change is measured, which knows nothing of the words (--clip FOLDER)")
        run_shown(scores, tasks, ScorePairs(pairs=pairs, scores=scores, config=scorers), config, output, redo=redo)
    _select(data, scores, Thresholds(**clip.bounds(), **vars(bounds)), config, output)


def _select(data: Path, scores: Shards, thresholds: Thresholds, config: WorkerConfig, output: Output) -> None:
    """Select again wherever scores or bounds have changed, and write the report if all parts are there."""
    from ip2p_cli.datagen.filter_report import report_page, summarise
    from ip2p_cli.datagen.selection import SelectPairs
    from ip2p_cli.datagen.stages import Task
    from ip2p_cli.io.files import write_whole
    from ip2p_cli.io.shards import Shards

    kept, measured = Shards(folder=data / "kept"), scores.about() or {}
    select = SelectPairs(scores=scores, kept=kept, gates=thresholds.gates(measured), keep=thresholds.keep)
    settings = thresholds.settings(measured)
    kept.begin(settings, redo=kept.about() not in (None, settings))
    # A shard of pairs that could not be scored has no scores: its number stays free.
    tasks = [Task(number=number, digest=marker.sha256, source=number) for number, marker in scores.done().items()]
    run_shown(kept, tasks, select, config, output, redo=True)
    if not _finished(kept, tasks):
        output.say("the report is written with the last part")
        return
    summary = summarise(select, [task.source for task in tasks], measured)
    page = data / "report" / "filter.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    write_whole(page, report_page(data, summary, thresholds.keep), overwrite=True)
    table = summary.table()
    output.data(table_text(table.head, table.rows), {"stage": "filter", "output": str(page), **summary.data()})
    output.say(f"{summary.kept} of {summary.pairs} pairs kept, measured by {summary.measure}: {page}")


def _finished(shards: Shards, tasks: list[Task]) -> bool:
    """Whether every task's shard is there and made from what there is now."""
    done = shards.done()
    return all(task.number in done and done[task.number].source == task.digest for task in tasks)
