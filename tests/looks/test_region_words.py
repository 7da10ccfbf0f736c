"""The region that an instruction names."""

import random

import pytest

from ip2p_cli.looks import looks
from ip2p_cli.looks.phrasing import in_region, vary
from ip2p_cli.looks.region_words import find_region, named_region
from ip2p_cli.looks.regions import REGIONS


@pytest.mark.parametrize(
    ("instruction", "region", "rest"),
    [
        ("only the sky: sunset", "sky", "sunset"),
        ("Make the sky a sunset", "sky", "make it a sunset"),
        ("make the background black and white", "background", "make it black and white"),
        ("make background black and white", "background", "make it black and white"),
        ("blur everything behind the subject", "background", "blur it"),
        ("darken the lower half", "bottom", "darken it"),
        ("turn the upper half of the picture sepia", "top", "turn it sepia"),
        ("make only the left half black and white", "left", "make it black and white"),
        ("the center of the image only: blurred", "middle", "blurred"),
        ("keep the red, the rest in grey", "not_red", "it in grey"),
        ("everything but the sky in sepia", "not_sky", "it in sepia"),
        ("make it night, but leave the subject alone", "background", "make it night"),
        ("winter everywhere except the left half", "right", "winter"),
        ("make the red areas sepia", "red", "make it sepia"),
        ("only the trees: snow", "plants", "snow"),
    ],
)
def test_regions_are_found(instruction: str, region: str, rest: str) -> None:
    found = find_region(instruction)
    assert (found.name, found.unknown, found.rest) == (region, None, rest)


@pytest.mark.parametrize(
    ("instruction", "unknown"),
    [
        ("only the car: winter", "the car"),
        ("make the car black and white", "the car"),
        ("make the red car black and white", "the red car"),
        ("blur the dog", "the dog"),
        ("make it snow, but only on the roof tiles", "the roof tiles"),
        ("sepia in the kitchen only", "the kitchen"),
        ("make his shirt sepia", "his shirt"),
        ("everything but the car: winter", "everything but the car"),
        ("everything except the middle in grey", "everything but the middle"),
    ],
)
def test_regions_that_nobody_knows_are_named(instruction: str, unknown: str) -> None:
    found = find_region(instruction)
    assert (found.name, found.unknown) == (None, unknown)


@pytest.mark.parametrize(
    "instruction",
    ["", "make it winter", "turn the leaves orange", "make the colours pop", "add a cat", "paint the ground white",
     "make the whole picture sepia", "turn everything grey", "could you make the pciture darker?"],
)  # fmt: skip
def test_the_whole_photo_is_no_region(instruction: str) -> None:
    found = find_region(instruction)
    assert (found.name, found.unknown, found.rest) == (None, None, instruction)


def test_no_wording_names_an_unknown_region() -> None:
    for look in looks().values():
        for wording in (*look.wordings, *look.slightly, *look.much, *look.held_out):
            assert find_region(wording).unknown is None, wording


def test_wordings_with_another_word_hardly_ever_name_an_unknown_region() -> None:
    texts = [f"{wording} today" for look in looks().values() for wording in look.wordings + look.held_out]
    unknown = [text for text in texts if find_region(text).unknown]
    assert len(unknown) <= 0.01 * len(texts), unknown


def test_wordings_with_typing_errors_hardly_ever_name_an_unknown_region() -> None:
    rng = random.Random(0)
    texts = [vary(wording, rng) for look in looks().values() for wording in look.wordings + look.held_out]
    unknown = [text for text in texts if find_region(text).unknown]
    assert len(unknown) <= 0.005 * len(texts), unknown


@pytest.mark.parametrize("name", REGIONS)
def test_phrases_for_a_region_give_it(name: str) -> None:
    rng, drawn = random.Random(name), 300
    right = 0
    for _ in range(drawn):
        look = rng.choice(list(looks().values()))
        right += find_region(in_region(rng.choice(look.wordings), look.name, REGIONS[name], rng)).name == name
    assert right >= 0.95 * drawn


@pytest.mark.parametrize(
    ("words", "name", "unknown"),
    [
        ("the sky", "sky", None),
        ("Sky", "sky", None),
        ("left", "left", None),
        ("red", "red", None),
        ("the left half of the photo", "left", None),
        ("everything but the sky", "not_sky", None),
        ("everything but the subject", "background", None),
        ("everything but the highlights", None, "everything but the highlights"),
        ("the car", None, "the car"),
        ("the red car", None, "the red car"),
        ("everything but the car", None, "everything but the car"),
        ("the left half of the sky", None, "the left half of the sky"),
        ("the trees and the sky", None, "the trees and the sky"),
        ("not_sky", None, "not_sky"),
    ],
)
def test_words_alone_name_a_region(words: str, name: str | None, unknown: str | None) -> None:
    found = named_region(words)
    assert (found.name, found.unknown) == (name, unknown)
