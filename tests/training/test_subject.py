"""The network that finds a photo's subject learns from augmented pairs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ip2p_cli.models.subject.finding import find_subject
from ip2p_cli.models.subject.network import SIDE, SubjectNet
from ip2p_cli.training.subject import loss_of, overlaps, train
from ip2p_cli.training.subject_pairs import SubjectPairs


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[Path], list[Path]]:
    """Photos of a bright disc on a dark ground, their masks, and plain backgrounds."""
    folder = tmp_path_factory.mktemp("subjects")
    rng = np.random.default_rng(0)
    photos, masks, backgrounds = [], [], []
    for number in range(4):
        centre = tuple(int(at) for at in rng.integers(80, 180, 2))
        mask = np.zeros((256, 256), np.uint8)
        cv2.circle(mask, centre, 60, 255, -1)
        ground = rng.integers(0, 80, (256, 256, 3), dtype=np.uint8)
        photo = np.where(mask[..., None] > 0, np.uint8(220), ground)
        for name, picture, files in (("p", photo, photos), ("m", mask, masks), ("b", ground, backgrounds)):
            files.append(folder / f"{name}{number}.png")
            cv2.imwrite(str(files[-1]), picture)
    return photos, masks, backgrounds


def pairs(folders: tuple[list[Path], list[Path], list[Path]], steps: int, batch: int = 8) -> SubjectPairs:
    return SubjectPairs(*folders, steps=steps, batch=batch, seed=3)


def test_batches_are_the_same_whoever_reads_them(folders: tuple[list[Path], list[Path], list[Path]]) -> None:
    first, second = pairs(folders, 3)[2], pairs(folders, 3)[2]
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], pairs(folders, 3)[1][0])


def test_masks_lie_on_their_subjects(folders: tuple[list[Path], list[Path], list[Path]]) -> None:
    photos, masks = pairs(folders, 1, batch=24)[0]
    assert photos.shape == (24, 3, SIDE, SIDE)
    assert masks.shape == (24, 1, SIDE, SIDE)
    assert photos.abs().max() <= 1
    inside = (photos * masks).sum((1, 2, 3)) / masks.sum((1, 2, 3)) / 3
    outside = (photos * (1 - masks)).sum((1, 2, 3)) / (1 - masks).sum((1, 2, 3)) / 3
    # Not in every painted one: inverted, the disc is dark.
    assert (inside > outside).float().mean() > 0.8


def test_the_loss_is_least_for_the_mask_itself() -> None:
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 2:6, 2:6] = 1
    right, wrong = (mask * 2 - 1) * 20, -(mask * 2 - 1) * 20
    assert loss_of(right, mask) < 0.01
    assert loss_of(wrong, mask) > 10


def test_a_short_training_learns(folders: tuple[list[Path], list[Path], list[Path]]) -> None:
    torch.manual_seed(0)
    untrained = SubjectNet().eval()
    net = train(pairs(folders, 12), learning_rate=2e-3, bf16=False, seed=0)
    photos, masks = pairs(folders, 12)[3]
    with torch.no_grad():
        assert loss_of(net(photos), masks) < 0.9 * loss_of(untrained(photos), masks)
    assert len(overlaps(net, folders[0], folders[1])) == 4


def test_a_mirrored_photo_has_the_mirrored_mask() -> None:
    torch.manual_seed(0)
    net = SubjectNet().eval()
    photo = np.random.default_rng(0).random((120, 90, 3), dtype=np.float32)
    found = find_subject(photo, net)
    mirrored = find_subject(np.ascontiguousarray(photo[:, ::-1]), net)
    assert found.shape == (120, 90)
    np.testing.assert_allclose(mirrored[:, ::-1], found, atol=1e-3)
