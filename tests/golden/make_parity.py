#!/usr/bin/env python3
"""Writes tests/golden/parity.bin and parity.txt: what Pillow makes of 560 small picture files.

Needs numpy and Pillow >= 13 with WebP:
    python3 tests/golden/make_parity.py
parity.bin is the files one after another: 300 JPEG, 200 PNG, 60 WebP. A line of parity.txt is one
case: offset and bytes of its file, the file's kind, resize mode, filter, side, "exact", "bigger"
(only larger ones are resized) or "fast" (reduced decode), width, height and SHA-256 of the RGB
bytes. Decoding, alpha on white, orientation, resizing, crop and bars are Pillow's here;
tests/unit/pipe/parity_test.c expects the same of worker/pipe.
"""

import hashlib
import io
import pathlib
import sys

import make_decode
import numpy
import PIL
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).parent
MODES = ("adaptive", "no", "border", "keep_ratio", "center_crop", "keep_ratio_largest")
OTHERS = ("lanczos", "bilinear", "box", "nearest")
SIDES = (16, 24, 33, 48, 64, 100, 7)
BLACK, WHITE = (0, 0, 0), (255, 255, 255)

# 25 sizes: those of one pixel, around blocks of 8 and 16, mild and extreme ratios, larger ones.
SIZES = [
    (1, 1),
    (1, 40),
    (40, 1),
    (2, 3),
    (7, 5),
    (8, 8),
    (9, 17),
    (16, 16),
    (17, 15),
    (31, 45),
    (33, 32),
    (48, 36),
    (36, 60),
    (64, 48),
    (61, 80),
    (99, 101),
    (100, 75),
    (120, 80),
    (50, 160),
    (150, 12),
    (3, 90),
    (128, 128),
    (130, 97),
    (150, 112),
    (75, 180),
]


def mixed(number, salt, count):
    """Evenly one of count, whatever else goes with the number."""
    value = (number * 2654435761 + salt * 2246822519) & 0xFFFFFFFF
    return ((value ^ value >> 15) * 2246822519 >> 13 & 0xFFFF) % count


