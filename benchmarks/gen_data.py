"""How fast pairs are painted: ours, in blocks of candidates, against the authors' algorithm on the same weights.

The authors paint one pair at a time with attention maps written out, and replace the second picture's logits by the
first's. Both run the same candidates through the same UNet, of Stable Diffusion's topology with random weights: time
does not depend on the values. Printed are candidates a second and their ratio, and how far the pictures are apart.

    python -m benchmarks.gen_data --width 128 --side 256 --steps 4 --candidates 4
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from ip2p_cli.diffusion import editing
from ip2p_cli.diffusion.guidance import TextGuidedDenoiser
from ip2p_cli.diffusion.prompt2prompt import Control, controlled, shares
from ip2p_cli.diffusion.samplers import make_scheduler
from ip2p_cli.diffusion.text import TextCondition
from ip2p_cli.models.sdxl import SDXL_SCHEDULER

TOKENS, WIDTH = 77, 768


class WrittenOut:
    """An attention layer as in the authors' code: logits, perhaps replaced, softmax, values."""

    def __init__(self, share: float, steps: int, is_self: bool) -> None:
        self.share, self.steps, self.is_self, self.calls = share, steps, is_self, 0

    def __call__(self, attn: Any, hidden: torch.Tensor, encoder_hidden_states: Any = None, **_: Any) -> torch.Tensor:
        step, self.calls = self.calls, self.calls + 1
        seen = hidden if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for x in (attn.to_q(hidden), attn.to_k(seen), attn.to_v(seen))
        )
        logits = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        if self.is_self and shares(self.share, step, self.steps):
            logits[[1, 3]] = logits[[0, 2]]
        out = (logits.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)
        return attn.to_out[0](out)


def denoiser_of(unet: Any, text: torch.Tensor, scales: Sequence[float]) -> TextGuidedDenoiser:
    states = text[1:].repeat(len(scales), 1, 1)
    return TextGuidedDenoiser(unet, TextCondition(states), TextCondition(text[:1]), [s for s in scales for _ in (0, 1)])


def sample(denoiser: Any, seeds: Sequence[int], side: int, steps: int) -> torch.Tensor:
    generators = editing.make_generators([seed for seed in seeds for _ in range(2)])
    noise = editing.initial_noise((4, side // 8, side // 8), generators)
    scheduler = make_scheduler("euler_a_original", SDXL_SCHEDULER, steps)
    return editing.run(scheduler, denoiser, noise, generators=generators)


def ours(unet: Any, text: torch.Tensor, drawn: Sequence[tuple[float, float]], args: argparse.Namespace) -> torch.Tensor:
    found = []
    for start in range(0, len(drawn), args.block):
        block = drawn[start : start + args.block]
        denoiser = denoiser_of(unet, text, [cfg for _, cfg in block])
        with controlled(denoiser, [Control(share=share) for share, _ in block], args.steps) as inside:
            found.append(sample(inside, range(start, start + len(block)), args.side, args.steps))
    return torch.cat(found)


def theirs(
    unet: Any, text: torch.Tensor, drawn: Sequence[tuple[float, float]], args: argparse.Namespace
) -> torch.Tensor:
    found, before = [], unet.attn_processors
    for seed, (share, cfg) in enumerate(drawn):
        unet.set_attn_processor(
            {name: WrittenOut(share, args.steps, name.endswith("attn1.processor")) for name in before}
        )
        found.append(sample(denoiser_of(unet, text, [cfg]), [seed], args.side, args.steps))
    unet.set_attn_processor(before)
    return torch.cat(found)


def timed(run: Callable[..., torch.Tensor], *arguments: Any) -> tuple[float, torch.Tensor]:
    began = time.perf_counter()
    result = run(*arguments)
    return time.perf_counter() - began, result


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=128, help="channels of the first level; 320 is full size")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--candidates", type=int, default=4)
    parser.add_argument("--block", type=int, default=4, help="candidates that we sample together")
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(0)
    widths = tuple(args.width * n for n in (1, 2, 4, 4))
    unet = UNet2DConditionModel(block_out_channels=widths, cross_attention_dim=WIDTH, attention_head_dim=8).eval()
    text = torch.randn(3, TOKENS, WIDTH)
    draw = torch.Generator().manual_seed(1)
    drawn = [
        (0.1 + 0.8 * float(torch.rand((), generator=draw)), 7.5 + 7.5 * float(torch.rand((), generator=draw)))
        for _ in range(args.candidates)
    ]
    fastest, pictures = {"ours": 1e9, "theirs": 1e9}, {}
    for _ in range(args.rounds):  # in turn, so that whatever else the machine does meets both
        for name, run in (("ours", ours), ("theirs", theirs)):
            seconds, pictures[name] = timed(run, unet, text, drawn, args)
            fastest[name] = min(fastest[name], seconds)
    apart = float((pictures["ours"] - pictures["theirs"]).abs().max() / pictures["theirs"].abs().max())
    parameters = sum(p.numel() for p in unet.parameters()) / 1e6
    print(f"{parameters:.0f} M parameters, {args.side} px, {args.steps} steps, {args.candidates} candidates")
    for name, seconds in fastest.items():
        print(f"{name:7}{args.candidates / seconds:8.4f} candidates a second")
    print(
        f"ratio {fastest['theirs'] / fastest['ours']:.2f}; latents apart by at most {apart:.1e} of their largest value"
    )


if __name__ == "__main__":
    main()
