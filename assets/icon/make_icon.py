"""Draw icon.png: a grid of patches in three colours, one of them outlined. `python assets/icon/make_icon.py`."""

from pathlib import Path

from PIL import Image, ImageDraw

REGIONS = ("AAAB", "AABB", "CABB", "CCCB")
COLOURS = {"A": "#0f766e", "B": "#e69f00", "C": "#56b4e9"}
SIDE, GAP, MARGIN = 512, 8, 32

step = (SIDE - 2 * MARGIN + GAP) // len(REGIONS)
icon = Image.new("RGB", (SIDE, SIDE), "#f8fafc")
draw = ImageDraw.Draw(icon)
for row, letters in enumerate(REGIONS):
    for column, letter in enumerate(letters):
        left, top = MARGIN + column * step, MARGIN + row * step
        looked_at = (row, column) == (1, 1)
        draw.rounded_rectangle(
            (left, top, left + step - GAP, top + step - GAP),
            radius=18,
            fill=COLOURS[letter],
            outline="#e6001e" if looked_at else None,
            width=18 if looked_at else 0,
        )
icon.quantize(16).save(Path(__file__).with_name("icon.png"), optimize=True)
