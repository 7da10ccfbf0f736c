"""What Qwen-Image-Edit's pipelines read photos and instructions with, without the part for videos.

transformers' Qwen2VLProcessor insists on a video processor, and that one on torchvision; the pipelines give it
photos only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import Qwen2VLProcessor


class PhotoProcessor(Qwen2VLProcessor):  # type: ignore[misc]
    """Qwen2VLProcessor for photos and text; transformers learns from the arguments which parts to load."""

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None) -> None:
        super().__init__(image_processor, tokenizer, chat_template=chat_template)


def photo_processor(folder: Path) -> PhotoProcessor:
    """The processor in a model's folder `folder`. Raises what transformers raises where it is incomplete."""
    processor: PhotoProcessor = PhotoProcessor.from_pretrained(str(folder / "processor"), local_files_only=True)
    return processor
