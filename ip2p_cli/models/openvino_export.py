"""Models exported for OpenVINO, in the user's cache folder: made once, whole or not at all, and made again if broken.

The shapes of an export's inputs are open; `openvino_parts.StaticModel` fixes them when it compiles. So the weights lie
on the disk once, whatever sizes of pictures and however many branches of guidance are used.
"""

from __future__ import annotations

import contextlib
import copy
import json
import secrets
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ip2p_cli.errors import ModelError
from ip2p_cli.models.backends import exports_folder, openvino_version
from ip2p_cli.models.editor import Editor
from ip2p_cli.models.hub import reason
from ip2p_cli.models.openvino_compile import openvino, try_in_another_process
from ip2p_cli.types import QuantizeName

PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16"}
UNET, ENCODER, DECODER = "unet", "vae_encoder", "vae_decoder"
_SIZES = "export.json"
_LAYOUT = "1"  # another one where a version of ip2p exports other modules or inputs
_TEMPORARY = ".export-"
_OLD_SECONDS = 3600  # an export that is being made changes its files all the time
# Of the traced inputs. Any will do that the UNet's and the VAE's levels divide.
_ROWS, _SIDE = 2, 16


@dataclass(frozen=True)
class _Part:
    """What is exported under a name: a module with tensors for its inputs, and whether its weights are halved."""

    module: torch.nn.Module
    inputs: tuple[torch.Tensor, ...]
    half: bool


def export(
    editor: Editor, weights: str, *, quantize: QuantizeName = "none", tell: Callable[[str], None] = lambda _: None
) -> Path:
    """Return the folder with the exported parts of a model, and make it where it is missing or broken.

    Making it turns `editor.unet` into float32, in place.

    Args:
        editor: The model. Its UNet must be a UNet2DConditionModel, not one of its subclasses.
        weights: Their fingerprint, see `fingerprint`.
        quantize: "int8" stores the UNet's weights in 8 bits.
        tell: Told what is made, and where.

    Returns:
        A folder with OpenVINO models: unet.xml and, for an AutoencoderKL, vae_encoder.xml and vae_decoder.xml.

    Raises:
        ModelError: There is no room or no folder for it, or OpenVINO cannot export or compile the model.
    """
    root = exports_folder()
    if root is None:
        raise ModelError("there is no home folder to keep an export in: set XDG_CACHE_HOME, or use --backend torch")
    number_format = str(editor.dtype).removeprefix("torch.")
    quantized = [quantize] if quantize != "none" else []
    name = "-".join([weights, number_format, *quantized, str(openvino_version()), _LAYOUT])
    folder = root / name
    if _is_whole(folder):
        return folder
    broken = folder.exists()
    with _temporary_folder(root) as temporary:
        parts = _parts(editor)
        size = _size(parts, quantize)
        _check_room(root, size)
        again = "its export for OpenVINO is broken; exporting it again" if broken else "exporting it for OpenVINO, once"
        tell(f"{editor.spec.name}: {again}: {size / 1e9:.1f} GB in {folder}")
        with _errors_of(editor.spec.name, root):
            for part, what in parts.items():
                _export_part(what, temporary / f"{part}.xml", quantize if part == UNET else "none")
            _try(temporary / f"{UNET}.xml", parts[UNET], editor.dtype)
            sizes = {path.name: path.stat().st_size for path in sorted(temporary.iterdir())}
            (temporary / _SIZES).write_text(json.dumps(sizes), "utf-8")
            _publish(temporary, folder)
    return folder


def _parts(editor: Editor) -> dict[str, _Part]:
    """What is exported, by name."""
    config = editor.unet.config
    rows, side = _ROWS, _SIDE
    states = torch.zeros(rows, editor.text_length, _width(config.cross_attention_dim))
    inputs = [
        torch.zeros(rows, config.in_channels, side, side),
        torch.zeros(rows, config.block_out_channels[0]),
        states,
    ]
    if config.addition_embed_type == "text_time":
        sizes = 6 * config.addition_time_embed_dim
        pooled = config.projection_class_embeddings_input_dim - sizes
        inputs += [torch.zeros(rows, pooled), torch.zeros(rows, sizes)]
    # bf16 has no more digits than fp16, and OpenVINO's files know no bf16.
    half = editor.dtype is not torch.float32
    parts = {UNET: _Part(_TracedUNet(editor.unet.float()), tuple(inputs), half)}
    if isinstance(getattr(editor.vae, "encoder", None), torch.nn.Module):
        latent = torch.zeros(1, editor.latent_channels, side, side)
        pixels = torch.zeros(1, 3, side * editor.vae_factor, side * editor.vae_factor)
        parts[ENCODER] = _Part(editor.vae.encoder.float(), (pixels,), False)
        parts[DECODER] = _Part(editor.vae.decoder.float(), (latent,), False)
    return parts


def _width(width: Any) -> int:
    """The width of the text's states, which a config may give for each level."""
    return int(width if isinstance(width, int) else width[0])


