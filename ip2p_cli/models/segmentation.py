"""The subject of a photo: what it is a photo of, apart from its background.

By rembg (U²-Net, Qin et al. 2020, arXiv:2005.09007), where it is installed and its weights are on this machine. Nothing
is fetched.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ip2p_cli.errors import ModelError
from ip2p_cli.looks.base import Pixels, Plane
from ip2p_cli.models.fingerprint import files_fingerprint

_NAME = "u2net"  # free for all uses, unlike rembg's default
_LEAST = 0.002  # a smaller share of the photo is no subject
_INSTALL = "pip install 'ip2p[subject]'"
_FETCH = f"""python -c 'import rembg; rembg.new_session("{_NAME}")'"""


def subject_mask(photo: Pixels) -> Plane | None:
    """Find the subject of a photo.

    Args:
        photo: (H, W, 3) in [0, 1], at a size of about 1000 pixels or less.

    Returns:
        How likely each pixel is of the subject, (H, W) in [0, 1]; None where the photo has no subject.

    Raises:
        ModelError: There is no network here that finds subjects.
    """
    import rembg

    session = _session(_weights())
    image = Image.fromarray((photo * 255 + 0.5).astype(np.uint8))
    found = rembg.remove(image, session=session, only_mask=True)
    mask: Plane = np.asarray(found, dtype=np.float32) / 255
    return mask if float((mask > 0.5).mean()) >= _LEAST else None


def subject_model() -> str:
    """Return the name and the fingerprint of the network that finds subjects; raises ModelError as `subject_mask`."""
    return f"{_NAME} {files_fingerprint([_weights()])}"


def _weights() -> Path:
    """The file of rembg's weights."""
    try:
        from rembg.sessions.u2net import U2netSession
    except ImportError:
        raise ModelError(
            f"a region “subject” or “background” needs rembg, which is not installed: {_INSTALL}, or give --mask"
        ) from None
    found: str | None = U2netSession.resolve_existing(f"{_NAME}.onnx")
    if found is None or not os.path.isfile(found):  # noqa: PTH113 - rembg gives text
        raise ModelError(f"rembg has no weights here: fetch them once (176 MB) with {_FETCH}, or give --mask")
    return Path(found)


@lru_cache(maxsize=1)
def _session(weights: Path) -> Any:
    import rembg

    # On the CPU, as everything that decides a mask: a mask is the same on every machine.
    return rembg.new_session(_NAME, providers=["CPUExecutionProvider"])
