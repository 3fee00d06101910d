#!/usr/bin/env python3
"""Writes tests/golden/resize_FILTER.txt: what Pillow makes of made-up pictures.

Needs numpy and Pillow >= 13 (older ones choose the order of the passes otherwise):
    python3 tests/golden/make_resize.py
FILTER is bicubic, lanczos, bilinear, box or nearest. The pictures are a formula over the byte's
index, which tests/unit/pipe/resize_test.c repeats, so none of them is stored. Each line: width
height channels kind out_width out_height SHA-256 of the result's bytes. Kind 0 is noise; kind 1
is noise of 0 and 255 only, which overshoots most.
"""

import hashlib
import pathlib
import sys

import numpy
import PIL
from PIL import Image

HERE = pathlib.Path(__file__).parent
FILTERS = ("bicubic", "lanczos", "bilinear", "box", "nearest")
CASES = [
    # As in data sets: photographs down and up.
    (640, 480, 448, 336),
    (640, 480, 597, 448),
    (480, 640, 336, 448),
    (1024, 683, 671, 448),
    (1600, 1200, 448, 336),
    (1200, 1600, 336, 448),
    (800, 600, 336, 252),
    (500, 375, 597, 448),
    (333, 500, 298, 448),
    (300, 200, 672, 448),
    (256, 256, 448, 448),
    (224, 224, 336, 336),
    (2048, 1365, 336, 224),
    (1920, 1080, 448, 252),
    (1080, 1920, 252, 448),
    (4000, 300, 448, 33),
    (300, 4000, 33, 448),
    (1000, 1000, 448, 448),
    (449, 449, 448, 448),
    (447, 447, 448, 448),
    # One side stays.
    (448, 600, 448, 448),
    (600, 448, 448, 448),
    (448, 200, 448, 448),
    (200, 448, 448, 448),
    (64, 64, 64, 32),
    (64, 64, 32, 64),
    (64, 64, 64, 64),
    (65, 31, 65, 62),
    (31, 65, 62, 65),
    # Sides of one pixel and a few.
    (1, 1, 1, 1),
    (1, 1, 7, 5),
    (7, 5, 1, 1),
    (1, 64, 1, 16),
    (64, 1, 16, 1),
    (1, 64, 16, 64),
    (64, 1, 64, 16),
    (1, 9, 9, 1),
    (9, 1, 1, 9),
    (2, 2, 3, 3),
    (3, 3, 2, 2),
    (2, 3, 448, 448),
    (3, 2, 1, 448),
    (5, 4, 4, 5),
    (4, 4, 5, 5),
    (1, 300, 448, 448),
    (300, 1, 448, 448),
    (1, 2, 2, 1),
    (2, 1, 1, 2),
    (1, 3, 3, 3),
    (3, 1, 3, 3),
    (2, 2, 1, 1),
    (1, 1, 448, 448),
    # Where the order of passes turns: height loses more than twice as many pixels as width.
    (100, 200, 50, 100),
    (100, 200, 51, 101),
    (100, 200, 51, 102),
    (100, 200, 50, 99),
    (100, 200, 120, 199),
    (100, 200, 120, 200),
    (100, 200, 99, 198),
    (100, 200, 99, 197),
    # Extreme ratios.
    (1, 101, 5, 50),
    (1, 100, 5, 50),
    (1, 101, 5, 101),
    (1, 101, 5, 200),
    (2, 201, 7, 100),
    (2, 200, 7, 100),
    (3, 301, 1, 30),
    (3, 301, 3, 30),
    (5, 501, 448, 447),
    (5, 500, 448, 447),
    (4, 6000, 1, 448),
    (4, 6000, 3, 6001),
    (1, 20000, 1, 448),
    (20000, 1, 448, 1),
    (7, 2000, 2, 448),
    (2000, 7, 448, 2),
    (10, 1001, 20, 1000),
    (10, 1001, 5, 1),
    (8, 801, 4, 800),
    (6000, 4, 448, 1),
    (1, 9999, 448, 448),
    (12, 1300, 448, 448),
    # Factors around whole numbers, and great ones.
    (100, 100, 50, 50),
    (101, 99, 50, 50),
    (99, 101, 33, 34),
    (1000, 10, 10, 1000),
    (10, 1000, 1000, 10),
    (97, 89, 89, 97),
    (128, 128, 127, 129),
    (255, 257, 256, 256),
    (511, 3, 2, 511),
    (1500, 1500, 3, 3),
    (3, 3, 300, 300),
    (700, 20, 21, 19),
    (33, 77, 231, 11),
    (17, 17, 17, 289),
    (289, 17, 17, 17),
    (63, 63, 64, 64),
    (65, 65, 64, 64),
    (16, 15, 15, 16),
    (15, 16, 17, 33),
    (48, 47, 21, 22),
    (21, 43, 64, 65),
    (22, 22, 43, 85),
    (86, 42, 21, 20),
]
RANDOM_CASES = 40


def noise(count):
    """The formula of resize_test.c, in 64-bit steps so that nothing overflows."""
    value = numpy.arange(count, dtype=numpy.uint64) * 2654435761 + 12345 & 0xFFFFFFFF
    value ^= value >> numpy.uint64(15)
    value = value * 2246822519 & 0xFFFFFFFF
    value ^= value >> numpy.uint64(13)
    return (value >> numpy.uint64(8) & 0xFF).astype(numpy.uint8)


def picture(width, height, channels, kind):
    data = noise(width * height * channels)
    if kind == 1:
        data = numpy.where(data & 1, 255, 0).astype(numpy.uint8)
    return data.reshape(height, width, channels)


def resized(data, out_width, out_height, name):
    channels = data.shape[2]
    image = Image.fromarray(data[:, :, 0] if channels == 1 else data)
    assert image.mode == {1: "L", 3: "RGB"}[channels]
    return image.resize((out_width, out_height), Image.Resampling[name.upper()]).tobytes()


def random_cases():
    """Sides between 1 and 600 from a fixed sequence."""
    state = 1
    for _ in range(RANDOM_CASES):
        sides = []
        for _ in range(4):
            state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
            sides.append((state >> 33) % 600 + 1)
        yield tuple(sides)


def lines(name):
    yield f"# Made by make_resize.py with Pillow {PIL.__version__}: width height channels kind"
    yield "# out_width out_height sha256"
    for number, case in enumerate(CASES + list(random_cases())):
        width, height, out_width, out_height = case
        kind = number % 2
        channels = 1 if number % 7 == 3 else 3
        digest = hashlib.sha256(
            resized(picture(width, height, channels, kind), out_width, out_height, name)
        ).hexdigest()
        yield f"{width} {height} {channels} {kind} {out_width} {out_height} {digest}"


def main():
    version = tuple(int(part) for part in PIL.__version__.split(".")[:2])
    if version < (13, 0):
        sys.exit(f"Pillow {PIL.__version__} is too old")
    for name in FILTERS:
        (HERE / f"resize_{name}.txt").write_text("\n".join(lines(name)) + "\n")


if __name__ == "__main__":
    main()
