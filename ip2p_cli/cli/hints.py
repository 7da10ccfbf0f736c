"""Hints for arguments that were meant otherwise, before the command line is parsed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import PurePath

from ip2p_cli.errors import UsageError
from ip2p_cli.suggest import did_you_mean

_NUMBERS = ("--cfg-text", "--cfg-image", "--steps", "--resolution", "--seed")


def check_arguments(arguments: Sequence[str], commands: Sequence[str]) -> None:
    """Raise UsageError, with what to type instead, for arguments that other tools take or that are easily mistyped.

    Args:
        arguments: The words behind `ip2p`.
        commands: The commands that exist.
    """
    if not arguments:
        return
    command = arguments[0]
    if commands and not command.startswith("-") and command not in commands:
        _check_command(command, arguments[1:], commands)
    flags = [part for word in arguments[1:] for part in _split(word)]
    for flag, value in pairwise([*flags, ""]):
        _check_flag(command, flag, value)


def _split(word: str) -> list[str]:
    return word.split("=", 1) if word.startswith("--") and "=" in word else [word]


def _check_command(command: str, rest: Sequence[str], commands: Sequence[str]) -> None:
    from ip2p_cli.io.inputs import PHOTO_ENDINGS

    if PurePath(command).suffix.lower() in PHOTO_ENDINGS:
        instruction = next((f'"{word}"' for word in rest if not word.startswith("-")), '"make it winter"')
        raise UsageError(f"{command} is no command; did you mean: ip2p edit {command} {instruction}?")
    raise UsageError(f"{command} is no command.{did_you_mean(command, commands)} ip2p --help lists the commands.")


def _check_flag(command: str, flag: str, value: str) -> None:
    if flag == "--seed" and re.fullmatch(r"-\d+", value):
        raise UsageError(f"--seed {value}: leave --seed out for a new seed; a seed is 0 or more.")
    if flag == "--device" and re.fullmatch(r"cuda:\d+", value):
        raise UsageError(f"--device {value}: choose the GPU with CUDA_VISIBLE_DEVICES={value[5:]} and --device cuda.")
    if flag in _NUMBERS and command in ("edit", "chain") and re.fullmatch(r"\d+,\d+", value):
        raise UsageError(f"{flag} {value}: write {value.replace(',', '.')}; `ip2p variants` takes lists.")
    if flag == "--seeds" and command in ("edit", "chain"):
        raise UsageError(f"--seeds is a flag of `ip2p variants`; `ip2p {command}` takes one --seed.")
    if flag.startswith("-o="):
        raise UsageError(f"{flag}: write -o {flag[3:]}, without the equals sign.")
