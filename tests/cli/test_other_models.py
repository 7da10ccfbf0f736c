"""`ip2p edit` with models of other shapes: SDXL's through our loop, the others through adapters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.cli.ip2p import Run, pixels

QUICK = ("--steps", 2, "--resolution", 64, "--seed", 1, "-o", "out.png")


@pytest.fixture(scope="module")
def kontext(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.tiny_kontext import save_kontext

    return save_kontext(tmp_path_factory.mktemp("kontext") / "tiny-kontext")


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.tiny_qwen import save_qwen

    return save_qwen(tmp_path_factory.mktemp("qwen") / "tiny-qwen")


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from ip2p_cli.diffusion.samplers import make_scheduler
    from tests.tiny_xl import XL_SCHEDULER, save_xl_editor, tiny_xl_editor

    scheduler = make_scheduler("euler", XL_SCHEDULER, 2)
    return save_xl_editor(tiny_xl_editor(), tmp_path_factory.mktemp("sdxl") / "tiny-sdxl", scheduler)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kontext", "qwen", "sdxl"])
def test_edit_and_replay(ip2p: Run, photo: Path, name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    done = ip2p("edit", photo, "make it winter", "--model", model, *QUICK, tiny=False)
    assert done.code == 0, done.err
    assert pixels("out.png").shape == (65, 97, 3)
    again = ip2p("replay", "out.png", "--model", model, tiny=False)
    assert again.code == 0, again.err
    assert "the same pixels" in again.err


def test_a_setting_that_the_model_lacks(ip2p: Run, photo: Path, kontext: Path) -> None:
    done = ip2p("edit", photo, "winter", "--model", kontext, "--cfg-image", 1.5, *QUICK, tiny=False)
    assert done.code == 2
    assert "--cfg-image 1.5" in done.err
    assert not Path("out.png").exists()


def test_a_scale_that_the_model_lacks(ip2p: Run, photo: Path, qwen: Path) -> None:
    done = ip2p("edit", photo, "winter", "--model", qwen, "--cfg-text", 0.5, *QUICK, tiny=False)
    assert done.code == 2
    assert "give a number from 1 to 100" in done.err
    assert not Path("out.png").exists()


def test_offload_without_a_gpu(ip2p: Run, photo: Path, kontext: Path) -> None:
    for more, tiny in (((), True), (("--model", kontext, *QUICK), False)):
        done = ip2p("edit", photo, "winter", "--device", "cpu", "--offload", "model", *more, tiny=tiny)
        assert done.code == 6
        assert "needs a GPU" in done.err


def test_a_step_down_is_said(ip2p: Run, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import UNet2DConditionModel

    forward = UNet2DConditionModel.forward

    def short(self: UNet2DConditionModel, sample: torch.Tensor, *args: object, **kwargs: object) -> object:
        if len(sample) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, sample, *args, **kwargs)

    monkeypatch.setattr(UNet2DConditionModel, "forward", short)
    done = ip2p("edit", photo, "make it winter", "-o", "out.png")
    assert done.code == 0, done.err
    assert "one prediction at a time" in done.err
