"""How often the verdict on an edit is right: `python -m benchmarks.verdict --photos FOLDER` (docs/verdicts.md).

Edits of photos are made by the looks' own painters, good ones and deliberately bad ones, and judged twice: knowing the
look that was asked for, as for nano, and not knowing it, as for other models without CLIP. Bad are: nothing at all, and
two per cent of an edit (no-change); three times an edit's change, an edit with its parts displaced, and an edit of
another photo (over-edit); the picture of another look that is visibly another one here, and an edit outside the region
that was asked for (off-target).
"""

from __future__ import annotations

import argparse
import io
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ip2p_cli.editing.judging import draws_of, painting_size
from ip2p_cli.editing.verdict import Evidence, judge, small_size
from ip2p_cli.io.images import read_image
from ip2p_cli.looks import apply, looks
from ip2p_cli.looks.regions import REGIONS, restrict
from ip2p_cli.measures import NOTICEABLE, Pixels, appearance, reduced
from ip2p_cli.types import VerdictName

# Looks that legitimately replace the structure or all colours of a photo: they are tried on every photo.
REPLACING = ("pixel_art", "invert", "pencil_sketch", "black_and_white")
PLACES = ("top", "bottom", "left", "right", "middle")


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """An edit and the verdict that is right. Pictures (H, W, 3) in [0, 1]; look and region: what was asked for."""

    kind: str
    right: VerdictName
    look: str
    photo: Pixels
    edit: Pixels
    region: str | None = None


def cases(photo: Pixels, other: Pixels, names: Sequence[str], rng: random.Random) -> Iterator[Case]:
    """Make edits of a photo, good ones and bad ones; other: another photo of the same size."""
    for name in names:
        seed = rng.randrange(1000, 2**31)
        edit = apply(name, photo, seed=seed)
        if _distance(photo, edit) < 2 * NOTICEABLE:
            continue  # the photo holds nothing that this look would change
        draws: list[tuple[str, VerdictName, Pixels]] = [
            ("a draw of the look", "ok", edit),
            ("nothing", "no-change", photo),
            ("2 % of it", "no-change", photo + 0.02 * (edit - photo)),
            ("3 times the change", "over-edit", photo + 3 * (edit - photo)),
            ("displaced", "over-edit", _displaced(edit, seed)),
            ("of another photo", "over-edit", apply(name, other, seed=seed)),
        ]
        wrong = apply(rng.choice([one for one in looks() if one != name]), photo, seed=seed)
        if min(_distance(wrong, photo), _distance(wrong, edit)) > 0.5 * _distance(edit, photo):
            draws.append(("another look", "off-target", wrong))
        for kind, right, made in draws:
            yield Case(kind=kind, right=right, look=name, photo=photo, edit=_saved(made))
        place = rng.choice(PLACES)
        mask = REGIONS[place].mask(photo)
        assert mask is not None
        for kind, right, where in (("in the region", "ok", mask), ("outside the region", "off-target", 1 - mask)):
            made = _saved(restrict(photo, edit, where))
            if _distance(photo, made) < 2 * NOTICEABLE:
                continue
            yield Case(kind=kind, right=right, look=name, photo=photo, edit=made, region=place)  # type: ignore[arg-type]


class Judge:
    """Judges the edits of a photo as ip2p does; what is expected of a look is painted once."""

    def __init__(self, photo: Pixels) -> None:
        self._size = small_size(photo.shape[1::-1])
        self._photo, self._large = self._small(photo), cv2.resize(photo, painting_size(photo.shape[1::-1]))
        self._expected = cache(self._paint)

    def verdict(self, case: Case, *, knows_look: bool) -> tuple[VerdictName, dict[str, float]]:
        """Return the verdict and its measures."""
        region = self._region(case.region)
        expected = self._expected(case.look, case.region) if knows_look else ()
        evidence = Evidence(photo=self._photo, edit=self._small(case.edit), expected=expected, region=region)
        return judge(evidence)

    def _small(self, picture: Pixels) -> Pixels:
        return np.asarray(cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA))

    def _region(self, name: str | None) -> Pixels | None:
        return REGIONS[name].mask(self._photo) if name is not None else None

    def _paint(self, look: str, region: str | None) -> tuple[Pixels, ...]:
        return draws_of(look, 1.0, self._large, self._size, self._region(region))


def _distance(first: Pixels, second: Pixels) -> float:
    return float(np.linalg.norm(appearance(first) - appearance(second), axis=-1).mean())


