"""The wordings as labelled texts, for a text encoder to learn from."""

from __future__ import annotations

from ip2p_cli.looks import looks


def labelled_wordings() -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """(trained, held out) wordings with a class: one for each look and strength; the empty wording has its own."""
    trained, held_out, classes = [("", 0)], [], 1
    for look in looks().values():
        held_out += [(text, classes) for text in look.held_out]
        for wordings in (look.wordings, look.slightly, look.much):
            if wordings:
                trained += [(text, classes) for text in wordings]
                classes += 1
    return trained, held_out
