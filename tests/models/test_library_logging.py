"""Libraries print nothing while a model loads."""

from __future__ import annotations

from pathlib import Path

import pytest
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from ip2p_cli.models.library_logging import quiet


def test_sharded_models_print_no_bars(tiny_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel

    for kind, name in ((UNet2DConditionModel, "unet"), (CLIPTextModel, "text_encoder")):
        model = kind.from_pretrained(str(tiny_folder / name), local_files_only=True)
        model.save_pretrained(tmp_path / name, max_shard_size="100KB")
        assert len(list((tmp_path / name).glob("*.safetensors"))) > 1
        capfd.readouterr()
        with quiet():
            kind.from_pretrained(str(tmp_path / name), local_files_only=True)
        assert capfd.readouterr() == ("", "")


def test_bars_are_as_they_were_afterwards() -> None:
    libraries = (diffusers_logging, transformers_logging)
    before = [library.is_progress_bar_enabled() for library in libraries]
    with quiet():
        assert not any(library.is_progress_bar_enabled() for library in libraries)
    assert [library.is_progress_bar_enabled() for library in libraries] == before
