"""What the layouts of datasets call the fields of a pair, in one table each."""

from __future__ import annotations

from typing import Any

# The pictures of a sample.
PICTURES = ("original.jpg", "edited.jpg")

# The published parquet (timbrooks/instructpix2pix-clip-filtered): column -> our field or picture.
TEXT_COLUMNS = {"original_prompt": "caption", "edit_prompt": "instruction", "edited_prompt": "edited_caption"}
PICTURE_COLUMNS = {"original_image": "original.jpg", "edited_image": "edited.jpg"}
NEEDED_COLUMNS = ("original_image", "edit_prompt", "edited_image")
REST_COLUMN = "more"  # the fields without a column, as JSON
# Column -> its type, as the datasets library calls it.
COLUMN_TYPES = {
    "original_prompt": "string",
    "original_image": "image",
    "edit_prompt": "string",
    "edited_prompt": "string",
    "edited_image": "image",
    "key": "string",
    "triplet": "string",
    "candidate": "int64",
    "kind": "string",
    "painter": "string",
    "model": "string",
    "seed": "int64",
    "p": "float64",
    "cfg_text": "float64",
    REST_COLUMN: "string",
}

# The authors' folders: field -> name in prompt.json, and in metadata.jsonl, where ours stand too.
PROMPT_NAMES = {"caption": "input", "instruction": "edit", "edited_caption": "output"}
METADATA_NAMES = {
    "p": "p2p_threshold",
    "cfg_text": "cfg_scale",
    "clip_text_original": "clip_sim_0",
    "clip_text_edited": "clip_sim_1",
    "clip_direction": "clip_sim_dir",
    "clip_image": "clip_sim_image",
}

_NOT_SCORES = frozenset({"candidate", "seed", "seeds", "key", "triplet", "kind", *PROMPT_NAMES})


def is_score(name: str, value: Any) -> bool:
    """Whether a field of a row is a score, or another number that says how the pair was drawn."""
    return isinstance(value, int | float) and not isinstance(value, bool) and name not in _NOT_SCORES
