"""Names of files."""

from __future__ import annotations

from pathlib import Path, PurePath

import pytest

from ip2p_cli.io.names import numbered, slug


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Make it winter!", "make-it-winter"),
        ("don't change the sky", "dont-change-the-sky"),
        ("Mach die Straße grün", "mach-die-strasse-grun"),
        ("../../etc/passwd", "etc-passwd"),
        ("...hidden", "hidden"),
        ("冬", "edit"),
        ("", "edit"),
        ("  \n\t ", "edit"),
        ("con", "con-edit"),
        ("COM¹", "com1-edit"),
        ("turn the summer meadow into a snowy winter landscape", "turn-the-summer-meadow-into-a-snowy"),
        ("a" * 100, "a" * 40),
    ],
)
def test_slug(text: str, name: str) -> None:
    assert slug(text) == name
    assert len(slug(text, max_length=10)) <= 10


def test_slug_of_no_length() -> None:
    with pytest.raises(ValueError, match="less than 10"):
        slug("a", max_length=9)


def test_numbered(tmp_path: Path) -> None:
    name = PurePath("sub/a.b.png")
    (tmp_path / "sub").mkdir()
    assert numbered(tmp_path, name) == name
    (tmp_path / name).touch()
    assert numbered(tmp_path, name) == PurePath("sub/a.b-2.png")
    (tmp_path / "sub" / "a.b-2.png").symlink_to("gone")
    assert numbered(tmp_path, name) == PurePath("sub/a.b-3.png")
    assert numbered(tmp_path, name, {"sub/a.b-3.png"}) == PurePath("sub/a.b-4.png")
    assert numbered(tmp_path, PurePath("sub/A.B.png"), {"sub/a.b.png"}) == PurePath("sub/A.B-2.png")
    assert numbered(tmp_path, name, overwrite=True) == name
