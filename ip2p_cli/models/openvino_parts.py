"""A model's UNet and VAE run by OpenVINO, used like torch's."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ip2p_cli.errors import ModelError
from ip2p_cli.models.editor import Editor
from ip2p_cli.models.openvino_compile import compile_static
from ip2p_cli.models.openvino_export import DECODER, ENCODER, PRECISIONS, UNET, export
from ip2p_cli.types import QuantizeName

# Rows of one call: the branches of one edit. More are no faster on a CPU, and each number is compiled by itself.
_MOST_ROWS = 3


def with_openvino(
    editor: Editor, weights: str, *, quantize: QuantizeName = "none", tell: Callable[[str], None] = lambda _: None
) -> Editor:
    """Return a model whose UNet and VAE run on OpenVINO, on the CPU; torch's UNet is no longer used.

    The UNet computes in `editor.dtype`, an AutoencoderKL in float32. Other VAEs stay with torch.

    Args:
        editor: The model, on the CPU.
        weights: Their fingerprint, see `fingerprint`.
        quantize: "int8" stores the UNet's weights in 8 bits.
        tell: Told of an export that is made.

    Raises:
        ModelError: The model is nano's kind, or `export` fails.
    """
    if type(editor.unet).__name__ != "UNet2DConditionModel":
        raise ModelError(
            f"model {editor.spec.name} is small and runs on torch alone: leave out --backend and --quantize"
        )
    folder = export(editor, weights, quantize=quantize, tell=tell)
    unet = OpenVinoUNet(StaticModel(folder / f"{UNET}.xml", editor.dtype), editor.unet)
    for name, place in ((ENCODER, "encoder"), (DECODER, "decoder")):
        file = folder / f"{name}.xml"
        if file.is_file():
            setattr(editor.vae, place, OpenVinoLayers(StaticModel(file, torch.float32)))
    return replace(editor, unet=unet)


class StaticModel:
    """An exported model that is compiled for each combination of its inputs' shapes: `model(*inputs)`.

    The last few are kept, each with weights of its own in memory. Calls from several threads wait for each other.

    Args:
        file: The model's .xml file.
        dtype: What it computes in: torch.float32 or torch.bfloat16.
        keep: How many are kept.
    """

    def __init__(self, file: Path, dtype: torch.dtype, keep: int = 2) -> None:
        self._file, self._dtype, self._keep = file, dtype, keep
        self._compiled: OrderedDict[tuple[torch.Size, ...], Any] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Run the model on tensors of any number format; the output is float32, on the CPU."""
        arrays = [tensor.detach().to("cpu", torch.float32).contiguous().numpy() for tensor in inputs]
        with self._lock:
            output = self._for_shapes(tuple(tensor.shape for tensor in inputs))(arrays)[0]
        return torch.from_numpy(output)

    def _for_shapes(self, shapes: tuple[torch.Size, ...]) -> Any:
        if shapes not in self._compiled:
            while len(self._compiled) >= self._keep:
                self._compiled.popitem(last=False)
            self._compiled[shapes] = self._compile(shapes)
        self._compiled.move_to_end(shapes)
        return self._compiled[shapes]

    def _compile(self, shapes: tuple[torch.Size, ...]) -> Any:
        return compile_static(self._file, shapes, PRECISIONS[self._dtype], torch.get_num_threads())


class OpenVinoUNet:
    """A UNet with UNet2DConditionModel's call and config.

    Args:
        model: The exported UNet.
        unet: Torch's UNet, of which the config and the sinusoids of timesteps are used.
    """

    dtype = torch.float32  # of what it takes and gives; it may compute in another

    def __init__(self, model: StaticModel, unet: Any) -> None:
        self._model, self.config = model, unet.config
        self._time_proj, self._add_time_proj = unet.time_proj, getattr(unet, "add_time_proj", None)

    def __call__(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        *,
        encoder_hidden_states: torch.Tensor,
        added_cond_kwargs: Mapping[str, torch.Tensor] | None = None,
        return_dict: bool = False,
    ) -> tuple[torch.Tensor]:
        """Predict as UNet2DConditionModel does; always returns a tuple."""
        count = len(sample)
        times = self._time_proj(torch.as_tensor(timestep).reshape(-1).expand(count))
        by_row = [sample, times, encoder_hidden_states]
        if added_cond_kwargs and self._add_time_proj is not None:
            sizes = self._add_time_proj(added_cond_kwargs["time_ids"].flatten()).reshape(count, -1)
            by_row += [added_cond_kwargs["text_embeds"], sizes]
        step = rows_at_once(count)
        parts = [[tensor[start : start + step] for tensor in by_row] for start in range(0, count, step)]
        return (torch.cat([self._model(*part) for part in parts]),)


def rows_at_once(rows: int) -> int:
    """How many of `rows` go through the UNet in one call: a divisor, so that one number is compiled."""
    return max(count for count in range(1, _MOST_ROWS + 1) if rows % count == 0)


class OpenVinoLayers(torch.nn.Module):
    """The encoder or decoder inside an AutoencoderKL."""

    def __init__(self, model: StaticModel) -> None:
        super().__init__()
        self._model = model
        # A VAE without other layers takes its number format from here.
        self.register_buffer("number_format", torch.zeros(0), persistent=False)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Encode or decode a batch."""
        return self._model(batch).to(batch.dtype)
