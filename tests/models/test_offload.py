"""Offloading: each part where it should be, and the same results. Here the CPU stands in for the GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ip2p_cli.errors import DeviceError
from ip2p_cli.models.offload import offload, place, placement
from ip2p_cli.types import OffloadName
from tests.edits import one_edit
from tests.tiny import tiny_editor
from tests.tiny_xl import tiny_xl_editor

pytestmark = pytest.mark.numeric


@pytest.mark.parametrize("make", [tiny_editor, tiny_xl_editor])
def test_every_placement_gives_the_same_picture(make: Any) -> None:
    editor = make()
    expected = one_edit(editor)
    places: tuple[OffloadName, ...] = ("model", "sequential", "none")
    for how in places:
        place(editor, how)
        assert placement(editor) == how
        torch.testing.assert_close(one_edit(editor), expected, atol=1e-6, rtol=0)
    assert not hasattr(editor.unet.conv_in, "_hf_hook")


def test_sequential_keeps_no_weights_in_the_modules() -> None:
    editor = tiny_editor()
    place(editor, "sequential")
    assert {weight.device.type for weight in editor.unet.parameters()} == {"meta"}
    one_edit(editor)
    assert {weight.device.type for weight in editor.unet.parameters()} == {"meta"}


def test_each_part_sends_away_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    editor = tiny_xl_editor()
    place(editor, "model")
    hooks = {name: getattr(editor, name)._hf_hook for name in ("text_encoder", "text_encoder_2", "unet", "vae")}
    before = {name: hook.prev_module_hook.model for name, hook in hooks.items()}
    assert before["text_encoder"] is editor.vae
    assert before["text_encoder_2"] is editor.text_encoder
    assert before["unet"] is editor.text_encoder_2
    assert before["vae"] is editor.unet


@pytest.mark.parametrize("how", ["model", "sequential"])
def test_without_a_gpu_it_is_refused(how: OffloadName) -> None:
    editor = tiny_editor()
    with pytest.raises(DeviceError, match=f"--offload {how} needs a GPU"):
        offload(editor, how)
    assert placement(editor) == "none"
    offload(editor, "none")
