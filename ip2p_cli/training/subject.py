"""Trains the network that finds a photo's subject.

    python -m ip2p_cli.training.subject --photos FOLDER --subjects FOLDER --out FILE

`make subject PHOTOS=FOLDER SUBJECTS=FOLDER` trains it and puts it into the package. A photo that is held out from
nano's training is held out here too, and measures the result.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import torch
import torch.nn.functional as F
from diffusers.training_utils import EMAModel
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ip2p_cli.datagen.look_pairs import list_photos, read_photo, split_photos
from ip2p_cli.models.subject.finding import find_subject
from ip2p_cli.models.subject.network import SubjectNet
from ip2p_cli.training.subject_pairs import SubjectPairs

HOLD_OUT_EVERY = 16  # as recipes/train-nano.yaml


def loss_of(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross-entropy and 1 - IoU, each a photo's mean."""
    logits = F.interpolate(logits.float(), masks.shape[-2:], mode="bilinear", align_corners=False)
    found = logits.sigmoid()
    both = (found * masks).sum((1, 2, 3))
    either = (found + masks - found * masks).sum((1, 2, 3))
    return F.binary_cross_entropy_with_logits(logits, masks) + (1 - (both + 1) / (either + 1)).mean()


def train(data: SubjectPairs, *, learning_rate: float, bf16: bool, seed: int) -> SubjectNet:
    """Train a network from nothing; returns it with averaged weights, in evaluation mode."""
    torch.manual_seed(seed)
    net = SubjectNet()
    optimizer = torch.optim.AdamW(net.parameters(), lr=learning_rate, weight_decay=0.02)
    average = EMAModel(net.parameters(), decay=0.998, use_ema_warmup=True, power=0.75)
    loader = DataLoader(data, batch_size=None, num_workers=1, prefetch_factor=8)
    began = time.monotonic()
    net.train()
    for step, (photos, masks) in enumerate(loader):
        ramp = min(1.0, (step + 1) / max(1, len(data) // 20))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * ramp * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / len(data))))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = net(photos)
        loss = loss_of(logits, masks)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        average.step(net.parameters())
        if (step + 1) % 100 == 0:
            print(f"step {step + 1} of {len(data)}, loss {loss:.3f}, {time.monotonic() - began:.0f} s", file=sys.stderr)
    average.copy_to(net.parameters())
    _refresh_statistics(net, loader)
    return net.eval()


@torch.no_grad()
def _refresh_statistics(net: SubjectNet, loader: DataLoader[tuple[Tensor, Tensor]], batches: int = 60) -> None:
    """Measure the means and variances of the batch norms again: those kept belong to the weights without average."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None
    for number, (photos, _) in enumerate(loader):
        if number == batches:
            break
        net(photos)


def overlaps(net: SubjectNet, photos: Sequence[Path], masks: Sequence[Path]) -> list[float]:
    """Return the IoU of each photo's mask, both made hard at 0.5, at the photo's size."""
    found = []
    for photo_file, mask_file in zip(photos, masks, strict=True):
        photo = read_photo(photo_file, 256)
        truth = cv2.resize(read_photo(mask_file, 256)[..., 0], photo.shape[1::-1]) > 0.5
        mask = find_subject(photo, net) > 0.5
        found.append(float((mask & truth).sum() / max(1, (mask | truth).sum())))
    return found


def main() -> None:
    """Train, measure on held-out photos, and write the weights in half precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--subjects", type=Path, required=True, help="masks of the same names; white is the subject")
    parser.add_argument("--out", type=Path, required=True, help="a .safetensors file")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--bf16", action="store_true", help="for processors that compute in bf16")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    training, held_out = split_photos(list_photos(args.photos), HOLD_OUT_EVERY)
    masks = {path.stem: path for path in list_photos(args.subjects)}
    with_mask = [path for path in training if path.stem in masks]
    data = SubjectPairs(
        with_mask,
        [masks[path.stem] for path in with_mask],
        [path for path in training if path.stem not in masks],
        steps=args.steps,
        batch=args.batch,
        seed=args.seed,
    )
    net = train(data, learning_rate=args.learning_rate, bf16=args.bf16, seed=args.seed)
    save_file({name: value.half() for name, value in net.state_dict().items() if value.is_floating_point()}, args.out)
    held_out = [path for path in held_out if path.stem in masks]
    found = sorted(overlaps(net, held_out, [masks[path.stem] for path in held_out]))
    mean, median = sum(found) / len(found), found[len(found) // 2]
    print(f"IoU on {len(found)} held-out photos: mean {mean:.3f}, median {median:.3f}, least {found[0]:.3f}")


if __name__ == "__main__":
    main()
