"""What is set on CUDA, tried on the CPU: that results stay, and what is compiled."""

from __future__ import annotations

import torch

from ip2p_cli.models.cuda import compile_blocks, tune
from tests.tiny import tiny_editor, tiny_unet


def test_channels_last_changes_nothing_but_the_layout() -> None:
    editor = tiny_editor()
    inputs = torch.randn(2, 8, 16, 8, generator=torch.Generator().manual_seed(1)), torch.tensor(500.0)
    states = torch.ones(2, 77, 32)
    with torch.no_grad():
        before = editor.unet(*inputs, encoder_hidden_states=states)[0]
        tune(editor, compiled=False)
        after = editor.unet(*inputs, encoder_hidden_states=states)[0]
    assert editor.unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(before, after, atol=1e-4)


def test_the_transformer_blocks_are_compiled_and_nothing_else() -> None:
    unet = tiny_unet()
    compile_blocks(unet, "eager")
    compiled = {type(module).__name__ for module in unet.modules() if module._compiled_call_impl is not None}
    assert compiled == {"BasicTransformerBlock"}
