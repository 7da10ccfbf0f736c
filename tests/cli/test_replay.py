"""`ip2p replay`: the same pixels, or what is another than then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file

from ip2p_cli.editing.replay import read_recorded
from ip2p_cli.io.provenance import read_record, write_sidecar
from tests.cli.ip2p import Done, Run, pixels, some_photo


@pytest.fixture
def replay(ip2p: Run, tiny_folder: Path) -> Run:
    """Runs `ip2p replay` with the tiny model, as its record alone cannot say where that lies."""

    def run(*words: object) -> Done:
        return ip2p("replay", *words, "--model", tiny_folder, tiny=False)

    return run


def test_nothing_changed_gives_the_same_pixels(ip2p: Run, replay: Run, photo: Path) -> None:
    ip2p("edit", photo, "winter", "-o", "out.png", "--seed", 7)
    done = replay("out.png")
    assert done.code == 0, done.err
    assert done.out == "out-replay.png\n"
    assert "the same pixels" in done.err
    assert (pixels("out.png") == pixels("out-replay.png")).all()


@pytest.mark.parametrize("ending", ["jpg", "webp", "tiff"])
def test_other_formats_too(ip2p: Run, replay: Run, photo: Path, ending: str) -> None:
    ip2p("edit", photo, "winter", "-o", f"out.{ending}", "--seed", 7, "--quality", 70)
    done = replay(f"out.{ending}")
    assert "the same pixels" in done.err


def test_an_item_of_a_batch_too(ip2p: Run, replay: Run, photo: Path) -> None:
    for number in range(3):
        some_photo(shift=number * 30).save(f"p{number}.png")
    ip2p("edit", "p0.png", "p1.png", "p2.png", "winter", "-o", "out/", "--batch-size", 3)
    for number in range(3):
        done = replay(f"out/p{number}-winter.png", "-o", f"r{number}.png")
        assert "the same pixels" in done.err
        assert (pixels(f"out/p{number}-winter.png") == pixels(f"r{number}.png")).all()


def test_a_changed_setting_is_named(ip2p: Run, replay: Run, photo: Path) -> None:
    ip2p("edit", photo, "winter", "-o", "out.png", "--seed", 7)
    done = replay("out.png", "--set", "steps=3", "--set", "cfg-text=2.5", "--json")
    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert said["steps"] == 3
    assert said["differences"] == ["steps: 2 then, 3 now", "cfg_text: 7.5 then, 2.5 now"]
    assert said["largest_difference"] > 0


def test_another_photo_is_said(ip2p: Run, replay: Run, photo: Path) -> None:
    ip2p("edit", photo, "winter", "-o", "out.png", "--seed", 7)
    some_photo(shift=50).save("other.png")
    done = replay("out.png", "--input", "other.png")
    assert "the photo is another one" in done.err


def test_the_photo_is_found_from_elsewhere(
    ip2p: Run, replay: Run, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("deep").mkdir()
    ip2p("edit", photo, "winter", "-o", "deep/", "--seed", 7)
    monkeypatch.chdir("deep")
    assert "the same pixels" in replay("photo-winter.png").err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["photo.png"], 3, "no record"),
        (["missing.png"], 3, "missing.png"),
        (["out.png", "--set", "stpes=3"], 2, "steps"),
        (["out.png", "--set", "steps"], 2, "NAME=VALUE"),
        (["out.png", "--set", "steps=many"], 2, "steps"),
        (["out.png", "--input", "gone.png"], 3, "gone.png"),
        (["out.png", "-o", "out.png"], 4, "--overwrite"),
    ],
)
def test_nonsense(ip2p: Run, replay: Run, photo: Path, words: list[str], code: int, said: str) -> None:
    ip2p("edit", photo, "winter", "-o", "out.png", "--seed", 7)
    done = replay(*words)
    assert done.code == code
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_a_lost_photo_says_how_to_name_it(ip2p: Run, replay: Run, photo: Path) -> None:
    ip2p("edit", photo, "winter", "-o", "out.png")
    photo.unlink()
    done = replay("out.png")
    assert done.code == 3
    assert "--input" in done.err


def test_a_model_that_is_a_folder_must_be_named(ip2p: Run, photo: Path) -> None:
    ip2p("edit", photo, "winter", "-o", "out.png")
    done = ip2p("replay", "out.png", tiny=False)
    assert done.code == 5
    assert "--model" in done.err


@pytest.mark.parametrize("model", ["someone/their-model", "instruct-pix2pix", "/etc", "a\nb\x1b[2J", "x.ckpt", ""])
def test_a_record_opens_and_fetches_no_model_of_its_own_choice(
    ip2p: Run, photo: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setattr("ip2p_cli.cli.replay.choose", lambda *_: pytest.fail("it was opened"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "/nowhere")
    monkeypatch.delenv("IP2P_OFFLINE")
    record = {"ip2p": "1", "model": model, "instruction": "make it winter", "steps": 1}
    write_sidecar(photo, record)
    done = ip2p("replay", photo, tiny=False)
    assert done.code == 5
    assert "--model" in done.err
    assert "--yes" in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_with_yes_a_record_may_name_its_model(ip2p: Run, photo: Path, tiny_folder: Path) -> None:
    ip2p("edit", photo, "winter", "-o", "out.png", "--seed", 7)
    record = read_record(Path("out.png"))
    assert record is not None
    write_sidecar(photo, {**record, "model": str(tiny_folder)})
    assert ip2p("replay", photo, tiny=False).code == 5
    done = ip2p("replay", photo, "--yes", "--input", photo, "-o", "again.png", tiny=False)
    assert done.code == 0, done.err


@pytest.mark.parametrize("batch", ["1/1024", "3/2", "0/1", "a/b", "1/2/3", 7, None, "1/64"])
def test_a_batch_in_a_record_is_bounded(batch: object) -> None:
    record = {"ip2p": "1", "model": "nano", "instruction": "make it winter", "batch": batch}
    [recorded] = read_recorded(Path("a.png"), record)
    assert (recorded.place, recorded.batch_size) == ((1, 64) if batch == "1/64" else (1, 1))


@pytest.mark.parametrize(
    "more",
    [
        {"parents": 7, "chain": {"edit": 1}},
        {"parents": {"a": 1}, "chain": {"edit": 2}},
        {"best_of": {"seeds": ["x"]}, "seed": 1},
        {"best_of": {"seeds": [None]}, "seed": None},
        {"best_of": {"seeds": [-1]}, "seed": -1},
        {"memory": {"max_rows": "many", "tiling": 3, "offload": []}, "input": "x" * 300, "input_path": "a\0b"},
        {"instruction": "a" * 70_000},
        {"instruction": "a\ud800"},
        {"steps": [[]]},
        {"steps": 10**400},
    ],
)
def test_a_record_of_another_shape(ip2p: Run, photo: Path, more: dict[str, Any]) -> None:
    write_sidecar(photo, {"ip2p": "1", "model": "nano", "instruction": "make it winter", **more})
    done = ip2p("replay", photo, "--input", "gone.png", tiny=False)
    assert done.code in (2, 3)
    assert "unexpected" not in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_what_memory_was_too_short_for_is_not_tried_again(
    ip2p: Run, replay: Run, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    forward = UNet2DConditionModel.forward

    def short_of_memory(self: Any, sample: torch.Tensor, *args: Any, **more: Any) -> Any:
        calls.append(len(sample))
        if len(sample) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, sample, *args, **more)

    with monkeypatch.context() as context:
        context.setattr(UNet2DConditionModel, "forward", short_of_memory)
        ip2p("edit", photo, "winter", "-o", "out.png", "--seed", 7)
    assert calls[:2] == [3, 1]
    record = json.loads(ip2p("show", "out.png", "--json", tiny=False).out)
    assert record["memory"] == {"max_rows": 1, "tiling": False, "offload": "none"}
    rows: list[int] = []
    monkeypatch.setattr(
        UNet2DConditionModel, "forward", lambda self, x, *a, **m: (rows.append(len(x)), forward(self, x, *a, **m))[1]
    )
    done = replay("out.png")
    assert "the same pixels" in done.err
    assert set(rows) == {1}


def test_a_lora_must_be_named_again(ip2p: Run, replay: Run, photo: Path) -> None:
    layer = "lora_unet_mid_block_attentions_0_proj_in"
    tensors = {f"{layer}.lora_down.weight": torch.ones(1, 32, 1, 1), f"{layer}.lora_up.weight": torch.ones(32, 1, 1, 1)}
    save_file(tensors, "style.safetensors")
    ip2p("edit", photo, "winter", "-o", "out.png", "--seed", 7, "--lora", "style.safetensors:0.5")
    done = replay("out.png")
    assert done.code == 2
    assert "say where they are, e.g. --lora style.safetensors:0.5" in done.err
    assert "the same pixels" in replay("out.png", "--lora", "style.safetensors:0.5").err
    assert "loras: ['style.safetensors:0.5'] then" in replay("out.png", "--lora", "style.safetensors:1").err


def test_a_negative_prompt_is_recorded_and_replayed(ip2p: Run, photo: Path, replay: Run) -> None:
    for name, words in (("plain", []), ("negative", ["--negative-prompt", "blurry"])):
        assert ip2p("edit", photo, "winter", "-o", f"{name}.png", "--seed", 7, *words).code == 0
    assert (pixels("plain.png") != pixels("negative.png")).any()
    record = json.loads(ip2p("show", "negative.png", "--json", tiny=False).out)
    assert record["negative_prompt"] == "blurry"
    assert "the same pixels" in replay("negative.png").err
    refused = ip2p("edit", photo, "winter", "--negative-prompt", "x", "--cfg-text", 1, "--cfg-image", 1)
    assert (refused.code, "has no effect" in refused.err) == (2, True)


def test_the_photo_is_found_from_another_folder(
    ip2p: Run, photo: Path, replay: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("photos").mkdir()
    photo.rename("photos/a.png")
    assert ip2p("edit", "photos/a.png", "winter", "-o", "r1.png", "--seed", 7).code == 0
    picture = Path("r1.png").absolute()
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert "the same pixels" in replay(picture).err
