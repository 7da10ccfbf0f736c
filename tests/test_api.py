"""From Python: the same pixels as the command, the README's lines as they stand, a package that is light to import."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

import ip2p_cli
from ip2p_cli import Editor, EditSettings, MaskSettings
from ip2p_cli.cli.app import main
from ip2p_cli.errors import InputError, UsageError
from ip2p_cli.types import VerdictName

ROOT = Path(__file__).parent.parent
QUICK = EditSettings(seed=7, steps=2, resolution=64)


@pytest.fixture(scope="module")
def editor(tiny_folder: Path) -> Editor:
    return Editor.load(str(tiny_folder), device="cpu", dtype="fp32")


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[0:65, 0:97]
    pixels = np.stack([x * 2, y * 3, (x + y) % 64 * 3], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save("photo.png")
    return Path("photo.png")


def test_the_same_pixels_as_the_command(
    editor: Editor, photo: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["ip2p", "edit", str(photo), "make it winter", "-o", "out.png", "--seed", "7"]
    words += ["--steps", "2", "--resolution", "64", "--model", str(tiny_folder), "--device", "cpu", "--dtype", "fp32"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    found = editor.edit("photo.png", "make it winter", QUICK)
    with Image.open("out.png") as theirs:
        assert found.image.tobytes() == theirs.tobytes()
    assert found.request.settings.seed == 7
    assert found.verdict.name in get_args(VerdictName)
    assert (found.verdict.advice == "") is (found.verdict.name == "ok")


def test_a_picture_instead_of_a_path(editor: Editor, photo: Path) -> None:
    with Image.open(photo) as image:
        found = editor.edit(image, " make it winter ", QUICK)
        raw = image.tobytes()
    assert found.image.size == (97, 65)
    assert found.request.source.tobytes() == raw
    assert found.request.instruction == "make it winter"
    digest = editor.edit(photo, "make it winter", QUICK).extra["input_sha256"]
    assert digest == hashlib.sha256(photo.read_bytes()).hexdigest()


def test_a_clear_turned_picture_is_upright_on_white(editor: Editor, photo: Path) -> None:
    with Image.open(photo) as image:
        clear = image.convert("RGBA")
    clear.putpixel((0, 0), (9, 9, 9, 0))
    clear.getexif()[0x0112] = 6  # to be turned clockwise
    source = editor.edit(clear, "x", QUICK).request.source
    assert source.size == (65, 97)
    assert source.getpixel((64, 0)) == (255, 255, 255)


def test_steps_are_told_and_presets_taken(editor: Editor, photo: Path) -> None:
    told: list[tuple[int, int]] = []
    found = editor.edit(
        photo, "x", EditSettings(steps=2, resolution=64), preset="original", on_step=lambda *s: told.append(s)
    )
    assert told == [(1, 2), (2, 2)]
    assert found.request.settings.sampler == "euler_a_original"
    assert found.request.settings.seed is not None


def test_masks_by_path_folder_picture_and_words(editor: Editor, photo: Path) -> None:
    before = np.asarray(Image.open(photo).convert("RGB"))
    mask = Image.new("L", (before.shape[1], before.shape[0]))
    mask.paste(255, (0, 0, 40, before.shape[0]))
    Path("masks").mkdir()
    mask.save(f"masks/{photo.stem}.png")
    boxes = MaskSettings(box=("0,0,40,100%",))
    ways = [f"masks/{photo.stem}.png", Path("masks"), mask, boxes, MaskSettings(region="left", box=boxes.box)]
    results = [np.asarray(editor.edit(photo, "winter", QUICK, mask=way).image) for way in ways]
    for result in results:
        different = (result != before).any(axis=-1)
        assert different[:, :40].mean() > 0.9
        assert not different[:, 40:].any()
    for result in results[1:4]:
        assert (result == results[0]).all()


def test_mistakes_are_told(editor: Editor, photo: Path) -> None:
    with pytest.raises(InputError, match=r"photo\.pgn"):
        editor.edit("photo.pgn", "x", QUICK)
    with pytest.raises(UsageError, match="empty"):
        editor.edit(photo, "  ", QUICK)
    with pytest.raises(UsageError, match="mode F"):
        editor.edit(Image.new("F", (8, 8)), "x", QUICK)


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys, ip2p_cli; from ip2p_cli import EditSettings, EditResult, Ip2pError; EditSettings(seed=1)\n"
        "assert not {'torch', 'diffusers', 'transformers', 'numpy', 'PIL', 'typer'} & set(sys.modules)\n"
        "assert 'Editor' in dir(ip2p_cli)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="Edditor"):
        _ = ip2p_cli.Edditor


@pytest.mark.slow
def test_the_lines_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [lines] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert sum(bool(line.strip()) for line in lines.splitlines()) == 3  # as it says
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    monkeypatch.chdir(tmp_path)
    exec(compile(lines, "README.md", "exec"), {})
    with Image.open("winter.png") as image, Image.open(ROOT / "samples" / "cat.jpg") as before:
        assert image.size == before.size
        difference = np.asarray(image.convert("RGB"), float) - np.asarray(before.convert("RGB"), float)
    assert np.abs(difference).mean() > 5
