"""Adding LoRA files to a model's weights.

W += weight * alpha/rank * B A (Hu et al. 2021, arXiv:2106.09685, eq. 3). Files may use the names of kohya and A1111
(`lora_unet_…`, `lora_te_…`), diffusers or peft; layers may be linear or convolutions.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ip2p_cli.errors import ModelError, UsageError
from ip2p_cli.folders import expand_home
from ip2p_cli.models.hub import read_json
from ip2p_cli.models.known_loras import fetch_lora, known_lora
from ip2p_cli.types import Lora

if TYPE_CHECKING:
    import torch

MAX_WEIGHT = 10.0
_MAX_ALPHA = 1e6
# Names of the file in a folder, of diffusers and of peft.
_NAMES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")
# The name of a tensor: the layer's, then how the tool writes the tensor's role.
_NAME = re.compile(
    r"(.*?)(?:(?:\.lora_linear_layer\.|\.lora_|[._]lora\.)(down|up)\.weight|\.lora_([AB])(?:\.default)?\.weight|\.(alpha))"
)
_ROLES = {"A": "down", "B": "up"}
_STARTS = (
    ("base_model.model.", "unet"),
    ("lora_unet_", "unet"),
    ("unet.", "unet"),
    ("lora_te1_", "text_encoder"),
    ("lora_te2_", "text_encoder_2"),
    ("lora_te_", "text_encoder"),
    ("text_encoder.", "text_encoder"),
    ("text_encoder_2.", "text_encoder_2"),
)


def parse_lora(text: str) -> Lora:
    """Parse `PATH[:WEIGHT]`. A colon after a drive's letter, or with a slash after it, belongs to the path.

    Raises:
        UsageError: The path is empty, or the weight is no number from -10 to 10.
    """
    head, colon, tail = text.rpartition(":")
    drive = len(head) == 1 and head.isalpha()
    if not colon or drive or re.search(r"[/\\]", tail) or tail.endswith((".safetensors", ".ckpt", ".pt")):
        head, tail = text, "1"
    if not head.strip():
        raise UsageError(f"--lora {text!r} names no file: give PATH or PATH:WEIGHT, e.g. style.safetensors:0.8")
    try:
        weight = float(tail)
    except ValueError:
        weight = math.nan
    if not -MAX_WEIGHT <= weight <= MAX_WEIGHT:  # also refuses nan
        raise UsageError(f"--lora {text}: the weight {tail!r} should be a number from -10 to 10")
    return Lora(path=expand_home(head), weight=weight)


def lora_text(lora: Lora) -> str:
    """A LoRA as --lora takes it, from wherever it will be used next."""
    path = lora.path if known_lora(lora) is not None else lora.path.absolute()
    return f"{path}:{lora.weight:g}"


def lora_file(lora: Lora) -> Path:
    """The file of `lora`, also where its path is a folder or a name of `known_loras`, which is fetched if need be.

    Raises:
        ModelError: There is none.
    """
    known = known_lora(lora)
    if known is not None:
        return fetch_lora(known)
    if lora.path.is_file():
        return lora.path
    for name in _NAMES:
        if (lora.path / name).is_file():
            return lora.path / name
    if lora.path.is_dir():
        raise ModelError(f"--lora {lora.path}: the folder holds no {' or '.join(_NAMES)}; name the file")
    raise ModelError(f"--lora {lora.path}: there is no such file")


def fuse(lora: Lora, *, unet: Any, text_encoder: Any, text_encoder_2: Any = None) -> None:
    """Add a LoRA to the weights of a model's parts, in place, on their device and in their dtype.

    Raises:
        ModelError: The file cannot be read, is no plain LoRA, or changes a layer that the model does not have with
            that shape. No weight has been changed then.
    """
    file = lora_file(lora)
    parts = {"unet": unet, "text_encoder": text_encoder, "text_encoder_2": text_encoder_2}
    modules = {name: _layers(part) if part is not None else {} for name, part in parts.items()}
    changes = []
    for layer in _read(file, int(getattr(unet.config, "layers_per_block", 2))):
        module = modules[layer.model].get(layer.flat)
        if module is None:
            raise ModelError(
                f"--lora {file} is not for this model: it changes the layer {layer.name}, which the model does not have"
            )
        layer.check(file, module.weight.shape)
        changes.append((module, layer))
    import torch

    with torch.no_grad():
        for module, layer in changes:
            old = module.weight
            delta = layer.delta(old.shape) * lora.weight
            summed = (old.float() + delta.to(old.device)).to(old.dtype)
            module.weight = torch.nn.Parameter(summed, requires_grad=old.requires_grad)


@dataclass
class _Layer:
    """The change of a layer.

    Attributes:
        model: The part with the layer, a parameter of `fuse`.
        name: The layer's name in the file.
        flat: The layer's name in the model, with _ for dots.
        tensors: The matrices "down" (A) and "up" (B).
        alpha: The file's alpha; None stands for the rank.
    """

    model: str
    name: str
    flat: str
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    alpha: float | None = None

    def check(self, file: Path, shape: torch.Size) -> None:
        """Raise ModelError where the matrices do not fit a weight of this `shape`."""
        if set(self.tensors) != {"down", "up"} or not all(tensor.ndim for tensor in self.tensors.values()):
            raise ModelError(f"--lora {file} lacks one of the two matrices of {self.name}; fetch it again")
        down, up = self.tensors["down"], self.tensors["up"]
        takes = down.numel() // len(down) if down.ndim > 1 and len(down) else 0
        if up.ndim < 2 or up.flatten(1).shape != (shape[0], len(down)) or takes != math.prod(shape[1:]):
            raise ModelError(
                f"--lora {file} is not for this model: at {self.name} it has {len(up)} x {takes} weights, the model "
                f"has {shape[0]} x {math.prod(shape[1:])}"
            )

    def delta(self, shape: torch.Size) -> torch.Tensor:
        """alpha/rank * B A, float32, in the shape of the layer's weight."""
        down, up = self.tensors["down"].float(), self.tensors["up"].float()
        scale = 1.0 if self.alpha is None else self.alpha / len(down)
        return (up.flatten(1) @ down.flatten(1)).reshape(shape) * scale


