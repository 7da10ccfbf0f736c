"""The way back to full size: colours are carried over with the photo's detail, everything else as it is."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F

from ip2p_cli.diffusion import upsampling
from ip2p_cli.diffusion.detail import DEFAULT, Box, return_to_full_size

pytestmark = pytest.mark.numeric

Change = Callable[[torch.Tensor], torch.Tensor]


def smaller(image: torch.Tensor, factor: int) -> torch.Tensor:
    return F.avg_pool2d(image.unsqueeze(0), factor).squeeze(0)


def larger(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    up = F.interpolate(image.unsqueeze(0), size=size, mode="bicubic", align_corners=False)
    return up.squeeze(0).clamp(0, 1)


def photo(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Something like a photo (3, H, W) in [0.1, 0.9]: coloured structure of every size, stronger when wider."""
    random = torch.Generator().manual_seed(seed)
    image = torch.zeros(3, height, width)
    cells = 2
    while cells < 2 * max(height, width):
        noise = torch.rand(3, min(cells, height), min(cells, width), generator=random) - 0.5
        image += larger(noise + 0.5, (height, width)).sub(0.5) / cells**0.6
        cells *= 2
    low, high = image.amin(), image.amax()
    return 0.1 + 0.8 * (image - low) / (high - low)


def blurred(image: torch.Tensor, radius: int) -> torch.Tensor:
    for _ in range(2):
        padded = F.pad(image.unsqueeze(0), (radius,) * 4, mode="reflect")
        image = F.avg_pool2d(padded, 2 * radius + 1, 1).squeeze(0)
    return image


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return -10 * float(torch.log10(((a - b) ** 2).mean() + 1e-12))


MATRIX = torch.tensor([[0.5, 0.3, 0.1], [0.2, 0.6, 0.0], [-0.2, 0.2, 0.6]])


def toned(image: torch.Tensor) -> torch.Tensor:
    return torch.einsum("ij,jhw->ihw", MATRIX, image) + torch.tensor([0.05, 0.1, 0.2])[:, None, None]


def vignetted(image: torch.Tensor) -> torch.Tensor:
    y, x = (torch.linspace(-1, 1, n) for n in image.shape[-2:])
    return image * (1 - 0.4 * (y[:, None] ** 2 + x[None] ** 2))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Pictures this small are not worth the waiting of threads for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def full() -> torch.Tensor:
    return photo(240, 360)


@pytest.fixture(scope="module")
def small(full: torch.Tensor) -> torch.Tensor:
    return smaller(full, 3)


def test_an_affine_change_of_colours_is_exact(full: torch.Tensor, small: torch.Tensor) -> None:
    assert psnr(return_to_full_size(full, small, toned(small)), toned(full)) > 45


def test_no_edit_gives_the_photo_back(full: torch.Tensor, small: torch.Tensor) -> None:
    assert psnr(return_to_full_size(full, small, small), full) > 45


def test_a_vignette_is_kept(full: torch.Tensor, small: torch.Tensor) -> None:
    assert psnr(return_to_full_size(full, small, vignetted(small)), vignetted(full)) > 40


def test_noise_of_the_edit_is_averaged_out(full: torch.Tensor, small: torch.Tensor) -> None:
    speckle = 0.05 * torch.randn(small.shape, generator=torch.Generator().manual_seed(1))
    noisy = (toned(small) + speckle).clamp(0, 1)
    ours = psnr(return_to_full_size(full, small, noisy), toned(full))
    assert ours > 34
    assert ours > psnr(larger(noisy, (240, 360)), toned(full)) + 6


def test_what_the_autoencoder_loses_comes_back(full: torch.Tensor, small: torch.Tensor) -> None:
    decoded, edited = blurred(small, 1), toned(blurred(small, 1))
    assert psnr(return_to_full_size(full, decoded, edited), toned(full)) > 40


def test_a_blur_stays_a_blur(full: torch.Tensor, small: torch.Tensor) -> None:
    edited = blurred(small, 4)
    result = return_to_full_size(full, small, edited)
    assert psnr(result, larger(edited, (240, 360))) > 45


def test_something_new_is_there(full: torch.Tensor, small: torch.Tensor) -> None:
    y, x = torch.arange(80)[:, None], torch.arange(120)[None]
    disc = (y - 40) ** 2 + (x - 60) ** 2 < 15**2
    edited = torch.where(disc, torch.tensor([0.9, 0.1, 0.2])[:, None, None], small)
    result = return_to_full_size(full, small, edited)
    inside = result[:, 96:144, 156:204]
    assert (inside - torch.tensor([0.9, 0.1, 0.2])[:, None, None]).abs().max() < 0.06
    assert psnr(result[:, :, :90], full[:, :, :90]) > 40


@pytest.mark.parametrize("dark_side", [0.0, 0.1])
def test_no_halo_at_a_strong_edge(dark_side: float) -> None:
    step = torch.full((3, 192, 192), dark_side)
    step[:, :, 96:] = 0.8
    curve = step**2 * 0.9 + 0.05
    result = return_to_full_size(step, smaller(step, 4), smaller(step, 4) ** 2 * 0.9 + 0.05)
    assert result.min() > curve.min() - 4 / 255
    assert result.max() < curve.max() + 4 / 255


@pytest.mark.parametrize(
    ("size", "model_size"),
    [
        ((101, 67), (40, 24)),
        ((1, 90), (1, 30)),
        ((90, 1), (30, 1)),
        ((1, 1), (1, 1)),
        ((3, 2), (8, 8)),
        ((50, 60), (64, 80)),
    ],
)
def test_any_size(size: tuple[int, int], model_size: tuple[int, int]) -> None:
    source = torch.full((3, *size), 0.4)
    before = torch.full((3, *model_size), 0.4)
    result = return_to_full_size(source, before, before + 0.2)
    torch.testing.assert_close(result, source + 0.2, atol=1e-3, rtol=0)


