"""`ip2p gen-data filter DATA`: score pairs, select those to keep, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.gen_data import options as own
from ip2p_cli.cli.gen_data.running import run_shown, workers_of
from ip2p_cli.cli.gen_data.tables import table_text
from ip2p_cli.cli.output import Output

if TYPE_CHECKING:
    from ip2p_cli.datagen.selection import Thresholds
    from ip2p_cli.datagen.stages import Task, WorkerConfig
    from ip2p_cli.io.shards import Shards


def filter_pairs(
    data: own.Data,
    clip: own.FilterClip = None,
    dino: own.Dino = None,
    safety: own.Safety = None,
    judge: own.JudgeUrl = None,
    judge_model: own.JudgeModel = "default",
    batch_size: own.ScoreBatch = 16,
    device: opt.Device = "auto",
    min_image: own.MinImage = 0.7,
    min_direction: own.MinDirection = 0.2,
    min_text: own.MinText = 0.2,
    min_change: own.MinChange = 2.3,
    max_change: own.MaxChange = 80.0,
    min_structure: own.MinStructure = 0.4,
    min_dino: own.MinDino = 0.5,
    min_judge: own.MinJudge = 0.7,
    max_unsafe: own.MaxUnsafe = 0.5,
    keep: own.KeepPairs = 4,
    workers: own.Workers = None,
    engine: opt.Engine = "local",
    shard: opt.Shard = None,
    redo: opt.Redo = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
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

    output, config = Output(json=json, quiet=quiet), workers_of(workers, engine, shard)
    thresholds = Thresholds(
        image=min_image,
        direction=min_direction,
        text=min_text,
        min_change=min_change,
        max_change=max_change,
        structure=min_structure,
        dino=min_dino,
        judge=min_judge,
        unsafe=max_unsafe,
        keep=keep,
    )
    scorers = ScorerConfig(
        clip=find_clip(clip),
        dino=dino,
        safety=safety,
        judge=VisionJudge(url=judge, model=judge_model) if judge is not None else None,
        device=device,
        batch=batch_size,
    )
    pairs, scores = Shards(folder=data / "pairs", format="tar"), Shards(folder=data / "scores")
    tasks = tasks_of(pairs)
    chosen = any(flag is not None for flag in (clip, dino, safety, judge))
    if chosen or redo or not _finished(scores, tasks):
        scores.begin(scorers.settings(), redo=redo)
        if scorers.clip is None:
            output.say("no CLIP here: change is measured, which knows nothing of the words (--clip FOLDER)")
        run_shown(scores, tasks, ScorePairs(pairs=pairs, scores=scores, config=scorers), config, output, redo=redo)
    _select(data, scores, thresholds, config, output)


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
