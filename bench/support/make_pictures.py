"""Makes JPEG files like photographs of the web: FOLDER COUNT [SIDE].

Noise with the spectrum of natural pictures (1/f), gradients, shapes and sensor noise; sides of 400
to 1,200 pixels, or of SIDE to one and a half times as much; qualities 75 to 92, 85 in 100 with
halved chroma, 15 in 100 progressive. The same count gives the same pictures.
"""

import pathlib
import random
import sys

import numpy
from PIL import Image, ImageDraw


def clouds(draw, height, width):
    """One channel of noise whose amplitude falls with the frequency."""
    spectrum = numpy.fft.rfft2(draw.standard_normal((height, width)))
    down = numpy.fft.fftfreq(height)[:, None]
    across = numpy.fft.rfftfreq(width)[None, :]
    spectrum /= numpy.maximum(numpy.hypot(down, across), 1 / max(height, width)) ** 1.25
    field = numpy.fft.irfft2(spectrum, s=(height, width))
    return (field - field.mean()) / field.std()


def picture(seed, shortest, longest):
    draw, pick = numpy.random.default_rng(seed), random.Random(seed)
    width, height = pick.randint(shortest, longest), pick.randint(shortest, longest)
    light = clouds(draw, height, width)
    colour = [clouds(draw, height, width) for _ in range(2)]
    slope = numpy.linspace(-40, 40, width)[None, :] * pick.uniform(-1, 1)
    base = 128 + 38 * light + slope
    planes = [base + 14 * colour[0], base - 6 * colour[0] + 6 * colour[1], base + 14 * colour[1]]
    shapes = Image.new("RGB", (width, height))
    pen = ImageDraw.Draw(shapes)
    for _ in range(pick.randint(2, 9)):
        x, y = pick.randint(0, width), pick.randint(0, height)
        box = (x, y, x + pick.randint(9, width // 2), y + pick.randint(9, height // 2))
        ink = tuple(pick.randint(-70, 70) % 256 for _ in range(3))
        (pen.ellipse if pick.random() < 0.5 else pen.rectangle)(box, fill=ink)
    offset = numpy.asarray(shapes).astype(numpy.int8)
    noise = draw.normal(0, pick.uniform(0.5, 3), (height, width, 3))
    pixels = numpy.stack(planes, axis=2) + 0.5 * offset + noise
    image = Image.fromarray(numpy.clip(pixels, 0, 255).astype(numpy.uint8))
    options = {
        "quality": pick.randint(75, 92),
        "subsampling": 2 if pick.random() < 0.85 else 0,
        "progressive": pick.random() < 0.15,
    }
    return image, options


def main(folder, count, shortest=0):
    sides = (shortest, shortest * 3 // 2) if shortest else (400, 1200)
    for index in range(count):
        image, options = picture(index, *sides)
        image.save(folder / f"{index:04d}.jpg", **options)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:]))
