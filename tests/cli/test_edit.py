"""`ip2p edit` as a user meets it, in this process: arguments in; files, stdout, stderr and exit code out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ip2p_cli.io.provenance import read_record
from tests.cli.ip2p import Run, pixels


def one_line(text: str) -> bool:
    return len(text.strip().splitlines()) == 1


def test_a_photo_is_edited_at_its_own_size(ip2p: Run, photo: Path) -> None:
    done = ip2p("edit", photo, "make it winter", "-o", "out.png", "--seed", 7)
    assert done.code == 0
    assert done.out == "out.png\n"  # a pipe gets the path, people get the summary
    assert "seed 7" in done.err
    assert "out.png" in done.err
    with Image.open("out.png") as image:
        assert image.size == (97, 65)
        assert image.mode == "RGB"


def test_model_size_on_request(ip2p: Run, photo: Path) -> None:
    assert ip2p("edit", photo, "make it winter", "-o", "out.png", "--output-size", "model").code == 0
    with Image.open("out.png") as image:
        assert image.size == (96, 64)


def test_the_same_seed_gives_the_same_pixels_and_another_does_not(ip2p: Run, photo: Path) -> None:
    for name, seed in (("a.png", 3), ("b.png", 3), ("c.png", 4)):
        ip2p("edit", photo, "make it winter", "-o", name, "--seed", seed)
    a, b, c = (pixels(name) for name in ("a.png", "b.png", "c.png"))
    assert (a == b).all()
    assert (a != c).any()


def test_an_unsaid_seed_is_drawn_printed_and_recorded(ip2p: Run, photo: Path) -> None:
    drawn = [json.loads(ip2p("edit", photo, "make it winter", "--json").out) for _ in range(2)]
    assert drawn[0]["seed"] != drawn[1]["seed"]
    for line in drawn:
        record = read_record(Path(line["output"]))
        assert record is not None
        assert record["seed"] == line["seed"]
        assert record["instruction"] == "make it winter"
    assert f"seed {drawn[0]['seed']}" in ip2p("edit", photo, "x", "--seed", drawn[0]["seed"]).err


def test_default_names_are_slugs_and_are_numbered(ip2p: Run, photo: Path) -> None:
    outputs = [ip2p("edit", photo, "Make it / WINTER!").out.strip() for _ in range(3)]
    assert outputs == [f"photo-make-it-winter{n}.png" for n in ("", "-2", "-3")]


def test_several_photos_go_into_a_folder(ip2p: Run, photo: Path) -> None:
    Path("other.png").write_bytes(photo.read_bytes())
    done = ip2p("edit", photo, "other.png", "make it winter", "-o", "results/")
    assert done.code == 0
    assert done.out.splitlines() == ["results/photo-make-it-winter.png", "results/other-make-it-winter.png"]


def test_photos_of_one_name_do_not_overwrite_each_other(ip2p: Run, photo: Path) -> None:
    Path("sub").mkdir()
    Path("sub/photo.png").write_bytes(photo.read_bytes())
    for _ in range(2):
        done = ip2p("edit", photo, "sub/photo.png", "x", "-o", "results/", "--overwrite")
        assert done.out.splitlines() == ["results/photo-x.png", "results/photo-x-2.png"]


def test_one_bad_photo_does_not_stop_the_others(ip2p: Run, photo: Path) -> None:
    Path("bad.jpg").write_text("not a picture")
    done = ip2p("edit", "bad.jpg", photo, "make it winter")
    assert done.code == 3
    assert done.out == "photo-make-it-winter.png\n"
    assert "bad.jpg" in done.err
    assert "1 of 2 photos failed" in done.err


@pytest.mark.parametrize("ending", ["jpg", "webp", "tiff", "avif"])
def test_other_formats_hold_the_record_too(ip2p: Run, photo: Path, ending: str) -> None:
    assert ip2p("edit", photo, "make it winter", "-o", f"out.{ending}", "--seed", 1).code == 0
    record = read_record(Path(f"out.{ending}"))
    assert record is not None
    assert record["seed"] == 1


def test_alpha_comes_back(ip2p: Run, photo: Path) -> None:
    image = Image.fromarray(pixels(photo)).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save("clear.png")
    assert ip2p("edit", "clear.png", "make it winter", "-o", "out.png").code == 0
    with Image.open("out.png") as out:
        assert (np.asarray(out.getchannel("A")) == np.asarray(image.getchannel("A"))).all()


def test_an_existing_output_is_safe(ip2p: Run, photo: Path) -> None:
    Path("out.png").write_text("mine")
    done = ip2p("edit", photo, "make it winter", "-o", "out.png")
    assert done.code == 4
    assert "--overwrite" in done.err
    assert Path("out.png").read_text() == "mine"
    assert ip2p("edit", photo, "make it winter", "-o", "out.png", "--overwrite").code == 0
    assert pixels("out.png").shape == (65, 97, 3)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["missing.jpg", "make it winter"], 3, "missing.jpg"),
        (["photo.pgn", "make it winter"], 3, "photo.png"),
        (["photo.png", ""], 2, "empty"),
        (["photo.png", "  "], 2, "empty"),
        (["photo.png"], 2, "instruction"),
        (["make it winter", "photo.png"], 2, "last"),
        (["photo.png", "x", "-o", "no/such/folder/out.png"], 4, "no/such/folder"),
        (["photo.png", "x", "-o", "out.xyz"], 2, ".xyz"),
        (["photo.png", "x", "--sampler", "eular_a"], 2, "euler_a"),
        (["photo.png", "x", "--steps", "0"], 2, "--steps"),
        (["photo.png", "x", "--cfg-text", "-1"], 2, "--cfg-text"),
        (["photo.png", "x", "--cfg-image", "nan"], 2, "--cfg-image"),
        (["photo.png", "x", "--seed", "-1"], 2, "--seed"),
        (["photo.png", "x", "--resolution", "3"], 2, "3"),
        (["photo.png", "x", "--model", "nanoo"], 5, "nano"),
        (["photo.png", "x", "--model", "nobody/nothing"], 5, "nobody/nothing"),
    ],
)
def test_nonsense_gets_one_line_and_a_code(ip2p: Run, photo: Path, words: list[str], code: int, said: str) -> None:
    done = ip2p("edit", *words, tiny=False)
    assert done.code == code
    assert said in done.err
    assert one_line(done.err)
    assert "Traceback" not in done.err
    assert not done.out
    assert sorted(p.name for p in Path().iterdir()) == ["photo.png"]


def test_debug_shows_the_traceback(ip2p: Run, photo: Path) -> None:
    assert "Traceback" in ip2p("edit", "missing.jpg", "x", "--debug", tiny=False).err


def test_quiet_says_nothing_and_still_gives_the_path(ip2p: Run, photo: Path) -> None:
    done = ip2p("edit", photo, "make it winter", "--quiet")
    assert done.err == ""
    assert done.out == "photo-make-it-winter.png\n"


def test_long_instructions_are_cut_and_it_is_said(ip2p: Run, photo: Path) -> None:
    done = ip2p("edit", photo, "winter " * 90 + "zebra", "-o", "out.png")
    assert done.code == 0
    assert "zebra" in done.err


def test_the_model_comes_from_flag_environment_config(
    ip2p: Run, photo: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("model: from/config\n")
    monkeypatch.setenv("IP2P_CONFIG", str(config))
    assert "from/config" in ip2p("edit", photo, "x", tiny=False).err
    monkeypatch.setenv("IP2P_MODEL", "from/environment")
    assert "from/environment" in ip2p("edit", photo, "x", tiny=False).err
    assert ip2p("edit", photo, "x").code == 0
    config.write_text("modle: x\n")
    monkeypatch.delenv("IP2P_MODEL")
    done = ip2p("edit", photo, "x", tiny=False)
    assert done.code == 2
    assert "config.yaml" in done.err


def test_ctrl_c_ends_with_a_line_and_nothing_half_written(
    ip2p: Run, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ip2p_cli.diffusion import editing

    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(editing, "decode", pressed)
    done = ip2p("edit", photo, "x")
    assert done.code == 130
    assert "interrupted: 0 of 1" in done.err
    assert sorted(p.name for p in Path().iterdir()) == ["photo.png"]


@pytest.mark.slow
class TestNano:
    """The embedded model, on real photos."""

    SAMPLES = Path(__file__).parents[2] / "samples"

    def test_night_is_darker_and_brighter_is_brighter(self, ip2p: Run) -> None:
        source = self.SAMPLES / "palace.jpg"
        light = {}
        for word in ("make it night", "make it brighter"):
            done = ip2p("edit", source, word, "--seed", 1, tiny=False)
            assert done.code == 0
            light[word] = float(pixels(done.out.strip()).mean())
        before = float(pixels(source).mean())
        assert light["make it night"] < before - 30
        assert light["make it brighter"] > before + 10

    def test_it_introduces_itself_once(self, ip2p: Run) -> None:
        source = self.SAMPLES / "cat.jpg"
        first, second = (ip2p("edit", source, "make it sepia", tiny=False) for _ in range(2))
        assert "small built-in model" in first.err
        assert "small built-in model" not in second.err

    def test_it_is_honest_about_what_it_does_not_know(self, ip2p: Run) -> None:
        source = self.SAMPLES / "cat.jpg"
        unknown = ip2p("edit", source, "add a hat on the sofa", "--model", "nano", tiny=False)
        assert unknown.code == 0
        assert "was not trained for" in unknown.err
        assert "instruct-pix2pix" in unknown.err
        known = ip2p("edit", source, "could you make this look wintry", "--model", "nano", tiny=False)
        assert "was not trained for" not in known.err

    def test_two_seeds_give_two_pictures(self, ip2p: Run) -> None:
        pictures = []
        for seed in (1, 2):
            done = ip2p("edit", self.SAMPLES / "cat.jpg", "make it winter", "--seed", seed, tiny=False)
            pictures.append(pixels(done.out.strip()).astype(int))
        assert np.abs(pictures[0] - pictures[1]).mean() > 0.2

    def test_any_aspect_ratio(self, ip2p: Run) -> None:
        for size in ((900, 100), (60, 400), (1, 1), (333, 257)):
            Image.fromarray(pixels(self.SAMPLES / "cat.jpg")).resize(size).save("odd.png")
            done = ip2p("edit", "odd.png", "make it winter", "-o", "out.png", "--overwrite", tiny=False)
            assert done.code == 0
            assert pixels("out.png").shape[1::-1] == size

    def test_the_card_is_shown(self, ip2p: Run) -> None:
        done = ip2p("models", "show", "nano", tiny=False)
        assert done.code == 0
        for word in ("Trained on", "winter", "followed", "Limits"):
            assert word in done.out
