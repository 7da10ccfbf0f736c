"""LoRA and VAE: the fused weights are W + weight * alpha/rank * B A, whatever the file calls them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from ip2p_cli.diffusion import editing
from ip2p_cli.errors import ModelError, UsageError
from ip2p_cli.models.loader import Editor, load_editor
from ip2p_cli.models.lora import fuse, parse_lora
from ip2p_cli.models.registry import find_model
from ip2p_cli.types import Lora
from tests import original

pytestmark = pytest.mark.numeric

QUERY = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
OUT = "up_blocks.1.attentions.1.transformer_blocks.0.attn2.to_out.0"
POINTWISE = "down_blocks.0.attentions.0.proj_in"
CONV = "down_blocks.1.resnets.0.conv1"
DOWN = "down_blocks.0.downsamplers.0.conv"
UP = "up_blocks.0.upsamplers.0.conv"
TIME = "time_embedding.linear_1"
UNET = (QUERY, OUT, POINTWISE, CONV, DOWN, UP, TIME, "conv_in", "mid_block.resnets.1.conv2")
TEXT = ("text_model.encoder.layers.0.self_attn.q_proj", "text_model.encoder.layers.1.mlp.fc1")
RANK = 2

Pairs = dict[tuple[str, str], tuple[torch.Tensor, torch.Tensor]]


def weight_of(model: Any, name: str) -> torch.Tensor:
    modules = dict(model.named_modules())
    return modules[name if name in modules else name.removeprefix("text_model.")].weight


def pairs_for(editor: Editor, seed: int = 0) -> Pairs:
    """(model, layer) -> (A, B), in the shapes of the layer."""
    generator = torch.Generator().manual_seed(seed)
    pairs = {}
    for model, names in (("unet", UNET), ("text_encoder", TEXT)):
        for name in names:
            out, *rest = weight_of(getattr(editor, model), name).shape
            ones = [1] * (len(rest) - 1)
            down = torch.randn(RANK, *rest, generator=generator) * 0.1
            pairs[model, name] = down, torch.randn(out, RANK, *ones, generator=generator) * 0.1
    return pairs


def fused(editor: Editor, *loras: Lora) -> Editor:
    changed = copy.deepcopy(editor)
    for lora in loras:
        fuse(lora, unet=changed.unet, text_encoder=changed.text_encoder)
    return changed


def check(changed: Editor, editor: Editor, wanted: dict[tuple[str, str], torch.Tensor]) -> None:
    """Each layer is what it was, plus what is `wanted` for it."""
    for model in ("unet", "text_encoder"):
        parts = dict(getattr(changed, model).named_parameters())
        deltas = {weight_of(getattr(editor, model), name): delta for (of, name), delta in wanted.items() if of == model}
        for name, before in getattr(editor, model).named_parameters():
            expected = before
            for weight, delta in deltas.items():
                if weight is before:
                    expected = before + delta
            torch.testing.assert_close(parts[name].data, expected.data, atol=1e-6, rtol=1e-5)


def products(pairs: Pairs, scale: float) -> dict[tuple[str, str], torch.Tensor]:
    return {key: scale * torch.einsum("or,r...->o...", up.flatten(1), down) for key, (down, up) in pairs.items()}


# --- The same pairs under each tool's names


def kohya(pairs: Pairs, alpha: float | None) -> dict[str, torch.Tensor]:
    tensors = {}
    for (model, name), (down, up) in pairs.items():
        flat = ("lora_unet_" if model == "unet" else "lora_te_") + name.replace(".", "_")
        tensors |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up}
        if alpha is not None:
            tensors[f"{flat}.alpha"] = torch.tensor(alpha)
    return tensors


def kohya_original(pairs: Pairs, alpha: float | None) -> dict[str, torch.Tensor]:
    """A UNet with the authors' names, as kohya has it for SDXL."""
    renamed = {}
    for (model, name), pair in pairs.items():
        if model == "unet":
            name = original.unet_name(f"{name}.weight").removesuffix(".weight")
        renamed[model, name] = pair
    return kohya(renamed, alpha)


