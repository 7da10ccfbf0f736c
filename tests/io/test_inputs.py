"""What a word on the command line stands for."""

from __future__ import annotations

from pathlib import Path, PurePath

import pytest

from ip2p_cli.errors import InputError, Ip2pError, UsageError
from ip2p_cli.io import formats
from ip2p_cli.io.inputs import find_photos


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "a.jpg",
        "B.PNG",
        "note.txt",
        ".hidden.jpg",
        "sub/c.jpg",
        "sub/deep/d.webp",
        ".git/e.jpg",
        "out/f.jpg",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*words: str, **more: object) -> list[str]:
    return [photo.path.as_posix() for photo in find_photos(words, **more).photos]  # type: ignore[arg-type]


def test_files_keep_their_order_and_come_once(tree: Path) -> None:
    assert names("sub/c.jpg", "a.jpg", "./a.jpg", str(tree / "a.jpg")) == ["sub/c.jpg", "a.jpg"]


def test_a_missing_file_is_left_to_fail_by_itself(tree: Path) -> None:
    assert names("nowhere.jpg", "a.jpg") == ["nowhere.jpg", "a.jpg"]


def test_a_folder_holds_its_photos_and_with_recursive_those_below(tree: Path) -> None:
    assert names(".") == ["B.PNG", "a.jpg"]
    assert names(".", recursive=True) == ["B.PNG", "a.jpg", "out/f.jpg", "sub/c.jpg", "sub/deep/d.webp"]
    assert names(".", recursive=True, exclude=Path("out")) == ["B.PNG", "a.jpg", "sub/c.jpg", "sub/deep/d.webp"]


def test_the_tree_below_what_was_named_is_kept(tree: Path) -> None:
    folders = {photo.path.name: photo.folder for photo in find_photos([str(tree)], recursive=True).photos}
    assert folders["a.jpg"] == PurePath()
    assert folders["d.webp"] == PurePath("sub/deep")
    assert [p.folder for p in find_photos(["**/*.webp"]).photos] == [PurePath("sub/deep")]
    assert [p.folder for p in find_photos(["sub/**/*.webp"]).photos] == [PurePath("deep")]
    assert [p.folder for p in find_photos(["sub/c.jpg"]).photos] == [PurePath()]


def test_globs_take_photos_only(tree: Path) -> None:
    assert names("*") == ["B.PNG", "a.jpg"]
    assert names("sub/*.jpg") == ["sub/c.jpg"]


def test_a_file_whose_name_looks_like_a_glob_is_a_file(tree: Path) -> None:
    Path("a[1].jpg").touch()
    assert names("a[1].jpg") == ["a[1].jpg"]


def test_stdin_lists_paths(tree: Path) -> None:
    assert names("-", stdin=["a.jpg\n", "\n", "sub/c.jpg\r\n"]) == ["a.jpg", "sub/c.jpg"]


@pytest.mark.parametrize(
    ("word", "kind", "said"),
    [
        ("https://example.org/a.jpg", UsageError, "download"),
        ("FILE:///a.jpg", UsageError, "download"),
        ("*.tiff", InputError, "no photo matches"),
        (".git/objects*", InputError, "no photo matches"),
    ],
)
def test_what_names_no_photo_is_said(tree: Path, word: str, kind: type[Ip2pError], said: str) -> None:
    with pytest.raises(kind, match=said):
        find_photos([word])


def test_a_folder_without_photos_says_how_to_look_deeper(tree: Path) -> None:
    (tree / "empty" / "below").mkdir(parents=True)
    with pytest.raises(InputError, match="--recursive"):
        find_photos(["empty"])
    with pytest.raises(InputError, match="no photos were named"):
        find_photos(["-"], stdin=[])


def test_every_ending_that_can_be_read_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    endings = [ending for format_ in formats.FORMATS for ending in format_.endings]
    for ending in endings:
        Path(f"a{ending}").touch()
    assert {".jfif", ".mpo", ".pgm", ".j2k", ".hif", ".dib"} < set(endings)
    assert sorted(names(".")) == sorted(names("*")) == sorted(f"a{ending}" for ending in endings)


def test_files_that_are_passed_over_are_counted(tree: Path) -> None:
    Path("b.CR2").touch()
    Path("sub/c.cr2").touch()
    assert find_photos(["."]).passed_over == {".txt": 1, ".cr2": 1}
    assert find_photos(["."], recursive=True).passed_over == {".txt": 1, ".cr2": 2}
    assert find_photos(["a.jpg"]).passed_over == {}


def test_links_to_folders_are_followed_once(tree: Path) -> None:
    (tree / "elsewhere").mkdir()
    (tree / "elsewhere" / "g.jpg").touch()
    (tree / "album").mkdir()
    Path("album/a-link").symlink_to(tree / "elsewhere")
    Path("album/circle").symlink_to(tree / "album")
    Path("album/up").symlink_to(tree)
    assert names("album", recursive=True)[0] == "album/a-link/g.jpg"
    found = names(".", recursive=True)
    assert found == ["B.PNG", "a.jpg", "album/a-link/g.jpg", "out/f.jpg", "sub/c.jpg", "sub/deep/d.webp"]
    assert names("album", recursive=True, exclude=tree / "elsewhere") == [
        f"album/up/{name}" for name in ("B.PNG", "a.jpg", "out/f.jpg", "sub/c.jpg", "sub/deep/d.webp")
    ]