def pixels(size, channels, number, levels):
    """Waves and a disc with hard edges; grain where the picture is small, so that files stay so."""
    width, height = size
    y, x = numpy.mgrid[0:height, 0:width].astype(float)
    planes = []
    for channel in range(channels):
        phase = number * 0.7 + channel
        plane = 0.5 + 0.5 * numpy.sin(x / (6 + channel) + y / (11 - channel) + phase)
        disc = (x - width * 0.4) ** 2 + (y - height * 0.6) ** 2 < (min(size) * 0.35) ** 2
        plane = numpy.where(disc, 1 - plane, plane)
        if width * height <= 2000:
            grain = ((x * 73 + y * 151 + number * 29) * 2654435761 % 4294967296) / 4294967296
            plane = numpy.clip(plane + 0.3 * (grain - 0.5), 0, 1)
        planes.append(numpy.rint(plane * levels) * (255 // levels))
    return numpy.stack(planes, axis=2).astype(numpy.uint8)


def image(size, mode, number, levels=255):
    data = pixels(size, {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode], number, levels)
    return Image.fromarray(data[:, :, 0] if mode == "L" else data, mode)


def saved(picture, form, **options):
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def jpegs(size, number):
    rgb, gray = image(size, "RGB", number), image(size, "L", number)
    cmyk = image(size, "CMYK", number)
    quality = 40 + number * 7 % 55
    for name, sampling in (("444", 0), ("422", 1), ("420", 2)):
        yield f"jpeg_{name}", saved(rgb, "JPEG", quality=quality, subsampling=sampling)
        yield (
            f"jpeg_{name}_progressive",
            saved(rgb, "JPEG", quality=quality, subsampling=sampling, progressive=True),
        )
    yield "jpeg_gray", saved(gray, "JPEG", quality=quality)
    yield "jpeg_gray_progressive", saved(gray, "JPEG", quality=quality, progressive=True)
    yield "jpeg_rgb", saved(rgb, "JPEG", quality=quality, keep_rgb=True)
    yield "jpeg_cmyk", saved(cmyk, "JPEG", quality=quality)
    yield "jpeg_restarts", saved(rgb, "JPEG", quality=quality, restart_marker_blocks=3)
    turned = make_decode.exif(number % 8 + 1)
    yield "jpeg_exif", saved(rgb, "JPEG", quality=quality, exif=turned)


def pngs(size, number):
    rgb, gray = image(size, "RGB", number, 15), image(size, "L", number, 15)
    palette = rgb.quantize(16)
    yield "png_rgb", saved(rgb, "PNG")
    yield "png_gray", saved(gray, "PNG")
    yield "png_rgba", saved(image(size, "RGBA", number, 15), "PNG")
    yield "png_gray_alpha", saved(image(size, "LA", number, 15), "PNG")
    yield "png_palette", saved(palette, "PNG")
    yield "png_palette_alpha", saved(palette, "PNG", transparency=bytes(range(3, 255, 17)))
    yield "png_1", saved(gray.convert("1"), "PNG")
    yield "png_rgb_key", saved(rgb, "PNG", transparency=rgb.getpixel((0, 0)))
    yield "png_gray_key", saved(gray, "PNG", transparency=gray.getpixel((0, 0)))
    yield "png_best", saved(rgb, "PNG", optimize=True)


def webps(size, number):
    rgb, rgba = image(size, "RGB", number), image(size, "RGBA", number)
    yield "webp", saved(rgb, "WEBP", quality=80)
    yield "webp_lossless", saved(rgb, "WEBP", lossless=True)
    yield "webp_alpha", saved(rgba, "WEBP", quality=80)
    yield "webp_alpha_lossless", saved(rgba, "WEBP", lossless=True, exact=True)


def scaled_size(size, mode, side):
    """(size after resizing, size of the result, colour of the bars)"""
    shorter, longer = min(size), max(size)
    if mode == "no":
        return size, size, None
    crop = mode in ("keep_ratio", "center_crop") or (
        mode == "adaptive" and shorter * 5 >= longer * 3
    )
    base = shorter if crop else longer
    scaled = tuple(max(1, length * side // base) for length in size)
    if mode.startswith("keep_ratio"):
        return scaled, scaled, None
    return scaled, (side, side), WHITE if mode == "border" else BLACK


def upright_rgb(picture):
    picture = ImageOps.exif_transpose(picture)
    if picture.has_transparency_data:
        return Image.fromarray(make_decode.on_white(numpy.asarray(picture.convert("RGBA"))))
    return picture.convert("RGB")


def expected(data, mode, name, side, how):
    picture = Image.open(io.BytesIO(data))
    size = picture.size
    if how == "fast":
        picture.draft(None, scaled_size(size, mode, side)[0])
        assert picture.size != size
    turned = picture.getexif().get(0x0112, 1) > 4
    picture = upright_rgb(picture)
    size = size[::-1] if turned else size
    scaled, result, bars = scaled_size(size, mode, side)
    if how == "bigger":
        shorter_counts = mode in ("keep_ratio", "center_crop") or (
            mode == "adaptive" and min(size) * 5 >= max(size) * 3
        )
        if (min(size) if shorter_counts else max(size)) <= side:
            scaled = result = size
    picture = picture.resize(scaled, Image.Resampling[name.upper()])
    left, top = (scaled[0] - result[0]) // 2, (scaled[1] - result[1]) // 2
    if scaled[0] < result[0] or scaled[1] < result[1]:
        framed = Image.new("RGB", result, bars)
        framed.paste(picture, ((result[0] - scaled[0]) // 2, (result[1] - scaled[1]) // 2))
        return framed
    return picture.crop((left, top, left + result[0], top + result[1]))


def cases(form, size, number):
    """Every file has a bicubic case and one of another filter; large JPEGs a fast one."""
    mode, side = MODES[mixed(number, 1, len(MODES))], SIDES[mixed(number, 2, len(SIDES))]
    yield mode, "bicubic", side, "exact"
    other, side = MODES[mixed(number, 3, len(MODES))], SIDES[mixed(number, 4, len(SIDES))]
    how = "bigger" if mixed(number, 5, 4) == 0 else "exact"
    yield other, OTHERS[mixed(number, 6, len(OTHERS))], side, how
    if form == "jpeg" and min(size) >= 75 and mode != "no":
        yield mode, ("bicubic", "lanczos")[mixed(number, 7, 2)], 9 + mixed(number, 8, 24), "fast"


def files():
    number = 0
    for form, make, sizes in (
        ("jpeg", jpegs, SIZES),
        ("png", pngs, SIZES[2:22]),
        ("webp", webps, SIZES[5:20]),
    ):
        for size in sizes:
            for kind, data in make(size, number):
                yield form, kind, size, number, data
                number += 1


def main():
    if int(PIL.__version__.split(".")[0]) < 13:
        sys.exit(f"Pillow {PIL.__version__} is too old")
    lines = [
        f"# Made by make_parity.py with Pillow {PIL.__version__}: offset bytes kind mode",
        "# filter side how width height sha256",
    ]
    blob = b""
    for form, kind, size, number, data in files():
        for mode, name, side, how in cases(form, size, number):
            result = expected(data, mode, name, side, how)
            digest = hashlib.sha256(result.tobytes()).hexdigest()
            lines.append(
                f"{len(blob)} {len(data)} {kind} {mode} {name} {side} {how} "
                f"{result.width} {result.height} {digest}"
            )
        blob += data
    (HERE / "parity.bin").write_bytes(blob)
    (HERE / "parity.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
