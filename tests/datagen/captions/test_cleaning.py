"""Cleaning, bounds, languages, names of photos, and near duplicates."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ip2p_cli.datagen.captions import cleaning
from ip2p_cli.datagen.captions.cleaning import clean, language_check, normal, out_of_bounds
from ip2p_cli.datagen.captions.deduplication import Deduplicator, PassProgress, rows_of_band
from ip2p_cli.datagen.captions.sources import caption_of_name
from ip2p_cli.errors import UsageError


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("  a  cat\tand\u00a0a dog\r\n", "a cat and a dog"),
        ("<p>fish &amp;amp; chips</p>", "fish & chips"),
        ("a cat https://x.org/a?b=1 www.cats.com on a roof .", "a cat on a roof."),
        ("\u200ba\x00cat (http://x.y) as\u00adleep", "a cat asleep"),
        ('"a quoted cat"', "a quoted cat"),
        ("caf\u0065\u0301 by night", "café by night"),
    ],
)
def test_cleaned(text: str, wanted: str) -> None:
    assert clean(text) == wanted


@given(st.text(max_size=80))
def test_cleaned_is_clean(text: str) -> None:
    once = clean(text)
    assert re.search(r"[\x00-\x1f\x7f]|  ", once) is None
    assert once == once.strip()
    assert normal(normal(text)) == normal(text)


def test_bounds() -> None:
    said = [out_of_bounds(t, 2, 4) for t in ("…", "cat", "a cat", "a cat on a roof", "x" * 999 + " y")]
    assert said == ["empty", "too short", None, "too long", "too long"]


def test_languages() -> None:
    check, how = language_check("en")
    assert how == "py3langid"
    assert all(map(check, ["a dog", "a photo of a chihuahua", "castle, trending on artstation, 8k", "sunset beach"]))
    assert not any(map(check, ["ein Hund im Schnee", "un chien dans la neige", "una casa en la playa", "кот на крыше"]))
    assert language_check("any")[0]("кот")
    with pytest.raises(UsageError, match="--language xx is not known"):
        language_check("xx")


def test_languages_by_script(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def without(name: str) -> Any:
        if name.startswith("py3langid"):
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr(cleaning.importlib, "import_module", without)
    check, how = language_check("en")
    assert (how, check("ein Hund"), check("кот на крыше"), check("1234")) == ("script", True, False, True)
    assert language_check("ru")[0]("кот на крыше")
    with pytest.raises(UsageError, match=r"ip2p\[language\]"):
        language_check("sw")


@pytest.mark.parametrize(
    ("stem", "wanted"),
    [
        ("n01440764_tench", "a photo of a tench"),
        ("eagle_owl-2", "a photo of an eagle owl"),
        ("IMG_20240101_1234", "a photo"),
        ("DSC01234", "a photo"),
        ("my-dog-at-the-beach", "my dog at the beach"),
        ("sunglasses", "a photo of sunglasses"),
        ("bus", "a photo of a bus"),
        ("PXL-f3a9c", "a photo"),
    ],
)
def test_names_of_photos(stem: str, wanted: str) -> None:
    assert caption_of_name(stem) == wanted


def test_near_duplicates(tmp_path: Path) -> None:
    with Deduplicator(tmp_path / "seen", 0.8) as seen:
        long = "a small wooden boat on a quiet lake in the mountains at sunrise"
        assert not seen.add_near(long)
        assert seen.add_near(long + "s")
        assert not seen.add_near(long.replace("boat", "house").replace("sunrise", "midnight"))
        assert not seen.add_near("a")
        assert seen.add_near("a")
        assert not seen.add("x")
        assert seen.add("x")


def test_what_was_not_committed_is_forgotten(tmp_path: Path) -> None:
    with Deduplicator(tmp_path / "seen", None) as seen:
        assert seen.progress() == PassProgress()
        seen.add("kept")
        seen.commit(PassProgress(2, 30, 20, {"key": "ä"}))
        seen.add("lost")
        assert not seen.add_near("x")
        assert not seen.add_near("x")
    with Deduplicator(tmp_path / "seen", None) as seen:
        assert seen.progress() == PassProgress(2, 30, 20, {"key": "ä"})
        assert seen.add("kept")
        assert not seen.add("lost")


def test_bands_find_what_is_near_enough() -> None:
    rows = [rows_of_band(near) for near in (0.5, 0.7, 0.8, 0.9, 0.99)]
    assert rows == sorted(rows)
    assert rows[2] == 6
