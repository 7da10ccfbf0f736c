"""Libraries print nothing while a model loads, and threads load one model after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from ip2p_cli.models.library_logging import loading, quiet
from ip2p_cli.models.loader import load_editor
from ip2p_cli.models.registry import find_model
from ip2p_cli.models.subject.finding import subject_net


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


def test_models_that_threads_load_at_once_have_their_weights() -> None:
    subject_net.cache_clear()
    together = threading.Barrier(3)

    def devices(load: Callable[[], torch.nn.Module]) -> set[str]:
        together.wait()
        return {parameter.device.type for parameter in load().parameters()}

    def nano() -> torch.nn.Module:
        unet: torch.nn.Module = load_editor(find_model("nano"), device="cpu", dtype="fp32").unet
        return unet

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(devices, [nano, nano, subject_net])) == [{"cpu"}] * 3
    assert torch.nn.Linear(2, 2).weight.device.type == "cpu"


def test_a_thread_waits_while_another_one_loads() -> None:
    entered = threading.Event()

    def load() -> None:
        with loading("it", "try again"):
            entered.set()

    thread = threading.Thread(target=load)
    with loading("it", "try again"):
        thread.start()
        assert not entered.wait(0.2)
    thread.join()
    assert entered.is_set()
