"""Reads edit settings that people write in job files, recipes, the config file and `--set`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ip2p_cli.errors import UsageError
from ip2p_cli.suggest import did_you_mean
from ip2p_cli.types import EditSettings

_EARLIER_NAMES = {"fit": "resize_mode"}  # in records, recipes and job files of ip2p before 0.2
SETTINGS = tuple(field.name for field in fields(EditSettings))


def read_settings(values: Mapping[str, Any], where: str) -> EditSettings:
    """Make settings from values by name; numbers may be written as text.

    Args:
        values: Values by the names of EditSettings.
        where: What messages begin with, such as the file and the row.

    Raises:
        UsageError: A name is unknown, or a value is not possible.
    """
    values = renamed(values)
    refuse_unknown(values, SETTINGS, where)
    for name, value in values.items():
        if isinstance(value, bool):  # an int to Python, but `steps: true` is a mistake
            raise UsageError(f"{where}: {name}: {value!r} is not a value for it")
    try:
        return TypeAdapter(EditSettings).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        raise UsageError(f"{where}: {name}: {first['msg']} (it is {first.get('input')!r})") from None


def renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give settings that earlier versions wrote under other names their present names."""
    return {_EARLIER_NAMES.get(name, name): value for name, value in values.items()}


def refuse_unknown(names: Collection[str], known: Collection[str], where: str) -> None:
    """Raise UsageError for the first of `names` that is not `known`; the message has the nearest known name."""
    for name in names:
        if name not in known:
            hint = did_you_mean(str(name), known) or f" Known: {', '.join(known)}."
            raise UsageError(f"{where}: unknown field {name!r}.{hint}")
