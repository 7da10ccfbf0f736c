"""`ip2p gen-data filter DATA`: scores, then what to keep by them, then a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.gen_data import options as own
from ip2p_cli.cli.output import Output

if TYPE_CHECKING:
    from ip2p_cli.datagen.filter_report import Summary
    from ip2p_cli.datagen.scores import Measures
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

    Scores stay: with other bounds the same command only decides anew. Without CLIP, change is measured, which knows
    nothing of the words; the report says so.
    """
    from ip2p_cli.cli.gen_data.running import workers_of
    from ip2p_cli.datagen.judge import VisionJudge
    from ip2p_cli.datagen.scores import Measures
    from ip2p_cli.datagen.selection import Thresholds
    from ip2p_cli.models.clip import find_clip

    output, hands = Output(json=json, quiet=quiet), workers_of(workers, engine, shard)
    bounds = Thresholds(
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
    measures = Measures(
        clip=find_clip(clip),
        dino=dino,
        safety=safety,
        judge=VisionJudge(url=judge, model=judge_model) if judge is not None else None,
        device=device,
        batch=batch_size,
    )
    said = any(flag is not None for flag in (clip, dino, safety, judge))
    filter_data(data, measures, bounds, hands, output, said=said, redo=redo)


def filter_data(
    data: Path,
    measures: Measures,
    bounds: Thresholds,
    hands: WorkerConfig,
    output: Output,
    *,
    said: bool = True,
    redo: bool = False,
) -> None:
    """The stage as `ip2p gen-data run` calls it too. said: whether what to score with was said; else scores stay."""
    from ip2p_cli.cli.gen_data.running import run_shown
    from ip2p_cli.datagen.scores import Scoring
    from ip2p_cli.datagen.stages import tasks_of
    from ip2p_cli.io.shards import Shards

    pairs, scores = Shards(folder=data / "pairs", kind="tar"), Shards(folder=data / "scores")
    tasks = tasks_of(pairs)
    if said or redo or not _whole(scores, tasks):
        scores.begin(measures.settings(), redo=redo)
        if measures.clip is None:
            output.say("no CLIP here: change is measured, which knows nothing of the words (--clip FOLDER)")
        run_shown(scores, tasks, Scoring(pairs=pairs, scores=scores, measures=measures), hands, output, redo=redo)
    _keep(data, scores, bounds, hands, output)


def _keep(data: Path, scores: Shards, bounds: Thresholds, hands: WorkerConfig, output: Output) -> None:
    """Decide anew wherever scores or bounds are others than before: that is cheap."""
    from ip2p_cli.cli.gen_data.running import run_shown
    from ip2p_cli.datagen.filter_report import report_page, summarise
    from ip2p_cli.datagen.selection import Keeping
    from ip2p_cli.datagen.stages import Task
    from ip2p_cli.io.files import write_whole
    from ip2p_cli.io.shards import Shards

    kept, measured = Shards(folder=data / "kept"), scores.about() or {}
    keeping = Keeping(scores=scores, kept=kept, gates=bounds.gates(measured), keep=bounds.keep)
    settings = bounds.settings(measured)
    kept.begin(settings, redo=kept.about() not in (None, settings))
    # A shard of pairs that could not be scored has no scores: it keeps its number.
    tasks = [Task(number=n, digest=marker.sha256, source=n) for n, marker in scores.done().items()]
    run_shown(kept, tasks, keeping, hands, output, redo=True)
    if not _whole(kept, tasks):
        output.say("the report comes with the last part")
        return
    told = summarise(keeping, [task.source for task in tasks], measured)
    page = data / "report" / "filter.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    write_whole(page, report_page(data, told, keeping), overwrite=True)
    _tell(told, page, output)


def _tell(told: Summary, page: Path, output: Output) -> None:
    from ip2p_cli.cli.gen_data.tables import table_text

    share: dict[str, Any] = {"stage": "filter", "output": str(page), **told.data()}
    rows = [[str(row[0]), *(f"{value:.1%}" for value in row[1:])] for row in told.rates()]
    output.data(table_text(told.head(), rows), share)
    output.say(f"{told.kept.total()} of {told.pairs} pairs kept, measured by {told.measure}: {page}")


def _whole(shards: Shards, tasks: list[Task]) -> bool:
    """Whether every shard is there and made of what there is now."""
    done = shards.done()
    return all(task.number in done and done[task.number].source == task.digest for task in tasks)
