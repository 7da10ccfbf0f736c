"""`--auto-mask`: only what the model itself would edit changes; a global edit is left unmasked, and that is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.cli.ip2p import Run, pixels
from tests.cli.test_masks import changed


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that would edit the left third."""

    def relevance(editor: Any, image: Any, text: Any, **options: Any) -> torch.Tensor:
        height, width = image.tensor.shape[-2:]
        difference = torch.full((height, width), 0.02)
        difference[:, : width // 3] = 1
        return difference

    monkeypatch.setattr("ip2p_cli.editing.engine.relevance", relevance)


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that would edit everything."""
    monkeypatch.setattr(
        "ip2p_cli.editing.engine.relevance", lambda _, image, __, **___: torch.ones(image.tensor.shape[-2:])
    )


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize("mode", ["pad", "crop"])
def test_only_what_the_model_would_edit_changes(ip2p: Run, photo: Path, tiny_folder: Path, mode: str) -> None:
    words = ("edit", photo, "winter", "--auto-mask", "--resize-mode", mode, "--seed", 1)
    done = ip2p(*words, "-o", "out.png", "--save-mask", "mask.png", "--json")
    assert done.code == 0, done.err
    different, mask = changed(photo, "out.png"), pixels("mask.png")[..., 0]
    assert not different[mask == 0].any()
    assert different[mask == 255].mean() > 0.8
    assert (mask[:, :16] > 127).mean() > 0.9
    assert (mask[:, 60:] == 0).all()
    record = json.loads(done.out)["mask"]
    assert (record["auto_mask"], record["auto_by"], record["is_global"]) == (True, "version 1", False)
    again = ip2p("replay", "out.png", "--model", tiny_folder, "-o", "again.png", tiny=False)
    assert "the same pixels" in again.err, again.err
    alone = ip2p("mask", photo, "winter", "--resize-mode", mode, "-o", "alone.png", "--heatmap", "heat.png")
    assert alone.code == 0, alone.err
    assert (pixels("alone.png") == pixels("mask.png")).all()
    assert ip2p(*words[:-1], 2, "-o", "other.png", "--save-mask", "other-mask.png").code == 0
    assert (pixels("other-mask.png") == pixels("mask.png")).all()  # the same for all seeds


@pytest.mark.usefixtures("local")
def test_it_combines_with_boxes_and_inversion(ip2p: Run, photo: Path) -> None:
    words = ("edit", photo, "winter", "--auto-mask", "--seed", 1)
    assert ip2p(*words, "--box", "0,0,100%,50%", "-o", "box.png").code == 0
    different = changed(photo, "box.png")
    assert different[:30, :16].any()
    assert not different[33:].any()
    assert ip2p(*words, "--invert-mask", "-o", "inverted.png").code == 0
    different = changed(photo, "inverted.png")
    assert not different[10:50, :10].any()
    assert different[:, 60:].mean() > 0.8


@pytest.mark.usefixtures("local")
def test_in_batches_chains_and_variants(ip2p: Run, photo: Path) -> None:
    words = ("chain", photo, "--edit", "winter", "--edit", "night", "--auto-mask", "--seed", 1, "-o")
    assert ip2p(*words, "out").code == 0
    assert not changed(photo, "out/photo/final.png")[:, 60:].any()
    index = json.loads(Path("out/photo/index.json").read_text())
    assert [edit["mask"]["is_global"] for edit in index["edits"]] == [False, False]
    assert ip2p(*words, "parts", "--until", 1).code == 0
    assert ip2p(*words, "parts", "--redo").code == 0
    assert (pixels("parts/photo/final.png") == pixels("out/photo/final.png")).all()
    done = ip2p("variants", photo, "winter", "--seeds", 2, "--auto-mask", "-o", "v", "--batch-size", 2)
    assert done.code == 0, done.err
    for line in done.out.split():
        assert not changed(photo, line)[:, 60:].any()


@pytest.mark.usefixtures("everywhere")
def test_a_global_edit_is_left_unmasked(ip2p: Run, photo: Path) -> None:
    words = ("edit", photo, "winter", "--seed", 1)
    done = ip2p(*words, "--auto-mask", "-o", "out.png", "--json")
    assert done.code == 0, done.err
    assert "photo.png: “winter” is a global edit, so --auto-mask leaves it unmasked" in done.err
    assert json.loads(done.out)["mask"]["is_global"] is True
    assert ip2p(*words, "-o", "plain.png").code == 0
    assert (pixels("out.png") == pixels("plain.png")).all()
    alone = ip2p("mask", photo, "winter", "-o", "mask.png")
    assert "is a global edit" in alone.err
    assert (pixels("mask.png") == 255).all()


def test_the_models_own_answer(ip2p: Run, photo: Path) -> None:
    done = ip2p("mask", photo, "winter", "-o", "mask.png", "--heatmap", "heat.png", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["mask"]["is_global"] == bool((pixels("mask.png") == 255).all())
    assert pixels("heat.png").shape == (65, 97, 3)
    assert np.ptp(pixels("heat.png")) > 0
