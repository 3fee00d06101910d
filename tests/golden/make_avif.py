#!/usr/bin/env python3
"""Writes tests/golden/images/*.avif and tests/golden/decode_avif.txt: what Pillow makes of them.

Needs numpy, Pillow >= 13 with AVIF, and Debian's libavif-bin for more than 8 bits:
    python3 tests/golden/make_avif.py
Each line: file, width, height, and what is expected of the upright RGB bytes, blended on white: the
SHA-256 of all of them if the file is lossless, else the first and the last row in hexadecimal.
Pillow brings a libavif of its own, and versions differ in how they round lossy colours.
"""

import hashlib
import pathlib
import subprocess
import tempfile

import numpy
import PIL
from make_decode import HERE, IMAGES, as_8, as_16, expected, png, saved, scene
from PIL import Image

LOSSY = "420.avif", "gray.avif", "bits_10.avif", "bits_12.avif"


def encoded(source, *options):
    """By libavif's own tool, which writes what Pillow cannot."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder)
        (file / "in.png").write_bytes(source)
        tool = ["avifenc", "--jobs", "1", "--speed", "6", *options]
        subprocess.run([*tool, file / "in.png", file / "out.avif"], check=True, stdout=-3)
        return (file / "out.avif").read_bytes()


def avifs():
    rgb, rgba = as_8(scene()), as_8(scene(channels=4))
    flat = saved(Image.fromarray(rgb), "PNG")
    deep = png(as_16(scene()), 2, 16)
    good = "--min", "4", "--max", "12"
    yield "lossless.avif", encoded(flat, "--lossless")
    alpha = saved(Image.fromarray(rgba), "PNG")
    yield "lossless_alpha.avif", encoded(alpha, "--lossless")
    for turn in range(1, 4):
        yield f"turned_{turn}.avif", encoded(flat, "--lossless", "--irot", str(turn))
    for side in range(2):
        options = "--lossless", "--irot", "1", "--imir", str(side)
        yield f"mirrored_{side}.avif", encoded(flat, *options)
    yield "420.avif", saved(Image.fromarray(rgb), "AVIF", quality=90)
    yield "gray.avif", encoded(flat, "--yuv", "400", *good)
    yield "bits_10.avif", encoded(deep, "--depth", "10", "--yuv", "444", *good)
    yield "bits_12.avif", encoded(deep, "--depth", "12", "--yuv", "422", *good)


def main():
    lines = [f"# Made by make_avif.py with Pillow {PIL.__version__}: file width height pixels"]
    for name, data in avifs():
        (IMAGES / name).write_bytes(data)
        _, pixels = next(iter(expected(name, data)))
        pixels = numpy.ascontiguousarray(pixels)
        if name in LOSSY:
            want = pixels[0].tobytes().hex() + pixels[-1].tobytes().hex()
        else:
            want = hashlib.sha256(pixels.tobytes()).hexdigest()
        lines.append(f"{name} {pixels.shape[1]} {pixels.shape[0]} {want}")
    (HERE / "decode_avif.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
