"""Files of items: whose they are, and what may replace them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ip2p_cli.errors import OutputError, UsageError
from ip2p_cli.jobs.manifest import FileNote, open_manifest
from ip2p_cli.jobs.output_files import OutputFiles


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def files(folder: Path, *, overwrite: bool = False, part: str = "") -> OutputFiles:
    """As a new process sees the folder."""
    return OutputFiles(folder, open_manifest(folder, part), overwrite=overwrite)


def noted(folder: Path, name: str, data: bytes, key: str) -> None:
    """A process notes a file and dies before the file gets its name."""
    open_manifest(folder).note_file(FileNote(name=name, key=key, sha256=hashlib.sha256(data).hexdigest()))


def test_what_was_put_is_there_for_its_key_only(out: Path) -> None:
    assert files(out).put("sub/a.png", b"made", "key") == out / "sub" / "a.png"
    assert (out / "sub" / "a.png").read_bytes() == b"made"
    assert files(out).has("sub/a.png", "key")
    assert not files(out).has("sub/a.png", "other")
    assert not files(out).has("b.png", "key")
    assert files(out).missing({"sub/a.png": "key", "b.png": "key"}) == ["b.png"]
    (out / "sub" / "a.png").write_bytes(b"the user's own")
    assert files(out).missing({"sub/a.png": "key"}) == ["sub/a.png"]


def test_without_a_manifest_everything_is_missing(tmp_path: Path) -> None:
    assert OutputFiles(tmp_path, None, overwrite=False).put("a.png", b"made", "key").read_bytes() == b"made"
    assert OutputFiles(tmp_path, None, overwrite=True).missing({"a.png": "key"}) == ["a.png"]


def test_a_file_of_ours_is_replaced(out: Path) -> None:
    files(out).put("a.png", b"then", "then")
    files(out).check_free(["a.png"])
    files(out).put("a.png", b"now", "now")
    assert (out / "a.png").read_bytes() == b"now"
    assert files(out).has("a.png", "now")
    assert not files(out).has("a.png", "then")


def test_a_redo_that_was_killed_can_be_redone_again_and_again(out: Path) -> None:
    """Every hash that was noted for a name counts."""
    files(out).put("a.png", b"first", "first")
    for number in range(3):
        noted(out, "a.png", b"%d" % number, f"redo {number}")
        files(out).check_free(["a.png"])
        assert files(out).has("a.png", "first")
        assert not files(out).has("a.png", f"redo {number}")
    files(out).put("a.png", b"2", "redo 2")
    assert (out / "a.png").read_bytes() == b"2"
    assert files(out).has("a.png", "redo 2")


@pytest.mark.parametrize("is_noted", [False, True])
def test_a_users_file_is_in_the_way(out: Path, is_noted: bool) -> None:
    """Also one that took the name of a result, or that was one and has been changed."""
    if is_noted:
        files(out).put("a.png", b"made", "key")
    out.mkdir(exist_ok=True)
    (out / "a.png").write_bytes(b"the user's own")
    with pytest.raises(OutputError, match=r"a\.png exists already: use --overwrite or another -o"):
        files(out).check_free(["b.png", "a.png"])
    with pytest.raises(OutputError, match="exists already"):
        files(out).put("a.png", b"made", "key")
    assert (out / "a.png").read_bytes() == b"the user's own"
    files(out, overwrite=True).check_free(["a.png"])
    files(out, overwrite=True).put("a.png", b"made", "key")
    assert (out / "a.png").read_bytes() == b"made"


def test_a_folder_is_always_in_the_way(out: Path) -> None:
    (out / "a.png").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"a\.png is a folder"):
        files(out, overwrite=True).check_free(["a.png"])


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_link_is_never_written_through(out: Path, tmp_path: Path, overwrite: bool) -> None:
    out.mkdir()
    (tmp_path / "victim.png").write_bytes(b"precious")
    (out / "a.png").symlink_to(tmp_path / "victim.png")
    with pytest.raises(OutputError, match=r"a\.png is a link: remove it"):
        files(out, overwrite=overwrite).put("a.png", b"made", "key")
    assert (tmp_path / "victim.png").read_bytes() == b"precious"
    assert (out / "a.png").is_symlink()
    assert open_manifest(out).files == {}


def test_a_link_to_our_own_bytes_is_not_ours(out: Path, tmp_path: Path) -> None:
    noted(out, "a.png", b"made", "key")
    (tmp_path / "victim.png").write_bytes(b"made")
    (out / "a.png").symlink_to(tmp_path / "victim.png")
    assert not files(out).has("a.png", "key")
    with pytest.raises(OutputError):
        files(out).check_free(["a.png"])


def test_names_do_not_lead_out(out: Path, tmp_path: Path) -> None:
    for name in ("../a.png", "/a.png"):
        with pytest.raises(UsageError, match="inside the output folder"):
            files(out).put(name, b"made", "key")
    out.mkdir()
    (out / "link").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="link leads out"):
        files(out).put("link/a.png", b"made", "key")
    assert not (tmp_path / "a.png").exists()


def test_another_process_made_the_same_file_meanwhile(out: Path) -> None:
    mine = files(out, part="1-of-2")
    mine.check_free(["a.png"])
    files(out, part="2-of-2").put("a.png", b"made", "key")
    mine.check_free(["a.png"])  # the other process noted it before
    assert mine.put("a.png", b"made", "key").read_bytes() == b"made"


def test_another_process_made_another_file_meanwhile(out: Path) -> None:
    mine = files(out, part="1-of-2")
    mine.check_free(["a.png"])
    (out).mkdir(exist_ok=True)
    (out / "a.png").write_bytes(b"another's")
    with pytest.raises(OutputError, match="exists already"):
        mine.put("a.png", b"made", "key")
    assert (out / "a.png").read_bytes() == b"another's"


def test_a_reserved_name_is_free(out: Path) -> None:
    """Without hard links a name is reserved by an empty file; the process died then."""
    noted(out, "a.png", b"made", "key")
    (out / "a.png").touch()
    assert not files(out).has("a.png", "key")
    files(out).check_free(["a.png"])
    files(out).put("a.png", b"made", "key")
    assert (out / "a.png").read_bytes() == b"made"
    (out / "b.png").touch()  # nobody noted this one
    with pytest.raises(OutputError, match="exists already"):
        files(out).check_free(["b.png"])


def test_without_a_manifest_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "a.png.json").write_bytes(b"the user's own")
    names = ["a.png", "a.png.json"]
    with pytest.raises(OutputError, match=r"a\.png\.json exists already"):
        OutputFiles(tmp_path, None, overwrite=False).check_free(names)
    OutputFiles(tmp_path, None, overwrite=True).check_free(names)
    with pytest.raises(OutputError, match="there is no folder"):
        OutputFiles(tmp_path / "none", None, overwrite=False).check_free(names)


def test_a_folder_that_cannot_be_made(out: Path) -> None:
    out.mkdir()
    (out / "sub").touch()
    with pytest.raises(OutputError, match="-o"):
        files(out).put("sub/a.png", b"made", "key")
