"""The wordings as labelled texts, from which a text encoder learns."""

from __future__ import annotations

from ip2p_cli.looks import looks


def labelled_wordings() -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """List (trained, held out) wordings, each with the number of its class.

    Each look at each strength is a class, and the empty wording is one too.
    """
    trained, held_out, classes = [("", 0)], [], 1
    for look in looks().values():
        held_out += [(text, classes) for text in look.held_out]
        for wordings in (look.wordings, look.slightly, look.much):
            if wordings:
                trained += [(text, classes) for text in wordings]
                classes += 1
    return trained, held_out
