"""Where nano's thresholds for instructions that it does not know lie: `python -m benchmarks.unknown_words`.

It prints, for `KNOWN` and `NEAR` of `models.nano.look_matcher` and a range of other cosines, the share of texts at or
above: wordings that were never trained on, paraphrases of looks, and instructions that
no look answers. Beside it stands how often the nearest look is the right one. A good `KNOWN` keeps nearly all held-out
wordings above and nearly all foreign instructions below; between `NEAR` and `KNOWN` the nearest look should be right
more often than not.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ip2p_cli.looks import looks
from ip2p_cli.models.editor import Editor
from ip2p_cli.models.loader import load_editor
from ip2p_cli.models.nano.look_matcher import KNOWN, NEAR, Closest, closest
from ip2p_cli.models.registry import find_model

FOREIGN = (
    "add a cat", "remove the car", "swap the faces", "make him smile", "put a hat on her", "turn the dog into a wolf",
    "add a second moon", "remove all people", "give the man a beard", "replace the bread with pizza",
    "write happy birthday in the corner", "add my name", "delete the text", "crop to a square", "rotate by 90 degrees",
    "zoom in on the face", "make the building taller", "open the window", "close her eyes", "make the child older",
    "put him on a horse", "add a rainbow unicorn", "exchange the car for a bicycle", "fill the glass with wine",
    "add a boat to the lake", "make the chair wooden", "turn the sofa leather", "let the cat wear glasses",
    "change her haircut", "make them hold hands", "add a waterfall", "make the statue alive", "put a book on the table",
    "remove the watermark", "straighten the horizon", "make her look to the left", "count the birds",
    "what is in this photo?", "make a video of it", "upscale four times", "add fireworks above the town",
    "turn the coffee into tea", "make the bridge collapse", "add a spaceship", "clone the tree", "move the lamp",
    "erase the person behind", "make the plate empty", "give the cat wings", "add a second person",
    "dress him in a suit", "make the bus a tram", "replace the horse with a camel", "set the table",
    "turn the bag into a basket", "make the runner win", "tell me a joke", "build a castle", "make the baby laugh",
    "mirror it horizontally",
)  # fmt: skip
# What people may say for a look. All but the five that were asked for first are in no list of wordings.
PARAPHRASES = (
    ("get rid of the colours", "black_and_white"), ("desaturate it completely", "black_and_white"),
    ("no more colour at all", "black_and_white"), ("nothing but shades of grey", "black_and_white"),
    ("it should be pouring", "rain"), ("let it bucket down", "rain"), ("drench the scene from above", "rain"),
    ("make the colours pop", "vivid"), ("crank the saturation up", "vivid"), ("more colourful, much more", "vivid"),
    ("8-bit video game graphics", "pixel_art"), ("like an old nintendo", "pixel_art"), ("huge pixels", "pixel_art"),
    ("everything covered with snow", "winter"), ("freezing january day", "winter"), ("as cold as siberia", "winter"),
    ("leaves turning red and gold", "autumn"), ("september foliage", "autumn"), ("halloween season outdoors", "autumn"),
    ("i can hardly see through the mist", "fog"), ("london fog", "fog"), ("lightning bolts everywhere", "storm"),
    ("a tempest is coming", "storm"), ("at two in the morning", "night"), ("dark outside, the stars are out", "night"),
    ("the sun goes down", "sunset"), ("evening red", "sunset"), ("turn the light up", "brighter"),
    ("too dark, fix it", "brighter"), ("stop it down", "darker"), ("drawn with a graphite pencil", "pencil_sketch"),
    ("as if sketched by hand", "pencil_sketch"), ("saturday animation", "cartoon"), ("a comic book panel", "cartoon"),
    ("aquarelle colours", "watercolour"), ("water and pigments", "watercolour"), ("brown like an old print", "sepia"),
    ("light becomes dark", "invert"), ("out of focus all over", "blur"), ("crisper, please", "sharpen"),
)  # fmt: skip


def shares(found: Sequence[Closest], level: float) -> float:
    """The share of texts whose nearest wording is at least as similar as `level`."""
    return sum(one.similarity >= level for one in found) / len(found)


def report(editor: Editor) -> str:
    """Measure a model; returns a table."""
    held_out = [(text, look.name) for look in looks().values() for text in look.held_out]
    groups = {
        "held out": (held_out, [closest(editor, text) for text, _ in held_out]),
        "paraphrases": (list(PARAPHRASES), [closest(editor, text) for text, _ in PARAPHRASES]),
        "foreign": ([(text, "") for text in FOREIGN], [closest(editor, text) for text in FOREIGN]),
    }
    lines = ["cosine   " + "".join(f"{name:>14}" for name in groups)]
    for level in sorted({*(round(0.4 + 0.05 * step, 2) for step in range(12)), KNOWN, NEAR}):
        name = {KNOWN: "KNOWN", NEAR: "NEAR"}.get(level, "")
        columns = "".join(f"{100 * shares(found, level):12.1f} %" for _, found in groups.values())
        lines.append(f"{level:4.2f} {name:5}{columns}")
    for name in ("held out", "paraphrases"):
        asked, found = groups[name]
        pairs = list(zip(asked, found, strict=True))
        right = [one.looks[0] == look for (_, look), one in pairs]
        lines.append(f"{name}: the nearest look is the right one for {100 * sum(right) / len(right):.1f} %")
        between = [one.looks[0] == look for (_, look), one in pairs if one.near and not one.known]
        if between:
            lines.append(f"  of the {len(between)} from NEAR to KNOWN for {100 * sum(between) / len(between):.1f} %")
    for name, wrong in (("paraphrases below NEAR", False), ("foreign from NEAR on", True)):
        texts, found = groups[name.split()[0]]
        listed = [
            f"{text} ({one.similarity:.2f}, {one.looks[0]})"
            for (text, _), one in zip(texts, found, strict=True)
            if one.near is wrong
        ]
        lines.append(f"{name}: {'; '.join(listed) or 'none'}")
    return "\n".join(lines)


def main() -> None:
    """Read the arguments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="nano, or a folder that was packed as nano is")
    editor = load_editor(find_model(parser.parse_args().model), device="cpu", dtype="fp32")
    print(report(editor))


if __name__ == "__main__":
    main()
