"""The README's picture, made by the tool: `python -m benchmarks.pictures` writes samples/before-after.jpg."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ip2p_cli.api import Editor
from ip2p_cli.io.output import encode_picture
from ip2p_cli.types import EditSettings

SAMPLES = Path(__file__).parent.parent / "samples"
HEIGHT = 330
ROWS = {
    "landscape.jpg": ("make it winter", "make it sunset", "turn it into a pencil sketch"),
    "palace.jpg": ("make it night", "in autumn", "as a watercolour"),
}


def main() -> None:
    editor = Editor.load("nano", device="cpu", dtype="fp32")
    rows = []
    for name, instructions in ROWS.items():
        results = [editor.edit(SAMPLES / name, text, EditSettings(seed=1)) for text in instructions]
        source, edits = results[0].request.source, [result.image for result in results]
        width = round(source.width * HEIGHT / source.height)
        rows.append([image.resize((width, HEIGHT), Image.Resampling.LANCZOS) for image in (source, *edits)])
    sheet = Image.new("RGB", (max(len(row) * row[0].width for row in rows), HEIGHT * len(rows)), "white")
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            sheet.paste(image, (x * image.width, y * HEIGHT))
    path = SAMPLES / "before-after.jpg"
    path.write_bytes(encode_picture(sheet, path, quality=85))


if __name__ == "__main__":
    main()