def diffusers(pairs: Pairs, alpha: float | None) -> dict[str, torch.Tensor]:
    tensors = {}
    for (model, name), (down, up) in pairs.items():
        tensors |= {f"{model}.{name}.lora_A.weight": down, f"{model}.{name}.lora_B.weight": up}
        if alpha is not None:
            tensors[f"{model}.{name}.alpha"] = torch.tensor(alpha)
    return tensors


def old_diffusers(pairs: Pairs, alpha: float | None) -> dict[str, torch.Tensor]:
    tensors = {}
    for (model, name), (down, up) in pairs.items():
        stem, _, last = name.removesuffix(".0").rpartition(".")
        if stem.endswith(("attn1", "attn2")):
            start = f"{model}.{stem}.processor.{last}_lora"
        elif stem.endswith("self_attn"):
            start = f"{model}.{stem}.to_{last[0]}_lora"
        else:
            start = f"{model}.{name}." + ("lora_linear_layer" if model == "text_encoder" else "lora")
        tensors |= {f"{start}.down.weight": down, f"{start}.up.weight": up}
    return tensors


LAYOUTS: list[tuple[Callable[[Pairs, float | None], dict[str, torch.Tensor]], float | None]] = [
    (kohya, 1.0),
    (kohya, None),
    (kohya_original, 1.0),
    (diffusers, 1.0),
    (diffusers, None),
    (old_diffusers, None),
]


@pytest.mark.parametrize(("layout", "alpha"), LAYOUTS)
def test_fused_is_weight_plus_product(
    tiny_editor: Editor, tmp_path: Path, layout: Callable[..., dict[str, torch.Tensor]], alpha: float | None
) -> None:
    pairs, path = pairs_for(tiny_editor), tmp_path / "style.safetensors"
    save_file(layout(pairs, alpha), path)
    before = copy.deepcopy(tiny_editor.unet.state_dict())
    changed = fused(tiny_editor, Lora(path=path, weight=0.7))
    scale = 0.7 * (1.0 if alpha is None else alpha / RANK)
    check(changed, tiny_editor, products(pairs, scale))
    torch.testing.assert_close(tiny_editor.unet.state_dict(), before)
    assert not any(weight.requires_grad for weight in changed.unet.parameters())


def test_two_add(tiny_editor: Editor, tmp_path: Path) -> None:
    loras, wanted = [], {}
    for number, weight in enumerate((0.5, -1.5)):
        pairs, path = pairs_for(tiny_editor, seed=number), tmp_path / f"{number}.safetensors"
        save_file(kohya(pairs, 1.0), path)
        loras.append(Lora(path=path, weight=weight))
        for key, delta in products(pairs, weight / RANK).items():
            wanted[key] = wanted.get(key, 0) + delta
    check(fused(tiny_editor, *loras), tiny_editor, wanted)


