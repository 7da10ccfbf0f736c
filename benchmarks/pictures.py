"""The README's picture, made by the tool: `python -m benchmarks.pictures` writes samples/before-after.jpg."""

from __future__ import annotations

from pathlib import Path

from ip2p_cli.workflows.edit import edit
from PIL import Image

from ip2p_cli.io.images import read_image
from ip2p_cli.io.output import encode_picture
from ip2p_cli.models.loader import load_editor
from ip2p_cli.models.registry import find_model
from ip2p_cli.settings import resolve
from ip2p_cli.types import EditRequest, EditSettings

SAMPLES = Path(__file__).parent.parent / "samples"
HEIGHT = 330
ROWS = {
    "landscape.jpg": ("make it winter", "make it sunset", "turn it into a pencil sketch"),
    "palace.jpg": ("make it night", "in autumn", "as a watercolour"),
}


def main() -> None:
    spec = find_model("nano")
    editor = load_editor(spec, device="cpu", dtype="fp32")
    settings = resolve(EditSettings(seed=1), spec)
    rows = []
    for name, instructions in ROWS.items():
        source = read_image(SAMPLES / name).rgb
        edits = [edit(editor, EditRequest(source=source, instruction=i, settings=settings)).image for i in instructions]
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