def _displaced(picture: Pixels, seed: int) -> Pixels:
    """The picture with its parts moved smoothly by about a sixth of its side: its colours stay, its scene does not."""
    height, width = picture.shape[:2]
    side, rng = max(height, width), np.random.default_rng(seed)
    noise = [rng.standard_normal((height, width), dtype=np.float32) for _ in range(2)]
    down, across = (cv2.GaussianBlur(one, (0, 0), side / 12) for one in noise)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    places = [place + 0.16 * side * one / one.std() for place, one in ((x, across), (y, down))]
    return cv2.remap(picture, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def _saved(picture: Pixels) -> Pixels:
    """A picture as it comes back from a JPEG."""
    image, file = Image.fromarray((picture.clip(0, 1) * 255).round().astype(np.uint8)), io.BytesIO()
    image.save(file, "JPEG", quality=92)
    return np.asarray(Image.open(file), np.float32) / 255


def read(path: Path, side: int) -> Pixels:
    """Read a photo, its longer side `side` pixels."""
    image = read_image(path).rgb
    scale = side / max(image.size)
    return reduced(image, (round(image.width * scale), round(image.height * scale)))


def main() -> None:
    """Read the arguments and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--first", type=int, default=15, help="the photos with this number, from 0, …")
    parser.add_argument("--every", type=int, default=16, help="… and every so many further ones")
    parser.add_argument("--skip", type=int, default=12, help="of these, the first ones that are left out")
    parser.add_argument("--limit", type=int, default=24, help="photos")
    parser.add_argument("--looks", type=int, default=4, help="on each photo, besides those that replace all structure")
    parser.add_argument("--side", type=int, default=384, help="pixels of a photo's longer side")
    parser.add_argument("--failures", action="store_true", help="list what was judged wrongly")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    paths = sorted(args.photos.glob("*.jpg"))[args.first :: args.every][args.skip :][: args.limit]
    photos = [read(path, args.side) for path in paths]
    counts: dict[tuple[str, VerdictName, bool], Counter[VerdictName]] = defaultdict(Counter)
    everything = list(looks())
    for number, photo in enumerate(photos):
        rng = random.Random(number)
        other = cv2.resize(photos[(number + 1) % len(photos)], photo.shape[1::-1])
        # Each look in turn, so that all of them are tried.
        names = [everything[(number * args.looks + place) % len(everything)] for place in range(args.looks)]
        judged = Judge(photo)
        for case in cases(photo, other, list(dict.fromkeys([*names, *REPLACING])), rng):
            for knows_look in (True, False):
                name, measures = judged.verdict(case, knows_look=knows_look)
                counts[case.kind, case.right, knows_look][name] += 1
                if args.failures and name != case.right:
                    print(f"{paths[number].stem} {case.look} {case.kind} knows={knows_look}: {name} {measures}")
        print(f"{number + 1} of {len(photos)} photos", flush=True)
    print(report(counts))


def report(counts: dict[tuple[str, VerdictName, bool], Counter[VerdictName]]) -> str:
    """Return a table of how often each kind of edit is judged rightly, and what it is taken for instead."""
    lines = [
        "| edit | right | knowing the look | not knowing it | taken for instead (known; not) |",
        "|---|---|---|---|---|",
    ]
    kinds = dict.fromkeys((kind, right) for kind, right, _ in counts)
    for kind, right in kinds:
        found = [counts[kind, right, knows] for knows in (True, False)]
        shares = [f"{100 * one[right] / one.total():.1f} % of {one.total()}" for one in found]
        taken = [", ".join(f"{n} {name}" for name, n in one.items() if name != right) or "–" for one in found]
        instead = "; ".join(taken)
        lines.append(f"| {kind} | {right} | {shares[0]} | {shares[1]} | {instead} |")
    for knows, words in ((True, "knowing the look"), (False, "not knowing it")):
        by_verdict: dict[VerdictName, list[float]] = defaultdict(list)
        for (_, right, known), one in counts.items():
            if known is knows:
                by_verdict[right].append(one[right] / one.total())
        means = {right: float(np.mean(shares)) for right, shares in by_verdict.items()}
        text = ", ".join(f"{right} {100 * mean:.1f} %" for right, mean in means.items())
        lines.append(f"{words}: {text}; mean {100 * np.mean(list(means.values())):.1f} %")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
