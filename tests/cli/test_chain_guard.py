"""The drift guard of chains, on nano."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ip2p_cli.diffusion.latents import low_frequencies
from tests.cli.ip2p import Run, pixels

SAMPLES = Path(__file__).parents[2] / "samples"
NANO = ("--model", "nano", "--resolution", 256, "--output-size", "model", "--seed", 1)


@pytest.mark.parametrize(("height", "width"), [(16, 24), (3, 5), (2, 4), (1, 1)])
def test_low_frequencies_keep_means_and_drop_detail(height: int, width: int) -> None:
    flat = torch.full((2, 4, height, width), 3.0)
    torch.testing.assert_close(low_frequencies(flat), flat)
    if min(height, width) > 9:
        checks = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(height // 2, width // 2)[None, None]
        assert low_frequencies(checks).abs().max() < 0.25


@pytest.mark.slow
def test_the_guard_holds_the_colour_and_lets_edits_be(ip2p: Run) -> None:
    with Image.open(SAMPLES / "palace.jpg") as image:
        image.resize((96, 64)).save("in.png")
    Path("r.yaml").write_text(
        "name: x\nguard: low\nedits: [{instruction: sharpen it, cfg_text: 0, repeat: 4}, make it night]\n"
    )
    means = {}  # without guidance by the text, the first four ask for nothing
    for guard in ("none", "low"):
        words = ("chain", "in.png", "r.yaml", "-o", guard, *NANO, *(("--guard", "none") if guard == "none" else ()))
        done = ip2p(*words, tiny=False)
        assert done.code == 0, done.err
        assert json.loads(Path(guard, "in/index.json").read_text())["guard"] == guard
        means[guard] = [pixels(path).mean((0, 1)) for path in sorted(Path(guard, "in").glob("0*.png"))]
    photo = pixels("in.png").mean((0, 1))
    apart = {guard: float(np.linalg.norm(means[guard][3] - photo)) for guard in means}
    assert apart["low"] < 0.5 * apart["none"]
    assert means["low"][4].mean() < means["low"][3].mean() - 20  # night is dark all the same
    changed = ip2p("chain", "in.png", "r.yaml", "-o", "none", *NANO, tiny=False)
    assert (changed.code, "guard none, now low" in changed.err) == (2, True), changed.err
    again = json.loads(ip2p("replay", "low/in/final.png", "--json", tiny=False).out)
    assert (again["largest_difference"], again["differences"]) == (0, [])
