"""Examples to fine-tune a language model on: the paper's format of 700 examples, or conversations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ip2p_cli.datagen.triplets.prompting import ASK, chat_example, completion
from ip2p_cli.datagen.triplets.seeds import exemplars
from ip2p_cli.errors import InputError
from ip2p_cli.io.files import write_whole
from ip2p_cli.io.names import printable, reason

FormatName = Literal["prompt-completion", "chat"]


def write_examples(path: Path, source: Path | None, form: FormatName, *, overwrite: bool = False) -> int:
    """Write an example a line to `path`; how many there are.

    source: a .jsonl with `caption` or `input`, `instruction` or `edit`, `edited_caption` or `output`; None for our own
    triplets. Raises InputError where it cannot be read, OutputError where `path` cannot be written or exists.
    """
    found = _own() if source is None else _read(source)
    lines = [json.dumps(_example(*triplet, form), ensure_ascii=False) for triplet in found]
    if not lines:
        raise InputError(f"{printable(source or '')}: no triplets")
    write_whole(path, ("\n".join(lines) + "\n").encode(), overwrite=overwrite)
    return len(lines)


def _example(caption: str, instruction: str, edited: str, form: FormatName) -> dict[str, object]:
    if form == "chat":
        return {"messages": chat_example(caption, instruction, edited)}
    return {"prompt": caption + ASK, "completion": completion(instruction, edited)}


def _own() -> Iterator[tuple[str, str, str]]:
    return ((one.caption, one.instruction, one.edited_caption) for one in exemplars())


def _read(path: Path) -> Iterator[tuple[str, str, str]]:
    names = (("caption", "input"), ("instruction", "edit"), ("edited_caption", "output"))
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                row = json.loads(line)
                values = [next((row[name] for name in pair if row.get(name)), None) for pair in names]
                if not all(isinstance(value, str) for value in values):
                    raise InputError(
                        f"{printable(path)}, line {number}: it needs caption, instruction and edited_caption (or "
                        "input, edit and output), each a text"
                    )
                yield str(values[0]), str(values[1]), str(values[2])
    except OSError as error:
        raise InputError(f"{printable(path)}: {reason(error)}: check the path of --from") from error
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{printable(path)}: not a JSON object a line ({error})") from error
