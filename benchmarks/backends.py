"""Seconds of a step on torch and on OpenVINO, for a UNet of Stable Diffusion 1.5's size with random weights.

    python -m benchmarks.backends [--side 256] [--rows 3] [--steps 4] [--quantize int8]

The two take turns, step by step. Wall clock and processor time are given, as medians: on a busy machine only the
processor's time can be compared, with OMP_NUM_THREADS=1, where no thread waits for another. The export goes to
XDG_CACHE_HOME, takes 1.7 GB in bf16 and is used again.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from ip2p_cli.models.backends import openvino_version
from ip2p_cli.models.device import torch_dtype
from ip2p_cli.models.editor import Editor
from ip2p_cli.models.openvino_parts import with_openvino
from ip2p_cli.types import ModelSpec

TEXT_LENGTH, TEXT_WIDTH = 77, 768


def full_size_unet(dtype: torch.dtype) -> Any:
    """The UNet of InstructPix2Pix with random weights, the same at every call."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(in_channels=8, cross_attention_dim=TEXT_WIDTH, attention_head_dim=8)
    unet = unet.to(dtype).to_empty(device="cpu").eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for name, tensor in unet.named_parameters():
        if tensor.ndim > 1:
            tensor.normal_(0, tensor[0].numel() ** -0.5, generator=generator)
        else:
            tensor.fill_(float(name.endswith("weight")))
    return unet


def editor_of(unet: Any, dtype: torch.dtype) -> Editor:
    """A model of that UNet alone."""
    length = SimpleNamespace(model_max_length=TEXT_LENGTH, config=SimpleNamespace(max_position_embeddings=TEXT_LENGTH))
    return Editor(
        unet=unet,
        vae=None,
        text_encoder=length,
        tokenizer=length,
        scheduler_config={},
        spec=ModelSpec(name="full size", source="", description="", licence=""),
        device=torch.device("cpu"),
        dtype=dtype,
    )


def timed(call: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, float, float]:
    """What a call gives, and its seconds by the wall clock and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    with torch.no_grad():
        result = call().float()
    return result, time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=256, help="of the picture, in pixels")
    parser.add_argument("--rows", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--dtype", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--quantize", choices=["none", "int8"], default="none")
    args = parser.parse_args()
    dtype = torch_dtype(args.dtype)
    generator = torch.Generator().manual_seed(1)
    sample = torch.randn(args.rows, 8, args.side // 8, args.side // 8, generator=generator)
    states = torch.randn(args.rows, TEXT_LENGTH, TEXT_WIDTH, generator=generator)
    now, threads = time.strftime("%Y-%m-%d"), torch.get_num_threads()
    print(
        f"{platform.machine()}, {threads} threads, {args.dtype}, torch {torch.__version__}, {openvino_version()}, {now}"
    )

    processor = time.process_time()
    openvino_unet = _openvino(dtype, args.quantize)
    print(f"random weights, and an export if there was none: {time.process_time() - processor:.0f} s of the processor")
    torch_unet = full_size_unet(dtype)
    steps: dict[str, Callable[[], torch.Tensor]] = {
        "torch": lambda: torch_unet(
            sample.to(dtype), torch.tensor(500), encoder_hidden_states=states.to(dtype), return_dict=False
        )[0],
        "openvino": lambda: openvino_unet(sample, torch.tensor(500), encoder_hidden_states=states)[0],
    }
    last: dict[str, torch.Tensor] = {}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for step in range(args.steps + 1):
        for name, call in steps.items():
            last[name], wall, processor = timed(call)
            print(
                f"{'first' if step == 0 else step}: {name} {wall:.2f} s, {processor:.2f} of the processor", flush=True
            )
            seconds[name] += [(wall, processor)] if step else []
    for place, clock in enumerate(("wall clock", "processor")):
        medians = {name: statistics.median(one[place] for one in times) for name, times in seconds.items()}
        ratio = medians["torch"] / medians["openvino"]
        print(
            f"{clock}: torch {medians['torch']:.2f} s, openvino {medians['openvino']:.2f} s: {ratio:.2f} times as fast"
        )
    difference = (last["torch"] - last["openvino"]).square().mean().sqrt() / last["torch"].std()
    print(f"difference of the predictions: {difference:.1%} of their standard deviation (rms)")


def _openvino(dtype: torch.dtype, quantize: Any) -> Any:
    editor = editor_of(full_size_unet(dtype), dtype)
    return with_openvino(editor, f"random-{dtype}".replace("torch.", ""), quantize=quantize, tell=print).unet


if __name__ == "__main__":
    main()
