"""Writes examples to fine-tune a language model on, in the paper's format or as conversations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ip2p_cli.datagen.triplets.data_files import exemplars
from ip2p_cli.datagen.triplets.prompting import ASK, chat_example, completion
from ip2p_cli.errors import InputError
from ip2p_cli.io.files import write_whole
from ip2p_cli.io.names import printable
from ip2p_cli.io.tables import read_rows

FormatName = Literal["prompt-completion", "chat"]
_COLUMNS = (("caption", "input"), ("instruction", "edit"), ("edited_caption", "output"))


def write_examples(path: Path, source: Path | None, form: FormatName, *, overwrite: bool = False) -> int:
    """Write an example a line.

    Args:
        path: The .jsonl to write.
        source: A table with `caption` or `input`, `instruction` or `edit`, `edited_caption` or `output`. None is our
            own hand-written triplets.
        form: The paper's prompts and completions, or conversations.
        overwrite: Replace a file that exists.

    Returns:
        The number of examples.

    Raises:
        InputError: The source cannot be read.
        OutputError: `path` cannot be written, or exists.
    """
    own = ((each.caption, each.instruction, each.edited_caption) for each in exemplars())
    triplets = own if source is None else _read(source)
    lines = [json.dumps(_example(*triplet, form), ensure_ascii=False) for triplet in triplets]
    if not lines:
        raise InputError(f"{printable(source or '')}: no triplets")
    write_whole(path, ("\n".join(lines) + "\n").encode(), overwrite=overwrite)
    return len(lines)


def _example(caption: str, instruction: str, edited: str, form: FormatName) -> dict[str, object]:
    if form == "chat":
        return {"messages": chat_example(caption, instruction, edited)}
    return {"prompt": caption + ASK, "completion": completion(instruction, edited)}


def _read(path: Path) -> Iterator[tuple[str, str, str]]:
    """Caption, instruction and edited caption of each row, under the names of ours or of the released files."""
    for number, row in read_rows(path):
        if not isinstance(row, dict):
            raise InputError(f"{printable(path)}, row {number}: not a JSON object")
        caption, instruction, edited = (row.get(name) or row.get(other) for name, other in _COLUMNS)
        if not (isinstance(caption, str) and isinstance(instruction, str) and isinstance(edited, str)):
            raise InputError(
                f"{printable(path)}, row {number}: it needs caption, instruction and edited_caption (or input, edit "
                "and output), each a text"
            )
        yield caption, instruction, edited
