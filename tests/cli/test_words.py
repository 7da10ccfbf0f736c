"""What the words on the command line mean, and the hints for words that were meant otherwise."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from ip2p_cli.cli.flags import OutputFlags
from ip2p_cli.cli.output import Output
from ip2p_cli.cli.replay import _report
from tests.cli.ip2p import Run, some_photo


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["photo.png", "make", "it", "winter"], "put the instruction in quotes: ip2p edit photo.png 'make it winter'"),
        (["photo.png", "“make", "it", "winter”"], "ip2p edit photo.png 'make it winter'"),
        (["photo.png", "winter", "–-seed", "1"], "–-seed: an option begins with plain hyphens: --seed"),
        (["photo.png", "winter", "—seed"], "an option begins with plain hyphens: --seed"),
        (["--", "photo.png", "winter", "-o", "out"], "-o: options come before --"),
        (["photo.png", "other.png"], "other.png is a photo: the instruction comes last"),
        (["photo.png"], "give a photo and an instruction"),
        (["photo.png", "  "], "the instruction is empty"),
        (["photo.png", "a.png", "winter", "-o", "out.png"], "-o out.png names a file, and these are 2 photos"),
    ],
)
def test_what_was_meant_otherwise_is_refused_before_anything_runs(
    ip2p: Run, photo: Path, words: list[str], hint: str
) -> None:
    if "--" not in words:
        words = [*words, "-q"]
    done = ip2p("edit", *words, tiny=False)
    assert done.code == 2
    assert hint in done.err
    assert done.err.count("\n") == 1
    assert {path.name for path in Path().iterdir()} == {"photo.png"}


def test_a_wrong_path_before_a_quoted_instruction_is_a_wrong_path(ip2p: Run, photo: Path) -> None:
    Path("my photos").mkdir()
    done = ip2p("edit", "my photo", "make it winter", "-q", tiny=False)
    assert done.code == 3
    assert done.err.strip() == "error: my photo: no such file: did you mean my photos?"


def test_a_jpeg_with_another_ending_stays_a_jpeg() -> None:
    for ending, kept in {".jfif": ".jpg", ".MPO": ".jpg", ".jpeg": ".jpeg", ".avifs": ".avif", ".gif": ".png"}.items():
        assert OutputFlags().ending(Path(f"photo{ending}"), keep=True) == kept


def test_a_folder_named_like_the_instruction_changes_nothing(ip2p: Run, photo: Path) -> None:
    for _ in range(2):
        done = ip2p("edit", photo, "sepia", "-o", "sepia", "--seed", 1)
        assert (done.code, done.out) == (0, "sepia/photo-sepia.png\n"), done.err


def test_without_an_ending_the_output_is_a_folder(ip2p: Run, photo: Path) -> None:
    some_photo(shift=5).save("b.png")
    done = ip2p("edit", photo, "b.png", "winter", "-o", "results", "--seed", 1)
    assert done.out.splitlines() == ["results/photo-winter.png", "results/b-winter.png"], done.err


def test_a_lone_photo_in_a_subfolder_is_treated_as_many_are(ip2p: Run) -> None:
    Path("s/a").mkdir(parents=True)
    some_photo().save("s/a/p.png")
    done = ip2p("edit", "s", "winter", "-r", "-o", "o", "--seed", 1)
    assert (done.code, done.out) == (0, "o/a/p-winter.png\n"), done.err


def test_a_long_name_is_shortened(ip2p: Run) -> None:
    name = "ä" * 120  # 240 bytes
    some_photo().save(f"{name}.png")
    done = ip2p("edit", f"{name}.png", "make it winter", "-o", "o", "--seed", 1, "--compare", "--sidecar")
    assert done.code == 0, done.err
    names = [path.name for path in Path("o").iterdir()]
    assert len(names) == 4
    assert all(len(one.encode()) <= 255 for one in names)


def test_the_format_is_kept_in_a_folder(ip2p: Run) -> None:
    some_photo().save("a.jpg")
    some_photo().save("b.bmp")
    done = ip2p("edit", "a.jpg", "b.bmp", "winter", "-o", "out", "--seed", 1)
    assert done.out.splitlines() == ["out/a-winter.jpg", "out/b-winter.png"], done.err
    done = ip2p("edit", "a.jpg", "winter", "-o", "webp", "--format", "webp")
    assert done.out == "webp/a-winter.webp\n", done.err


def test_results_are_no_photos_of_their_folder(ip2p: Run, photo: Path) -> None:
    for out in (["-o", "."], []):
        for _ in range(2):
            done = ip2p("edit", ".", "winter", "--seed", 1, *out)
            assert done.code == 0, done.err
    assert ip2p("chain", ".", "--edit", "winter", "-o", ".", "--seed", 1).code == 0
    again = ip2p("edit", ".", "night", "-r", "--seed", 1, "-o", "out")
    assert again.out == "out/photo-night.png\n"
    assert "passed over" in again.err
    assert ip2p("edit", "out", "fog", "-o", "second", "--seed", 1).out == "second/photo-night-fog.png\n"  # nothing else


def test_what_was_passed_over_is_said(ip2p: Run, photo: Path) -> None:
    Path("in/closed").mkdir(parents=True)
    for name in ("a.txt", "b.TXT", "c"):
        Path("in", name).touch()
    for name in ("a.jfif", "b.jpe"):
        some_photo().save(Path("in", name), "JPEG")
    done = ip2p("edit", "in", "winter", "-o", "out", "--seed", 1)
    assert done.out.splitlines() == ["out/a-winter.jpg", "out/b-winter.jpg"]
    assert "passed over files that are no photos by their names: 2 .txt, 1 without an ending" in done.err


def test_a_file_may_begin_with_a_tilde(ip2p: Run) -> None:
    some_photo().save("~b.png")
    assert ip2p("edit", "~b.png", "winter", "-o", "out", "--seed", 1).out == "out/~b-winter.png\n"
    assert ip2p("edit", "~*.png", "winter", "-o", "out", "--seed", 1).out == "out/~b-winter.png\n"
    done = ip2p("edit", "~nobody-of-this-name/b.png", "winter", "-o", "out")
    assert (done.code, "no folder" in done.err) == (3, True), done.err


def test_a_folder_with_brackets_in_a_pattern(ip2p: Run) -> None:
    Path("[2020]").mkdir()
    some_photo().save("[2020]/a.png")
    assert ip2p("edit", "[2020]/*.png", "winter", "-o", "out", "--seed", 1).out == "out/a-winter.png\n"


def test_a_list_separated_by_nul(ip2p: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a b.png", "c.png"):
        some_photo().save(name)
    monkeypatch.setattr("sys.stdin", io.StringIO("a b.png\0c.png\0"))
    done = ip2p("edit", "-", "winter", "-o", "out", "--seed", 1)
    assert done.out.splitlines() == ["out/a b-winter.png", "out/c-winter.png"], done.err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["cat.jpg", "make it winter", "-o", "o.png"], 'did you mean: ip2p edit cat.jpg "make it winter"?'),
        (["edti", "a.png", "x"], "edti is no command. Did you mean edit"),
        (["edit", "photo.png", "x", "--seed", "-1"], "leave --seed out for a new seed"),
        (["edit", "photo.png", "x", "--seed=-1"], "leave --seed out for a new seed"),
        (["edit", "photo.png", "x", "--device", "cuda:1"], "CUDA_VISIBLE_DEVICES=1 and --device cuda"),
        (["edit", "photo.png", "x", "--cfg-text", "7,5"], "--cfg-text 7,5: write 7.5"),
        (["edit", "photo.png", "x", "--seeds", "8"], "--seeds is a flag of `ip2p variants`"),
        (["edit", "photo.png", "x", "-o=out.jpg"], "write -o out.jpg, without the equals sign"),
        (["edit", "photo.png", "a (snowy:1.3) day"], "(snowy:1.3): words have no weights here"),
        (["edit", "photo.png", "winter <lora:style:0.8>"], "--lora style.safetensors:0.8"),
        (["chain", "recipe.yaml", "photo.png"], "the recipe comes last: ip2p chain photo.png recipe.yaml"),
    ],
)
def test_habits_of_other_tools_get_the_hint_that_helps(ip2p: Run, photo: Path, words: list[str], hint: str) -> None:
    done = ip2p(*words, tiny=False)
    assert done.code == 2
    assert hint in done.err
    assert done.err.count("\n") == 1


def test_a_replay_in_another_format_says_why_pixels_differ(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture, target = tmp_path / "a.jpg", tmp_path / "b.png"
    some_photo().save(picture, quality=30)
    some_photo().save(target)
    _report(picture, target, {}, (), Output())
    printed = "".join(capsys.readouterr())
    assert "the formats differ: to compare exactly, give -o a name that ends in .jpg" in printed.replace("\n", " ")
