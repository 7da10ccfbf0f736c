"""Instructions, checked wherever they come from: the command line, recipes, job files, records, Python."""

from __future__ import annotations

from ip2p_cli.errors import UsageError

MAX_INSTRUCTION = 10_000  # characters; CLIP reads 77 tokens, language models some thousands


def checked_instruction(text: str, where: str = "") -> str:
    """Return an instruction without the space around it.

    Raises:
        UsageError: It is empty, far too long, or holds bytes that are not text; the message begins with `where`.
    """
    if not text.strip():
        raise UsageError(f'{where}the instruction is empty: say what to change, e.g. "make it winter".')
    if len(text) > MAX_INSTRUCTION:
        raise UsageError(f"{where}the instruction is longer than {MAX_INSTRUCTION:,} characters: shorten it.")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise UsageError(f"{where}the instruction is not valid UTF-8: type it again, in a terminal that uses UTF-8.")
    return text.strip()
