"""`ip2p show OUT`: how a picture was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ip2p_cli.cli import options as opt
from ip2p_cli.cli.output import Output
from ip2p_cli.errors import InputError


def show(
    path: Annotated[str, typer.Argument(metavar="OUT", help="A picture that ip2p made.")],
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Show how a picture was made: model, instruction, settings, seed, input."""
    from ip2p_cli.io.names import printable
    from ip2p_cli.io.provenance import read_record

    record = read_record(Path(path))
    if record is None:
        raise InputError(f"{printable(path)} has no record of how it was made: it is not ip2p's, or lost its metadata.")
    Output(json=json, quiet=quiet).data("\n".join(_lines(record)), record)


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each field of a record, the parents last; a text in several lines is shown in one."""
    from ip2p_cli.io.names import printable

    fields = {key: value for key, value in record.items() if key != "parents" and value is not None}
    width = max(map(len, fields), default=0)
    for key, value in fields.items():
        yield f"{printable(key):{width}}  {printable(_text(key, value))}"
    parents = record.get("parents")
    for number, parent in enumerate(parents if isinstance(parents, list) else [], 1):
        yield f"\nparent {number}"
        if isinstance(parent, Mapping):
            yield from _lines({key: value for key, value in parent.items() if key != "parents"})


def _text(key: str, value: object) -> str:
    if key in ("size", "input_size") and isinstance(value, list):
        return " x ".join(map(str, value))
    return str(value)
