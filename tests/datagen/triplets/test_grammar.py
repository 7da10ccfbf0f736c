"""The grammar: its tables are sound, what it writes is English, and kinds come equally often."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ip2p_cli.datagen.triplets import english
from ip2p_cli.datagen.triplets.data_files import exemplars, grammar
from ip2p_cli.datagen.triplets.draft import Draft
from ip2p_cli.datagen.triplets.filters import unchanged
from ip2p_cli.datagen.triplets.grammar import GrammarWriter, edits_of
from ip2p_cli.looks import looks
from ip2p_cli.types import Caption

CAPTIONS = [
    "A black dog running on the beach at sunset.",
    "Two cats sleeping on a red sofa in the living room",
    "a man riding a horse across a green field",
    "A vintage car parked on a city street at night",
    "Portrait of an old man with a white beard",
    "a photo of a tench",
    "An oil painting of a castle on a hill",
    "a photo",
]


def edited(caption: str, kind: str, look: str | None = None) -> set[str]:
    return {edit.edited for edit in edits_of(caption) if edit.kind == kind and (look is None or edit.look == look)}


def test_tables_are_sound() -> None:
    tables = grammar()
    assert tables["looks"].keys() == looks().keys()
    named = {e["kind"] for e in [*tables["looks"].values(), *tables["edits"]]} | set(tables["wear"]["kinds"].values())
    named |= {kind for part in ("swap", "describe") for kind in tables[part]}
    named |= {table.get("kind", name) for name, table in tables["words"].items()} | {"remove"}
    assert named == set(grammar()["kinds"])
    assert all(("add" in e) != ("as" in e) for e in [*tables["looks"].values(), *tables["edits"]])
    assert all(e["say"] for e in tables["edits"])
    swaps = sum(len(others) for table in tables["swap"].values() for others in table["nouns"].values())
    assert swaps + len(tables["edits"]) + len(tables["looks"]) > 500


def test_our_own_triplets() -> None:
    assert len(exemplars()) >= 60
    assert {one.kind for one in exemplars()} == set(grammar()["kinds"])
    assert len({one.caption for one in exemplars()}) == len(exemplars())
    assert not any(unchanged(one.caption, one.edited_caption) for one in exemplars())


@pytest.mark.parametrize(
    ("caption", "kind", "wanted"),
    [
        ("A black dog running on the beach at sunset.", "animal", "A black cat running on the beach at sunset."),
        ("A black dog running on the beach at sunset.", "time", "A black dog running on the beach at night."),
        ("A black dog running on the beach at sunset.", "place", "A black dog running in the desert at sunset."),
        ("A black dog running on the beach at sunset.", "colour", "A white dog running on the beach at sunset."),
        ("a dog in the garden", "animal", "a wolf in the garden"),
        ("Two cats sleeping on a red sofa", "animal", "Two dogs sleeping on a red sofa"),
        ("Two cats sleeping on a red sofa", "colour", "Two cats sleeping on a blue sofa"),
        ("a wolf near a lake", "animal", "a dog near a lake"),
        ("an elephant in the grass", "animal", "a rhino in the grass"),
        ("a man", "age", "an old man"),
        ("a man riding a horse", "clothing", "a man in a top hat riding a horse"),
        ("Portrait of an old man with a white beard", "remove", "Portrait of an old man"),
        ("Portrait of an old man with a white beard", "medium", "A watercolour of an old man with a white beard"),
        ("An oil painting of a castle", "medium", "A pencil sketch of a castle"),
        ("Paris at night", "medium", "Paris at night, as a pencil sketch"),
        ("a photo", "season", "a photo in winter"),
        ("castle, by the river, trees", "season", "castle, by the river, trees, in winter"),
        ("a wooden chair", "material", "a glass chair"),
        ("a lake with a boat", "add", "a lake with a boat, with a rainbow in the sky"),
        ("An old woman on a bench", "age", "A young woman on a bench"),
        ("a group of sheep in a field", "animal", "a group of goats in a field"),
    ],
)
def test_captions_change_in_english(caption: str, kind: str, wanted: str) -> None:
    assert wanted in edited(caption, kind), sorted(edited(caption, kind))


@pytest.mark.parametrize(
    ("caption", "kind", "never"),
    [
        ("a hot dog on a plate", "animal", "hot cat"),
        ("a teddy bear on a chair", "animal", "teddy"),
        ("The Eiffel Tower in Paris", "building", "Eiffel"),
        ("three sheep in a meadow", "animal", "three goat "),
        ("a young girl inhales with care", "age", "old"),
        ("an old house in a forest", "age", "young"),
        ("a wooden fence by a road", "object", "wooden hedge"),
        ("the cat is on the floor", "medium", "of the cat is"),
        ("a dog house in a garden", "animal", "cat house"),
        ("a black and white photo of a street", "colour", "and black photo"),
        ("a snowy village in winter", "season", "snowy village"),
        ("a bowl of soup on a table", "season", "in winter"),
        ("a woman in a dress", "clothing", "in a crown in a"),
        ("a house at midnight in the rain", "weather", "in the rain in"),
        ("a boy covered with a blanket", "remove", "covered"),
        ("an oil painting of a castle", "medium", "an oil painting of a castle"),
    ],
)
def test_what_would_be_nonsense_is_left(caption: str, kind: str, never: str) -> None:
    assert not [text for text in edited(caption, kind) if never in text]


@pytest.mark.parametrize("caption", CAPTIONS)
def test_every_edit_changes_the_caption_and_keeps_its_form(caption: str) -> None:
    found = edits_of(caption)
    assert len({edit.kind for edit in found}) >= 6
    for edit in found:
        assert not unchanged(caption, edit.edited)
        assert "  " not in edit.edited
        assert "{" not in edit.edited + "".join(edit.wordings)
        assert edit.edited.endswith(".") == caption.endswith(".")
        assert edit.edited[0].isupper() == caption[0].isupper()
        assert not re.search(r"\b[Aa] [aeio]|\b[Aa]n [^aeiouAEIOU8]", edit.edited), edit.edited
        assert edit.look is None or edit.wordings == looks()[edit.look].wordings


def test_looks_only_are_painted() -> None:
    found = edits_of("a photo of a tench", looks_only=True)
    assert {edit.look for edit in found} == set(looks())


def captions(count: int) -> list[Caption]:
    return [Caption(key=f"k{n}", caption=CAPTIONS[n % len(CAPTIONS)]) for n in range(count)]


def test_kinds_are_balanced() -> None:
    writer = GrammarWriter(0, 2, looks_only=True)
    drafts = [draft for _, draft in writer.drafts([Caption(key=str(n), caption="a photo") for n in range(105)])]
    kept = [draft for draft in drafts if isinstance(draft, Draft)]
    assert len(kept) == 210
    by_kind = Counter(draft.kind for draft in kept)
    assert max(by_kind.values()) - min(by_kind.values()) <= 1
    assert len({draft.look for draft in kept}) == len(looks())
    free = Counter(d.kind for _, d in GrammarWriter(0, 2, balance=False).drafts(captions(105)) if isinstance(d, Draft))
    assert max(free.values()) > 3 * min(free.values())


def test_another_seed_writes_other_triplets() -> None:
    def written(seed: int) -> list[Draft | str]:
        return [draft for _, draft in GrammarWriter(seed, 1).drafts(captions(20))]

    assert written(0) == written(0) != written(1)


@given(st.text(max_size=60))
@settings(max_examples=30, deadline=None)
def test_any_text_is_borne(caption: str) -> None:
    for edit in edits_of(caption):
        assert edit.edited
        assert edit.wordings


@pytest.mark.parametrize(
    ("noun", "plural"),
    [("fox", "foxes"), ("pony", "ponies"), ("toy", "toys"), ("wolf", "wolves"), ("row of flowers", "rows of flowers")],
)
def test_plurals(noun: str, plural: str) -> None:
    assert english.plural_of(noun) == plural
    assert english.article_of("unicorn") == english.article_of("cat") == "a"
    assert english.article_of("umbrella") == english.article_of("old car") == "an"
