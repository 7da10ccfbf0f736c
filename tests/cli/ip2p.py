"""Running the command in this process: arguments in; files, stdout, stderr and exit code out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from ip2p_cli.cli.app import main


class Done(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Done]


def pixels(path: Path | str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def some_photo(width: int = 97, height: int = 65, shift: int = 0) -> Image.Image:
    """A picture of gradients, another one for each `shift`."""
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 2 + shift, y * 3, (x + y + shift) % 64 * 3], axis=-1).astype(np.uint8))


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path, tiny_folder: Path) -> Run:
    """Runs the command with a home of its own and, unless tiny=False, a tiny model that two steps suffice for."""
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(home))
    for name in ("IP2P_MODEL", "IP2P_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("IP2P_OFFLINE", "1")

    def run(*words: object, tiny: bool = True) -> Done:
        arguments = [str(word) for word in words]
        if tiny:
            arguments += ["--model", str(tiny_folder), "--steps", "2", "--resolution", "64"]
        monkeypatch.setattr(sys, "argv", ["ip2p", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return Done(int(end.value.code or 0), said.out, said.err)

    return run
