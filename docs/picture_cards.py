"""Makes plots cards: white, with a margin and round corners, so that dark pages can show them.

    python docs/picture_cards.py docs/pictures/tree.png

GitHub takes no style sheet, so the picture itself has them. A card stays as it is.
"""

import sys

import numpy as np
from PIL import Image, ImageChops, ImageDraw

# Parts of the width, because pages scale pictures to their own.
MARGIN = 1 / 50
RADIUS = 1 / 60
SMOOTHNESS = 4


def make_card(image: Image.Image) -> Image.Image:
    """Returns what is drawn on white, with the margin and corners of a card."""
    shown = Image.new("RGBA", image.size, "white")
    shown.alpha_composite(image.convert("RGBA"))
    drawn = shown.convert("RGB")
    box = ImageChops.difference(drawn, Image.new("RGB", drawn.size, "white")).getbbox()
    drawn = drawn.crop(box)
    width = round(drawn.width / (1 - 2 * MARGIN))
    margin = (width - drawn.width) // 2
    card = Image.new("RGB", (drawn.width + 2 * margin, drawn.height + 2 * margin), "white")
    card.paste(drawn, (margin, margin))
    card.putalpha(_corners(card.size, round(width * RADIUS)))
    return card


def _corners(size: tuple[int, int], radius: int) -> Image.Image:
    """The opacity of a rectangle with round corners, whose edges are smooth."""
    large = Image.new("L", (size[0] * SMOOTHNESS, size[1] * SMOOTHNESS), 0)
    box = (0, 0, large.width - 1, large.height - 1)
    ImageDraw.Draw(large).rounded_rectangle(box, radius * SMOOTHNESS, 255)
    return large.resize(size, Image.Resampling.LANCZOS)


def with_palette(image: Image.Image) -> Image.Image:
    """The same picture in a smaller file, if it has few colors."""
    pixels = np.asarray(image)
    colors, indices = np.unique(pixels.reshape(-1, 4), axis=0, return_inverse=True)
    if len(colors) > 256:
        return image
    small = Image.fromarray(indices.reshape(pixels.shape[:2]).astype(np.uint8))
    small.putpalette(colors.tobytes(), "RGBA")
    return small


def main() -> None:
    """Rewrites the pictures that the command line names."""
    for path in sys.argv[1:]:
        with Image.open(path) as image:
            card = make_card(image)
        with_palette(card).save(path, optimize=True)


if __name__ == "__main__":
    main()
