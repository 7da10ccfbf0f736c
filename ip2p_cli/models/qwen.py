"""The processor of Qwen-Image-Edit's pipelines, without its part for videos.

transformers' Qwen2VLProcessor needs a video processor, which needs torchvision. The pipelines give it photos only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import Qwen2VLProcessor


class PhotoProcessor(Qwen2VLProcessor):  # type: ignore[misc]
    """Qwen2VLProcessor for photos and text; transformers loads the parts that the arguments name."""

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None) -> None:
        super().__init__(image_processor, tokenizer, chat_template=chat_template)


def photo_processor(folder: Path) -> PhotoProcessor:
    """Load the processor of the model in `folder`."""
    processor: PhotoProcessor = PhotoProcessor.from_pretrained(str(folder / "processor"), local_files_only=True)
    return processor