def test_peft_folders(tiny_editor: Editor, tmp_path: Path) -> None:
    pairs = {key: pair for key, pair in pairs_for(tiny_editor).items() if key[0] == "unet"}
    named = {name.replace("unet.", "base_model.model.", 1): t for name, t in diffusers(pairs, None).items()}
    save_file(named, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": RANK, "lora_alpha": 8}))
    check(fused(tiny_editor, Lora(path=tmp_path)), tiny_editor, products(pairs, 8 / RANK))


def test_alpha_in_the_metadata(tiny_editor: Editor, tmp_path: Path) -> None:
    pairs, path = pairs_for(tiny_editor), tmp_path / "pytorch_lora_weights.safetensors"
    stated = {"unet.r": RANK, "unet.lora_alpha": 4, "text_encoder.r": RANK, "text_encoder.lora_alpha": 4}
    save_file(diffusers(pairs, None), path, {"lora_adapter_metadata": json.dumps(stated)})
    check(fused(tiny_editor, Lora(path=tmp_path)), tiny_editor, products(pairs, 4 / RANK))


def test_half_precision_is_summed_in_full(tiny_editor: Editor, tmp_path: Path) -> None:
    pairs, path = pairs_for(tiny_editor), tmp_path / "style.safetensors"
    save_file({name: tensor.half() for name, tensor in kohya(pairs, 1.0).items()}, path)
    halved = copy.deepcopy(tiny_editor)
    halved.unet.bfloat16()
    changed = fused(halved, Lora(path=path))
    down, up = (tensor.half().float() for tensor in pairs["unet", QUERY])
    expected = (weight_of(halved.unet, QUERY).float() + up @ down / RANK).bfloat16()
    assert torch.equal(weight_of(changed.unet, QUERY), expected)


def test_it_is_loaded_with_the_model(tiny_editor: Editor, tiny_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "style.safetensors"
    save_file(kohya(pairs_for(tiny_editor), 1.0), path)
    lora = Lora(path=path, weight=2.0)
    editor = load_editor(find_model(str(tiny_folder)), device="cpu", dtype="fp32", loras=[lora])
    wanted = fused(tiny_editor, lora)
    torch.testing.assert_close(editor.unet.state_dict(), wanted.unet.state_dict())
    text = editing.encode_text(editor, ["make it winter"])
    torch.testing.assert_close(text, editing.encode_text(wanted, ["make it winter"]))
    assert not torch.allclose(text, editing.encode_text(tiny_editor, ["make it winter"]))


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (
            {"lora_unet_down_blocks_9_x.lora_down.weight": torch.zeros(2, 4)},
            "down_blocks_9_x, which the model does not",
        ),
        ({"lora_te2_text_model_x.lora_down.weight": torch.zeros(2, 4)}, "lora_te2_text_model_x"),
        ({"transformer.blocks.0.lora_A.weight": torch.zeros(2, 4)}, "transformer.blocks.0"),
        ({"lora_unet_conv_in.hada_w1_a": torch.zeros(2, 4)}, "no plain LoRA"),
        ({"lora_unet_conv_in.lora_down.weight": torch.zeros(2, 8, 3, 3)}, "lacks one of the two"),
        (
            {
                "lora_unet_conv_in.lora_down.weight": torch.zeros(2, 4, 3, 3),
                "lora_unet_conv_in.lora_up.weight": torch.zeros(16, 2, 1, 1),
            },
            "at lora_unet_conv_in it has 16 x 36 weights, the model has 16 x 72",
        ),
        ({"conv_in.weight": torch.zeros(2, 2)}, "no plain LoRA"),
        (
            {
                "lora_unet_conv_in.lora_down.weight": torch.tensor(1.0),
                "lora_unet_conv_in.lora_up.weight": torch.ones(1),
            },
            "lacks one of the two",
        ),
    ],
)
def test_what_does_not_fit_is_named(
    tiny_editor: Editor, tmp_path: Path, tensors: dict[str, torch.Tensor], said: str
) -> None:
    path = tmp_path / "style.safetensors"
    good = kohya(pairs_for(tiny_editor), 1.0)
    good.pop("lora_unet_conv_in.alpha")
    save_file({name: t for name, t in good.items() if not name.startswith("lora_unet_conv_in")} | tensors, path)
    changed = copy.deepcopy(tiny_editor)
    with pytest.raises(ModelError, match=said) as caught:
        fuse(Lora(path=path), unet=changed.unet, text_encoder=changed.text_encoder)
    assert str(path) in str(caught.value)
    torch.testing.assert_close(changed.unet.state_dict(), tiny_editor.unet.state_dict(), atol=0, rtol=0)


