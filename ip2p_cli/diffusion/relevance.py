"""Where a model would edit a photo: where its predictions with and without the instruction differ.

Watch Your Steps (Mirzaei et al. 2023, arXiv:2308.08947), averaged over several noises as in DiffEdit (Couairon et al.
2022, arXiv:2210.11427).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ip2p_cli.diffusion.editing import initial_noise, make_generators
from ip2p_cli.diffusion.guidance import GuidedDenoiser
from ip2p_cli.diffusion.latents import ImageLatent
from ip2p_cli.diffusion.samplers import make_scheduler
from ip2p_cli.diffusion.text import TextCondition, null_condition, size_condition
from ip2p_cli.models.editor import Editor
from ip2p_cli.models.sdxl import is_edm

_STEPS, _AT = 20, 4  # the noise of the fifth of twenty steps, at t = 0.8 T: late in the noise, early in sampling
_THRESHOLD = 0.5  # of the normalised difference
_MOST = 0.6  # an edit of a larger share of the photo is a global one
# And so is one whose difference elsewhere is more than this share of that where it is large: it is about 0.5 of nano's
# edits of a whole photo, 0.25 of its edits of the plants in one.
_ELSEWHERE = 0.35


def noises_for(steps: int) -> int:
    """Return how many noises to average for an edit of so many steps: from 20 on they cost at most a tenth of it."""
    return max(3, min(10, steps * 3 // 20))


@torch.no_grad()
def relevance(
    editor: Editor,
    image: ImageLatent,
    text: TextCondition,
    *,
    noises: int,
    seed: int,
    max_rows: int | None = None,
) -> torch.Tensor:
    """Compare the model's predictions for a noisy photo with and without an instruction.

    Args:
        editor: The model.
        image: The photo (1, C, h, w).
        text: The instruction, N = 1.
        noises: How many noises to average over; the UNet is evaluated twice for each.
        seed: Of the noises.
        max_rows: The largest number of rows in a UNet call; None for no limit.

    Returns:
        How much the predictions differ, (h, w), on the CPU.
    """
    config = editor.scheduler_config
    scheduler = make_scheduler("euler" if is_edm(config) else "ddim", config, _STEPS)
    scheduler.set_begin_index(_AT)
    timestep = scheduler.timesteps[_AT]
    generators = make_generators([seed + number for number in range(noises)])
    noise = initial_noise(image.tensor.shape[1:], generators, editor.noise_offset).to(image.tensor)
    photo = (image.tensor * editor.scaling_factor).expand_as(noise)
    latent = scheduler.scale_model_input(
        scheduler.add_noise(photo, noise, timestep[None].expand(noises)), timestep
    ).repeat(2, 1, 1, 1)
    pooled = None if text.pooled is None else text.pooled.expand(2 * noises, -1)
    denoiser = GuidedDenoiser(
        editor.unet,
        ImageLatent(image.tensor.expand(2 * noises, -1, -1, -1) * editor.condition_factor),
        TextCondition(text.states.expand(2 * noises, -1, -1), pooled),
        null_condition(editor),
        # With these scales eq. 3 is e(I,T) alone in the first half, and e(I,0) alone in the second.
        cfg_text=[1.0] * noises + [0.0] * noises,
        cfg_image=[1.0] * 2 * noises,
        time_ids=size_condition(editor, image),
        max_rows=max_rows,
    )
    with_text, without = denoiser(latent, timestep).chunk(2)
    return (with_text - without).abs().mean(dim=(0, 1)).cpu()


def where_relevant(difference: torch.Tensor) -> torch.Tensor | None:
    """Return where a difference (h, w) is large, as bool; None where that is most of it, as in a global edit."""
    smooth = F.avg_pool2d(F.pad(difference[None, None], (1, 1, 1, 1), mode="replicate"), 3, stride=1)[0, 0]
    low, quarter, three, high = (float(smooth.flatten().quantile(q)) for q in (0.05, 0.25, 0.75, 0.99))
    # Outliers count as the largest of the others; where most of the photo stays, what does not is no outlier.
    top = max(min(float(smooth.max()), three + 1.5 * (three - quarter)), high)
    is_relevant = smooth - low >= _THRESHOLD * (top - low)
    if top <= 0 or float(is_relevant.float().mean()) > _MOST or is_relevant.all():
        return None
    elsewhere = float(smooth[~is_relevant].mean() / smooth[is_relevant].mean())
    return None if elsewhere > _ELSEWHERE else is_relevant
