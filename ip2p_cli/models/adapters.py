"""Loading any model: for ip2p's own sampling loop, or as a diffusers pipeline (an adapter)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ip2p_cli.errors import ModelError
from ip2p_cli.models.library_logging import loading
from ip2p_cli.models.pipelines import PIPELINES
from ip2p_cli.types import Lora, ModelSpec, OffloadName, QuantizeName

if TYPE_CHECKING:
    import torch

    from ip2p_cli.models.editor import Editor


@dataclass(frozen=True, kw_only=True, eq=False)
class Adapter:
    """A loaded pipeline. `device` is where it computes, wherever offloading keeps its parts."""

    pipeline: Any
    spec: ModelSpec
    device: torch.device
    dtype: torch.dtype

    @cached_property
    def inpainting(self) -> Any:
        """The pipeline for edits with a mask, of the same parts; None where diffusers has none for the model."""
        import diffusers

        name = PIPELINES[self.spec.pipeline or ""].inpainting
        if name is None:
            return None
        pipeline = getattr(diffusers, name)(**self.pipeline.components)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


def load_model(
    spec: ModelSpec,
    *,
    device: str,
    dtype: str,
    offload: OffloadName = "none",
    loras: Sequence[Lora] = (),
    vae: str | None = None,
    backend: str = "torch",
    quantize: QuantizeName = "none",
    compiled: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Editor | Adapter:
    """Load `spec` for ip2p's own loop, or its pipeline where it has one.

    Args:
        spec: The model.
        device: "cuda", "mps" or "cpu".
        dtype: "fp32", "fp16" or "bf16".
        offload: How the parts are placed, see `models.offload`.
        loras: Added to the weights, one after the other.
        vae: Another autoencoder with the same kind of latents: a folder, a file or a hub id.
        backend: What runs the UNet and the VAE, from `backends.pick_backend`.
        quantize: The format of the UNet's weights, with OpenVINO.
        compiled: Whether the UNet's repeated blocks are compiled, see `cuda.tune`.
        tell: Told of an export that is made.

    Raises:
        ModelError: The model cannot be loaded or exported, or has its own pipeline and `loras` or `vae` are given.
        DeviceError: Offloading was requested without an accelerator.
    """
    from ip2p_cli.models.loader import load_editor

    if spec.pipeline is None:
        editor = load_editor(spec, device=device, dtype=dtype, offload=offload, loras=loras, vae=vae)
        if backend == "openvino":
            from ip2p_cli.models.fingerprint import fingerprint
            from ip2p_cli.models.openvino_parts import with_openvino

            return with_openvino(editor, fingerprint(editor, loras, vae), quantize=quantize, tell=tell)
        if editor.device.type == "cuda":
            from ip2p_cli.models.cuda import tune

            tune(editor, compiled=compiled)
        return editor
    if loras or vae:
        raise ModelError(f"model {spec.name} edits by its own pipeline: leave out --lora and --vae")
    return load_adapter(spec, device=device, dtype=dtype, offload=offload)


def load_adapter(spec: ModelSpec, *, device: str, dtype: str, offload: OffloadName = "none") -> Adapter:
    """Load the pipeline in the folder `spec.source`, from safetensors only.

    Raises:
        ModelError: The folder is incomplete, or ip2p does not know its pipeline.
        DeviceError: Offloading was requested without an accelerator.
    """
    import diffusers
    import torch

    from ip2p_cli.models.device import torch_dtype
    from ip2p_cli.models.offload import check_offload

    check_offload(offload, device)
    known = PIPELINES.get(spec.pipeline or "")
    if known is None:
        names = ", ".join(PIPELINES)
        raise ModelError(f"model {spec.name}: ip2p has no adapter for {spec.pipeline!r}; it has {names}")
    folder = Path(spec.source)
    number_format = torch_dtype(dtype)
    with loading(f"{folder} cannot be loaded", "fetch or export the model again"):
        pipeline = getattr(diffusers, spec.pipeline or "").from_pretrained(
            str(folder), dtype=number_format, use_safetensors=True, local_files_only=True, **known.parts(folder)
        )
    known.check(pipeline, folder)
    pipeline.set_progress_bar_config(disable=True)
    if offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    else:
        pipeline.to(device)
    return Adapter(pipeline=pipeline, spec=spec, device=torch.device(device), dtype=number_format)
