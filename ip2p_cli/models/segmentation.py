"""The subject of a photo: what it is a photo of, apart from its background.

By rembg (U²-Net, Qin et al. 2020, arXiv:2005.09007) where it is installed and its weights are on this machine, else by
the package's own small network. Nothing is fetched.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ip2p_cli.errors import ModelError
from ip2p_cli.looks.base import Pixels, Plane
from ip2p_cli.looks.tones import f32
from ip2p_cli.models.fingerprint import files_fingerprint
from ip2p_cli.models.subject import finding

_REMBG = "u2net"  # free for all uses, unlike rembg's default
_LEAST = 0.002  # a smaller share of the photo is no subject
_INSTALL = "pip install 'ip2p[subject]'"
_FETCH = f"""python -c 'import rembg; rembg.new_session("{_REMBG}")'"""


def subject_mask(photo: Pixels) -> Plane | None:
    """Find the subject of a photo.

    Args:
        photo: (H, W, 3) in [0, 1], at a size of about 1000 pixels or less.

    Returns:
        How likely each pixel is of the subject, (H, W) in [0, 1]; None where the photo has no subject.

    Raises:
        ModelError: There is no network here that finds subjects.
    """
    weights = _rembg_weights()
    if weights is None:
        _check_own()
        mask: Plane = finding.find_subject(photo)
    else:
        import rembg

        image = Image.fromarray((photo * 255 + 0.5).astype(np.uint8))
        mask = f32(rembg.remove(image, session=_session(weights), only_mask=True)) / np.float32(255)
    return mask if float((mask > 0.5).mean()) >= _LEAST else None


def subject_model() -> str:
    """Return the name and the fingerprint of the network that finds subjects; raises ModelError as `subject_mask`."""
    weights = _rembg_weights()
    if weights is not None:
        return f"{_REMBG} {files_fingerprint([weights])}"
    _check_own()
    return f"subject {files_fingerprint([finding.WEIGHTS])}"


def _rembg_weights() -> Path | None:
    """The file of rembg's weights; None without rembg, or without its weights."""
    try:
        from rembg.sessions.u2net import U2netSession
    except ImportError:
        return None
    found: str | None = U2netSession.resolve_existing(f"{_REMBG}.onnx")
    return Path(found) if found is not None else None


def _check_own() -> None:
    """Raise ModelError without the package's own network."""
    if not finding.WEIGHTS.is_file():
        raise ModelError(
            "a region “subject” or “background” needs a network that this copy of ip2p lacks: give --mask, or "
            f"{_INSTALL} and fetch its weights once (176 MB) with {_FETCH}"
        )


@lru_cache(maxsize=1)
def _session(weights: Path) -> Any:
    import rembg

    # On the CPU, as everything that makes a mask, so that it is the same on every machine.
    return rembg.new_session(_REMBG, providers=["CPUExecutionProvider"])
