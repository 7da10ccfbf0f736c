"""How many edits `--auto-tune` rescues: `python -m benchmarks.auto_tune --photos FOLDER` (docs/verdicts.md).

Edits with deliberately wrong scales, of photos and instructions of looks, with `max_tries` as the command has it. An
edit counts as failed where the verdict on the settings as given is not ok, and as rescued where that on what was kept
is. The cost is the denoising steps of all tries, as a multiple of the steps of one edit.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ip2p_cli import Editor
from ip2p_cli.editing.tuning import DEFAULT_TRIES
from ip2p_cli.io.images import read_image
from ip2p_cli.looks import looks
from ip2p_cli.models.registry import find_model
from ip2p_cli.settings import BUILT_IN
from ip2p_cli.types import EditSettings

# Factors of the model's own scales.
WRONG: Mapping[str, Mapping[str, float]] = {
    "text x 0.1": {"cfg_text": 0.1},
    "text x 0.3": {"cfg_text": 0.3},
    "text x 3": {"cfg_text": 3.0},
    "image x 0.3": {"cfg_image": 0.3},
    "image x 3": {"cfg_image": 3.0},
}


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """The verdict before and after, and the cost, in edits."""

    before: str
    after: str
    cost: float


def tuned(editor: Editor, photo: Image.Image, words: str, settings: EditSettings, tries: int) -> Tuned:
    """Make one edit, tuned."""
    result = editor.edit(photo, words, settings, max_tries=tries)
    made = result.extra["auto_tune"]["tries"]
    steps = sum(one["steps"] for one in made)
    return Tuned(before=made[0]["verdict"], after=result.verdict.name, cost=steps / made[0]["steps"])


def read(path: Path, side: int) -> Image.Image:
    """Read a photo, its longer side at most `side` pixels."""
    photo = read_image(path).rgb
    photo.thumbnail((side, side))
    return photo


def report(made: Mapping[str, Sequence[Tuned]]) -> str:
    """Return a table."""
    lines = ["| scales | edits | failed | rescued of these | cost of a failed one, in edits |", "|---|---|---|---|---|"]
    everything = [one for edits in made.values() for one in edits]
    for name, edits in {**made, "all": everything}.items():
        failed = [one for one in edits if one.before != "ok"]
        rescued = sum(one.after == "ok" for one in failed)
        cost = f"{statistics.mean(one.cost for one in failed):.1f}" if failed else "–"
        share = f"{rescued} ({100 * rescued / len(failed):.0f} %)" if failed else "–"
        lines.append(f"| {name} | {len(edits)} | {len(failed)} | {share} | {cost} |")
    return "\n".join(lines)


def main() -> None:
    """Read the arguments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--limit", type=int, default=6, help="photos, spread over the folder")
    parser.add_argument("--looks", type=int, default=6, help="on each photo")
    parser.add_argument("--side", type=int, default=384, help="pixels of a photo's longer side")
    parser.add_argument("--steps", type=int, help="of an edit; default: the model's")
    parser.add_argument("--max-tries", type=int, default=DEFAULT_TRIES)
    args = parser.parse_args()
    paths = sorted(args.photos.glob("*.jpg"))
    paths = paths[len(paths) // (2 * args.limit) :: max(1, len(paths) // args.limit)][: args.limit]
    own = find_model(args.model).defaults.or_else(BUILT_IN)
    editor, names = Editor.load(args.model), list(looks())
    made: dict[str, list[Tuned]] = {"the model's own": [], **{name: [] for name in WRONG}}
    for number, path in enumerate(paths):
        photo = read(path, args.side)
        for place in range(args.looks):
            look = names[(number + place * max(1, len(names) // args.looks)) % len(names)]
            for name, edits in made.items():
                scales = {one: getattr(own, one) * factor for one, factor in WRONG.get(name, {}).items()}
                settings = EditSettings(seed=number, steps=args.steps, output_size="model", **scales)  # type: ignore[arg-type]
                edits.append(tuned(editor, photo, looks()[look].wordings[0], settings, args.max_tries))
                if edits[-1].before != "ok":
                    print(f"{path.stem} {look}, {name}: {edits[-1]}", file=sys.stderr)
        print(f"{number + 1} of {len(paths)} photos", file=sys.stderr, flush=True)
    print(report(made))


if __name__ == "__main__":
    main()