def test_the_same_size(small: torch.Tensor) -> None:
    assert psnr(return_to_full_size(small, small, toned(small)), toned(small)) > 45


def test_bytes_and_floats_agree(full: torch.Tensor, small: torch.Tensor) -> None:
    as_bytes = (full * 255).round().to(torch.uint8)
    of_bytes = return_to_full_size(as_bytes, small, toned(small))
    of_floats = return_to_full_size(as_bytes.float() / 255, small, toned(small))
    assert of_bytes.dtype == torch.uint8
    assert of_floats.dtype == torch.float32
    assert (of_bytes.float() / 255 - of_floats).abs().max() <= 0.51 / 255


def test_strips_make_no_difference(full: torch.Tensor, small: torch.Tensor) -> None:
    whole = return_to_full_size(full, small, toned(small))
    strips = return_to_full_size(full, small, toned(small), settings=dataclasses.replace(DEFAULT, strip_pixels=360 * 7))
    torch.testing.assert_close(strips, whole, atol=1e-5, rtol=0)


def test_the_inputs_are_left_alone(full: torch.Tensor, small: torch.Tensor) -> None:
    before = full.clone(), small.clone()
    return_to_full_size(full, small, small)
    assert torch.equal(full, before[0])
    assert torch.equal(small, before[1])


def test_small_photo_and_edit_of_two_sizes_are_refused(full: torch.Tensor, small: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="differ"):
        return_to_full_size(full, small, small[:, 1:])


SEEN = (45.0, 0.0, 315.0, 240.0)  # of the photo's 360 x 240


@pytest.fixture(scope="module")
def middle(full: torch.Tensor) -> torch.Tensor:
    """What a model saw that was shown the photo's middle at a third of its size."""
    return smaller(full[:, :, 45:315], 3)


@pytest.mark.parametrize("change", [toned, lambda image: image], ids=["toned", "none"])
def test_colours_go_on_beyond_what_was_seen(full: torch.Tensor, middle: torch.Tensor, change: Change) -> None:
    result = return_to_full_size(full, middle, change(middle), seen=SEEN)
    for part in (slice(0, 45), slice(45, 315), slice(315, 360)):
        assert psnr(result[:, :, part], change(full)[:, :, part]) > 43


def test_what_was_seen_lies_where_it_was(full: torch.Tensor, middle: torch.Tensor) -> None:
    edited = blurred(middle, 4)  # nothing of the photo's own detail, so a shift would show
    result = return_to_full_size(full, middle, edited, seen=SEEN)
    assert psnr(result[:, :, 45:315], larger(edited, (240, 270))) > 45


def test_part_pixels_are_not_rounded(full: torch.Tensor) -> None:
    ramp = torch.linspace(0, 1, 480).repeat(3, 240, 1)
    shown = smaller(ramp[:, :, 100:379], 3)  # 93 pixels
    as_halves = ramp.unflatten(2, (240, 2)).mean(3)  # the same photo at half the width: seen from 50.0 to 189.5
    result = return_to_full_size(as_halves, shown, shown * 0.5 + 0.2, seen=(50.0, 0.0, 189.5, 240.0))
    torch.testing.assert_close(result, as_halves * 0.5 + 0.2, atol=2e-3, rtol=0)


def test_no_seam_where_the_seen_part_ends(full: torch.Tensor, middle: torch.Tensor) -> None:
    strokes = torch.rand(middle.shape, generator=torch.Generator().manual_seed(2))
    result = return_to_full_size(full, middle, blurred(strokes, 2), seen=SEEN)
    jumps = (result[:, :, 1:] - result[:, :, :-1]).abs().mean((0, 1))
    usual = jumps[46:313]
    for edge in (44, 314):
        assert jumps[edge - 2 : edge + 3].max() <= usual.max()
    assert jumps[:44].mean() > 0.5 * usual.mean()  # nor a smear


@pytest.mark.parametrize(
    ("size", "model_size", "seen"),
    [
        ((7, 101), (24, 64), (41.333, 0.0, 60.0, 7.0)),  # more is unseen than seen
        ((1, 9), (8, 8), (4.0, 0.0, 5.0, 1.0)),
        ((90, 3), (1, 1), (0.0, 43.5, 3.0, 46.5)),
    ],
)
def test_any_part(size: tuple[int, int], model_size: tuple[int, int], seen: Box) -> None:
    source, before = torch.full((3, *size), 0.4), torch.full((3, *model_size), 0.4)
    result = return_to_full_size(source, before, before + 0.2, seen=seen)
    torch.testing.assert_close(result, source + 0.2, atol=1e-3, rtol=0)


@pytest.mark.parametrize("sides", [(1_000_000, 2), (2, 300_000)])
def test_31_long_strips_take_no_dense_matrix(sides: tuple[int, int]) -> None:
    width, height = sides
    small = torch.full((3, min(height, 16), min(width, 2048)), 0.5)
    full = torch.full((3, height, width), 0.5)
    start = time.monotonic()
    result = return_to_full_size(full, small, small * 0.5 + 0.2)
    assert time.monotonic() - start < 30
    assert float((result - 0.45).abs().max()) < 0.02


def test_31_blocks_give_what_one_block_gives(
    full: torch.Tensor, small: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = return_to_full_size(full, small, toned(small))
    for name, value in (("_MAX_WEIGHTS", 1), ("_BLOCK", 37)):
        monkeypatch.setattr(upsampling, name, value)
    assert float((return_to_full_size(full, small, toned(small)) - whole).abs().max()) < 1e-5