def test_files_that_are_none(tiny_editor: Editor, tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing of the kind")
    for path, said in ((tmp_path / "gone.safetensors", "no such file"), (tmp_path, "holds no"), (broken, "damaged")):
        with pytest.raises(ModelError, match=said):
            fuse(Lora(path=path), unet=tiny_editor.unet, text_encoder=tiny_editor.text_encoder)


# --- The flag


@pytest.mark.parametrize(
    ("text", "path", "weight"),
    [
        ("style.safetensors", "style.safetensors", 1.0),
        ("style.safetensors:0.8", "style.safetensors", 0.8),
        ("a:b/style.safetensors:-10", "a:b/style.safetensors", -10.0),
        ("a:b/style.safetensors", "a:b/style.safetensors", 1.0),
        ("a:style.safetensors", "a:style.safetensors", 1.0),
        (r"C:\loras\style.safetensors", r"C:\loras\style.safetensors", 1.0),
        (r"C:\loras\style.safetensors:1e-1", r"C:\loras\style.safetensors", 0.1),
        ("C:style", "C:style", 1.0),
        ("folder/:0", "folder", 0.0),
    ],
)
def test_the_flag(text: str, path: str, weight: float) -> None:
    assert parse_lora(text) == Lora(path=Path(path), weight=weight)


@pytest.mark.parametrize(
    "text", ["", ":1", "a.safetensors:", "a.safetensors:11", "aa:nan", "aa:inf", "a.safetensors:x"]
)
def test_wrong_flags(text: str) -> None:
    with pytest.raises(UsageError, match="--lora"):
        parse_lora(text)


@given(st.floats(-10, 10), st.sampled_from(["s.safetensors", "dir/s", r"D:\a\b.safetensors", "a b"]))
def test_every_weight_comes_back(weight: float, path: str) -> None:
    assert parse_lora(f"{path}:{weight!r}") == Lora(path=Path(path), weight=weight)


# --- Another autoencoder


@pytest.fixture
def vae() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return original.make_vae(scaling_factor=0.5).eval()


def with_vae(tiny_folder: Path, source: object, dtype: str = "fp32") -> Editor:
    return load_editor(find_model(str(tiny_folder)), device="cpu", dtype=dtype, vae=str(source))


def test_a_vae_folder(tiny_folder: Path, tmp_path: Path, vae: Any) -> None:
    vae.save_pretrained(tmp_path / "model" / "vae")
    for source in (tmp_path / "model" / "vae", tmp_path / "model"):
        editor = with_vae(tiny_folder, source)
        torch.testing.assert_close(editor.vae.state_dict(), vae.state_dict())
        assert editor.scaling_factor == 0.5
    assert with_vae(tiny_folder, tmp_path / "model", "fp16").vae.dtype == torch.float16


@pytest.mark.parametrize("names", ["original", "checkpoint", "diffusers", "old diffusers"])
def test_a_vae_file(tiny_folder: Path, tmp_path: Path, vae: Any, names: str) -> None:
    tensors = original.vae_tensors(vae) if names in ("original", "checkpoint") else vae.state_dict()
    if names == "checkpoint":
        tensors = {f"first_stage_model.{name}": tensor for name, tensor in tensors.items()}
    if names == "old diffusers":
        pairs = {"to_q.": "query.", "to_k.": "key.", "to_v.": "value.", "to_out.0.": "proj_attn."}
        for new, old in pairs.items():
            tensors = {name.replace(new, old): tensor for name, tensor in tensors.items()}
    path = tmp_path / "vae.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    editor = with_vae(tiny_folder, path)
    torch.testing.assert_close(editor.vae.state_dict(), vae.state_dict())
    assert editor.scaling_factor == 0.18215  # the model's
    (tmp_path / "config.json").write_text(json.dumps({"scaling_factor": 0.5}))
    assert with_vae(tiny_folder, path).scaling_factor == 0.5


def test_vaes_that_do_not_fit(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IP2P_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    original.make_vae(latent_channels=16).save_pretrained(tmp_path / "deep")
    three = {"down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3}
    original.make_vae(block_out_channels=(32, 32, 32), **three).save_pretrained(tmp_path / "shallow")
    save_file({"a": torch.zeros(2)}, tmp_path / "none.safetensors")
    (tmp_path / "empty").mkdir()
    cases = {
        tmp_path / "deep": "latents have 16 channels, 1/8 of the size; the model's have 4 channels, 1/8",
        tmp_path / "shallow": "1/4 of the size",
        tmp_path / "none.safetensors": "is no autoencoder: it lacks the tensor encoder.conv_in.weight",
        tmp_path / "empty": "holds no config.json",
        tmp_path / "gone": "no such folder",
        tmp_path / "gone.safetensors": "no such file",
        "someone/their-vae": "not on this machine",
    }
    for source, said in cases.items():
        with pytest.raises(ModelError, match=said):
            with_vae(tiny_folder, source)


ODD_METADATA = [
    "[]",
    "7",
    '"text"',
    "null",
    "{",
    "[" * 100_000,
    '{"unet.lora_alpha": "8"}',
    '{"unet.lora_alpha": 1e400}',
]


@pytest.mark.parametrize("said", [*ODD_METADATA, '{"unet.lora_alpha": ' + "9" * 4000 + "}"])
def test_metadata_of_another_shape_is_not_used(tiny_editor: Editor, tmp_path: Path, said: str) -> None:
    pairs, path = pairs_for(tiny_editor), tmp_path / "style.safetensors"
    save_file(diffusers(pairs, None), path, {"lora_adapter_metadata": said})
    check(fused(tiny_editor, Lora(path=path)), tiny_editor, products(pairs, 1))


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("alpha", torch.ones(2)),
        ("alpha", torch.ones(0)),
        ("alpha", torch.tensor(float("nan"))),
        ("alpha", torch.tensor(1j)),
        ("lora_down.weight", torch.ones(0)),
        ("lora_down.weight", torch.tensor(1.0)),
        ("lora_down.weight", torch.ones(0, 32)),
        ("lora_up.weight", torch.ones(2)),
        ("lora_up.weight", torch.ones(32, 2, dtype=torch.complex64)),
        ("lora_up.weight", torch.ones(32, 2, dtype=torch.int8)),
        ("lora_up.weight", torch.ones(32, 2, dtype=torch.float8_e4m3fn)),
    ],
)
def test_a_tensor_of_another_shape_or_type(
    tiny_editor: Editor, tmp_path: Path, name: str, tensor: torch.Tensor
) -> None:
    layer = "lora_unet_mid_block_attentions_0_proj_in"
    plain = {"lora_down.weight": torch.ones(1, 32, 1, 1), "lora_up.weight": torch.ones(32, 1, 1, 1)}
    tensors = {f"{layer}.{key}": value for key, value in {**plain, name: tensor}.items()}
    save_file(tensors, tmp_path / "odd.safetensors")
    with pytest.raises(ModelError, match=r"odd\.safetensors") as caught:
        fused(tiny_editor, Lora(path=tmp_path / "odd.safetensors"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["input_blocks_" + "9" * 5000 + "_1_x", "input_blocks_99_1_x", "conv_norm_out", "\u0663"]
)
def test_a_layer_of_another_name(tiny_editor: Editor, tmp_path: Path, name: str) -> None:
    tensors = {f"lora_unet_{name}.{end}.weight": torch.ones(1, 1) for end in ("lora_down", "lora_up")}
    save_file(tensors, tmp_path / "odd.safetensors")
    with pytest.raises(ModelError):
        fused(tiny_editor, Lora(path=tmp_path / "odd.safetensors"))


@pytest.mark.parametrize("text", ["[]", "[" * 100_000, "{", "7"])
def test_an_adapter_config_of_another_shape(tiny_editor: Editor, tmp_path: Path, text: str) -> None:
    pairs = {key: pair for key, pair in pairs_for(tiny_editor).items() if key[0] == "unet"}
    named = {name.replace("unet.", "base_model.model.", 1): t for name, t in diffusers(pairs, None).items()}
    save_file(named, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(text)
    with pytest.raises(ModelError, match="repair it") as caught:
        fused(tiny_editor, Lora(path=tmp_path))
    assert len(str(caught.value)) < 500
