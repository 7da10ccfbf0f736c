"""The README's pictures, made by the tool: `python -m benchmarks.pictures` writes them to samples/."""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image
from typer.testing import CliRunner

from ip2p_cli.api import Editor
from ip2p_cli.cli.app import app
from ip2p_cli.io.output import encode_picture
from ip2p_cli.types import EditSettings

SAMPLES = Path(__file__).parent.parent / "samples"
HEIGHT = 330
BEFORE_AFTER = {
    "landscape.jpg": ("make it winter", "make it sunset", "turn it into a pencil sketch"),
    "palace.jpg": ("make it night", "in autumn", "as a watercolour"),
}
REGIONS = {
    "dogs.jpg": "make the background black and white",
    "landscape.jpg": "darken the left half",
    "cat.jpg": "blur everything behind the subject",
}
SHEET_WIDTH = 992


def at_height(image: Image.Image, height: int) -> Image.Image:
    return image.resize((round(image.width * height / image.height), height), Image.Resampling.LANCZOS)


def beside(images: list[Image.Image]) -> Image.Image:
    """Pictures of one height in a row."""
    row = Image.new("RGB", (sum(image.width for image in images), images[0].height), "white")
    left = 0
    for image in images:
        row.paste(image, (left, 0))
        left += image.width
    return row


def write(image: Image.Image, name: str) -> None:
    path = SAMPLES / name
    path.write_bytes(encode_picture(image, path, quality=85))


def before_after(editor: Editor) -> Image.Image:
    rows = []
    for name, instructions in BEFORE_AFTER.items():
        results = [editor.edit(SAMPLES / name, text, EditSettings(seed=1)) for text in instructions]
        rows.append(
            beside([at_height(one, HEIGHT) for one in (results[0].request.source, *(r.image for r in results))])
        )
    sheet = Image.new("RGB", (max(row.width for row in rows), HEIGHT * len(rows)), "white")
    for number, row in enumerate(rows):
        sheet.paste(row, (0, number * HEIGHT))
    return sheet


def regions(editor: Editor) -> Image.Image:
    edits = [editor.edit(SAMPLES / name, text, EditSettings(seed=1)).image for name, text in REGIONS.items()]
    return beside([at_height(edit, 300) for edit in edits])


def variants() -> Image.Image:
    """The contact sheet of the command."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["variants", str(SAMPLES / "palace.jpg"), "make it snow", "--seeds", "8", "-o", f"{folder}/out"]
        CliRunner().invoke(app, [*words, "--model", "nano"], catch_exceptions=False)
        with Image.open(f"{folder}/out/contact-sheet.png") as opened:
            sheet = opened.convert("RGB")
    height = round(sheet.height * SHEET_WIDTH / sheet.width)
    return sheet.resize((SHEET_WIDTH, height), Image.Resampling.LANCZOS)


def main() -> None:
    editor = Editor.load("nano", device="cpu", dtype="fp32")
    write(before_after(editor), "before-after.jpg")
    write(regions(editor), "regions.jpg")
    write(variants(), "variants.jpg")


if __name__ == "__main__":
    main()