def _read(file: Path, layers_per_block: int) -> list[_Layer]:
    import torch

    from ip2p_cli.models.tensors import read_tensors

    layers: dict[tuple[str, str], _Layer] = {}
    alphas = _stated_alphas(file)
    for key, tensor in read_tensors(file).items():
        match = _NAME.fullmatch(key)
        if match is None:
            raise ModelError(
                f"--lora {file} is no plain LoRA: it holds {key}; LoHa, LoKr, DoRA and the like are not read"
            )
        name, role = match[1], match[2] or match[4] or _ROLES[match[3]]
        model, flat = _flatten(file, name, layers_per_block)
        layer = layers.setdefault((model, flat), _Layer(model, name, flat, alpha=alphas.get(model)))
        if role == "alpha":
            layer.alpha = _alpha(file, key, tensor)
        elif tensor.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            raise ModelError(f"--lora {file} is no plain LoRA: {key} is {tensor.dtype}; only floating point is read")
        else:
            layer.name = name
            layer.tensors[role] = tensor
    return list(layers.values())


def _alpha(file: Path, key: str, tensor: torch.Tensor) -> float:
    alpha = float(tensor) if tensor.numel() == 1 and not tensor.is_complex() else math.nan
    if not -_MAX_ALPHA <= alpha <= _MAX_ALPHA:  # also refuses nan
        raise ModelError(f"--lora {file} is damaged: {key} should be one number; fetch it again")
    return alpha


def _flatten(file: Path, name: str, layers_per_block: int) -> tuple[str, str]:
    """The part with the layer, a parameter of `fuse`, and the layer's name there with _ for dots."""
    from ip2p_cli.models.layout import unet_name

    start, model = next(((start, model) for start, model in _STARTS if name.startswith(start)), ("", ""))
    if not model:
        if not re.match(r"(down_blocks|mid_block|up_blocks|conv_in|conv_out|time_embedding)\b", name):
            raise ModelError(f"--lora {file} is not for this model: it changes {name}, which belongs to another kind")
        model = "unet"
    name = name.removeprefix(start).removeprefix("unet.")
    # Files from before diffusers 0.20 name the attention processor.
    name = re.sub(r"\.processor\.to_(q|k|v|out)$", lambda m: f".to_{m[1]}", name)
    name = re.sub(r"\.to_out$", ".to_out.0", name)
    if start == "lora_unet_":
        name = unet_name(name, layers_per_block, "_")
    flat = name.replace(".", "_")
    if model != "unet":
        # transformers 5 has no text_model in its names; old diffusers files have to_q for q_proj.
        flat = re.sub(r"self_attn_to_(q|k|v|out)(_0)?$", r"self_attn_\1_proj", flat.removeprefix("text_model_"))
    return model, flat


def _layers(model: Any) -> dict[str, Any]:
    """Modules with a weight, by their names with _ for dots."""
    named = ((name.replace(".", "_").removeprefix("text_model_"), part) for name, part in model.named_modules())
    return {name: part for name, part in named if getattr(part, "weight", None) is not None}


def _stated_alphas(file: Path) -> Mapping[str, float]:
    """The alpha of all layers by part, from the file's metadata or peft's adapter_config.json beside it."""
    from safetensors import SafetensorError, safe_open

    stated: Any = {}
    if file.suffix == ".safetensors":
        try:
            with safe_open(file, framework="pt") as opened:
                stated = json.loads((opened.metadata() or {}).get("lora_adapter_metadata", "{}"))
        except (SafetensorError, OSError, ValueError, RecursionError):
            stated = {}  # reading the tensors reports a damaged file
    beside = file.parent / "adapter_config.json"
    if file.name == "adapter_model.safetensors" and beside.is_file():
        config = read_json(beside, "repair it, or fetch the LoRA again")
        stated = {f"unet.{name}": value for name, value in config.items()}
    keys = {model: f"{model}.lora_alpha" for model in ("unet", "text_encoder", "text_encoder_2")}
    if not isinstance(stated, dict):
        return {}
    known = {model: stated[key] for model, key in keys.items() if isinstance(stated.get(key), int | float)}
    return {model: float(value) for model, value in known.items() if -_MAX_ALPHA <= value <= _MAX_ALPHA}
