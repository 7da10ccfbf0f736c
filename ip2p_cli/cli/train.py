"""`ip2p train --config RECIPE --data looks:FOLDER|DATASET --out RUN`."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.output import Output
from ip2p_cli.cli.stopping import end_at_once


def train(
    config: Annotated[Path, typer.Option("--config", "-c", help="A training recipe, e.g. recipes/train-nano.yaml.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the run: checkpoints, grids, log, model.")],
    data: Annotated[
        str | None,
        typer.Option(help="looks:FOLDER paints looks on its photos; or a dataset of ip2p gen-data, in any layout."),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(help="A folder with a sentence encoder that teaches the text encoder of a model from scratch."),
    ] = None,
    subjects: Annotated[
        Path | None,
        typer.Option(help="A folder with masks of the photos' subjects, for looks in a region; white is the subject."),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads. Default: one for each core.")] = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Train an InstructPix2Pix model, as in the paper; a run that was stopped goes on from its last checkpoint.

    Ctrl-C or SIGTERM stops it after the current step, with a checkpoint; a second one stops it at once.
    On several GPUs: `accelerate launch -m ip2p_cli train …`.
    """
    from ip2p_cli.io.train_recipes import read_train_recipe, with_overrides

    main = os.environ.get("RANK", "0") == "0"  # of the processes of `accelerate launch` one prints
    output = Output(json=json, quiet=quiet or not main)
    recipe = with_overrides(read_train_recipe(config), data=data, teacher=teacher, subjects=subjects)
    import torch

    from ip2p_cli.training.train import train as run_training

    if threads:
        torch.set_num_threads(threads)
    last = None
    with _Stop(output) as stop, output.progress(f"training {recipe.name}") as bar:
        for last in run_training(recipe, out, stop=stop, say=output.say):
            bar(last.step, last.total)
            if last.grid is not None:
                output.say(f"step {last.step} of {last.total}, loss {last.loss:.4f}, {last.grid}")
    if stop.is_requested and (last is None or last.step < last.total):
        where = f"after step {last.step} of {last.total}" if last else "before its first step"
        output.say(f"stopped {where}; the same command goes on from there.")
        raise typer.Exit(130)
    model = out / "model"
    if main:
        output.result(f'{model}: trained; ip2p edit in.jpg "make it winter" --model {model}', {"output": str(model)})


class _Stop:
    """Tells, when called, whether a signal has asked the run to stop.

    From the first call on, a first signal is a request; before it, while the starting model is built, there is nothing
    to save and a signal ends the command. A second signal ends it at once, except under `accelerate launch`, which
    repeats the user's signal to its processes and kills them after a while.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, output: Output) -> None:
        """Tell the user through `output` what happens next."""
        self.is_requested = False
        self._output = output
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> _Stop:
        return self

    def __call__(self) -> bool:
        if not self._before:
            self._before = {number: signal.signal(number, self._request) for number in self._SIGNALS}
        return self.is_requested

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.is_requested and int(os.environ.get("WORLD_SIZE", "1")) == 1:
            end_at_once(number)
        if not self.is_requested:
            self.is_requested = True
            self._output.say("stopping after this step, with a checkpoint; once more: at once, without one.")
