"""`ip2p train --config RECIPE --data looks:FOLDER|DATASET --out RUN`."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import FrameType, TracebackType
from typing import Annotated, Any

import typer

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.output import Output


def train(
    config: Annotated[Path, typer.Option("--config", "-c", help="A training recipe, e.g. recipes/train-nano.yaml.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the run: checkpoints, grids, log, the model.")],
    data: Annotated[
        str | None,
        typer.Option(help="looks:FOLDER paints looks on its photos; or a dataset of ip2p gen-data, in any layout."),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(help="A sentence encoder to teach a fresh text encoder: a folder, transformers layout."),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads. Default: one a core.")] = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Train an InstructPix2Pix model, as in the paper; a run that was stopped goes on from its last checkpoint.

    Ctrl-C or SIGTERM stops it after the step in hand, with a checkpoint; a second one stops it at once.
    On several GPUs: `accelerate launch -m ip2p_cli train …`.
    """
    from ip2p_cli.io.train_recipes import read_train_recipe, with_overrides

    main = os.environ.get("RANK", "0") == "0"  # of the processes of `accelerate launch` one speaks
    output = Output(json=json, quiet=quiet or not main)
    recipe = with_overrides(read_train_recipe(config), data=data, teacher=teacher)
    import torch

    from ip2p_cli.training.train import train as run

    if threads:
        torch.set_num_threads(threads)
    last = None
    with _Stop(output) as stop, output.progress(f"training {recipe.name}") as bar:
        for last in run(recipe, out, stop=stop, say=output.say):
            bar(last.step, last.total)
            if last.grid is not None:
                output.say(f"step {last.step} of {last.total}, loss {last.loss:.4f}, {last.grid}")
    if stop.asked and (last is None or last.step < last.total):
        where = f"after step {last.step} of {last.total}" if last else "before its first step"
        output.say(f"stopped {where}; the same command goes on from there.")
        raise typer.Exit(130)
    model = out / "model"
    if main:
        output.result(f'{model}: trained; ip2p edit in.jpg "make it winter" --model {model}', {"output": str(model)})


class _Stop:
    """Whether the user has asked for the end; from the first question on, a signal is a request and not the end.

    Before it, while the start is built, there is nothing to save. A second signal ends at once, except under
    `accelerate launch`, which repeats the user's signal to its processes and kills them after a while.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, output: Output) -> None:
        """`output`: where the user is told what happens next."""
        self.asked = False
        self._output = output
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> _Stop:
        return self

    def __call__(self) -> bool:
        if not self._before:
            self._before = {number: signal.signal(number, self._ask) for number in self._SIGNALS}
        return self.asked

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and int(os.environ.get("WORLD_SIZE", "1")) == 1:
            raise KeyboardInterrupt
        if not self.asked:
            self.asked = True
            self._output.say("stopping after this step, with a checkpoint; once more: at once, without one.")