class _TracedUNet(torch.nn.Module):
    """A UNet with positional inputs and a tensor as output.

    In place of timesteps and SDXL's sizes it takes their sinusoids: in bf16 sin(t f) would be another number.
    """

    def __init__(self, unet: Any) -> None:
        super().__init__()
        # A shallow copy, so that the UNet keeps its own.
        self.unet = copy.copy(unet)
        self.unet._modules = {**unet._modules, "time_proj": _Given()}
        if unet.config.addition_embed_type == "text_time":
            self.unet._modules["add_time_proj"] = _Given()

    def forward(self, sample: Any, times: Any, states: Any, text_embeds: Any = None, sizes: Any = None) -> Any:
        self.unet.time_proj.value = [times]
        sdxl = {}
        if text_embeds is not None:
            self.unet.add_time_proj.value = [sizes]
            sdxl = {"added_cond_kwargs": {"text_embeds": text_embeds, "time_ids": sizes}}
        return self.unet(sample, torch.tensor(0.0), encoder_hidden_states=states, **sdxl, return_dict=False)[0]


class _Given(torch.nn.Module):
    """Gives what it was told instead of computing it."""

    value: list[torch.Tensor]  # a list: a module's own tensors would become constants

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        return self.value[0]


def _export_part(part: _Part, file: Path, quantize: QuantizeName) -> None:
    ov = openvino()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer's, about every shape that a model looks at
        model = ov.convert_model(part.module.eval(), example_input=part.inputs)
    if quantize == "int8":
        model = _compressed(model)
    ov.save_model(model, str(file), compress_to_fp16=part.half)
    ov.Core().read_model(str(file))  # OpenVINO does not say when a disk is full


def _try(file: Path, part: _Part, dtype: torch.dtype) -> None:
    """Compile the UNet once in another process, which may crash, for a picture of about 256 pixels."""
    sample, *others = (tuple(tensor.shape) for tensor in part.inputs)
    shapes = [(*sample[:2], 2 * _SIDE, 2 * _SIDE), *others]
    try_in_another_process(file, shapes, PRECISIONS[dtype], torch.get_num_threads())


def _compressed(model: Any) -> Any:
    """The model with weights in 8 bits, each channel with a scale of its own."""
    import logging

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import nncf

        nncf.set_log_level(logging.ERROR)
        return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM)


def _size(parts: dict[str, _Part], quantize: QuantizeName) -> int:
    """Bytes that the exported weights take, about."""
    total = 0
    for name, part in parts.items():
        per_value = 1 if name == UNET and quantize == "int8" else 2 if part.half else 4
        total += per_value * sum(tensor.numel() for tensor in part.module.parameters())
    return total


def _check_room(root: Path, size: int) -> None:
    free = shutil.disk_usage(root).free
    if free < 1.05 * size:
        raise ModelError(
            f"{root}: the export for OpenVINO takes {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free: make room, "
            "set XDG_CACHE_HOME to another disk, or use --backend torch"
        )


def _is_whole(folder: Path) -> bool:
    """Whether every file of an export has the size that it was written with, and OpenVINO can read its models."""
    try:
        sizes = json.loads((folder / _SIZES).read_text("utf-8"))
        if f"{UNET}.xml" not in sizes or any((folder / name).stat().st_size != size for name, size in sizes.items()):
            return False
        core = openvino().Core()
        for name in sizes:
            if name.endswith(".xml"):
                core.read_model(str(folder / name))
    except (OSError, ValueError, TypeError, RuntimeError):
        return False
    return True


@contextlib.contextmanager
def _temporary_folder(root: Path) -> Iterator[Path]:
    """Make a folder in `root` that is gone afterwards, and delete those that killed processes left there."""
    temporary = root / f"{_TEMPORARY}{secrets.token_hex(6)}"
    try:
        temporary.mkdir(parents=True)
        for other in root.glob(f"{_TEMPORARY}*"):
            if other != temporary and time.time() - _last_change(other) > _OLD_SECONDS:
                shutil.rmtree(other, ignore_errors=True)
        yield temporary
    except OSError as error:
        raise ModelError(f"{root}: {reason(error)}: set XDG_CACHE_HOME, or use --backend torch") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _last_change(folder: Path) -> float:
    return max((path.stat().st_mtime for path in [folder, *folder.iterdir()]), default=0.0)


@contextlib.contextmanager
def _errors_of(name: str, root: Path) -> Iterator[None]:
    """Turn OpenVINO's errors into ModelError; the system's pass."""
    try:
        yield
    except (ModelError, OSError):
        raise
    except Exception as error:  # OpenVINO and NNCF raise anything
        raise ModelError(
            f"model {name} cannot be exported for OpenVINO to {root} ({reason(error)}): use --backend torch"
        ) from error


def _publish(temporary: Path, folder: Path) -> None:
    """Give a finished export its name; one that another process finished meanwhile stays."""
    if folder.exists() and not _is_whole(folder):
        shutil.rmtree(folder)
    try:
        temporary.replace(folder)
    except OSError:
        if not _is_whole(folder):
            raise
