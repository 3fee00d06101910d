#!/usr/bin/env python3
"""Writes tests/golden/images/* and tests/golden/decode.txt: what Pillow makes of small files.

Needs numpy and Pillow >= 13 with WebP:
    python3 tests/golden/make_decode.py
Each line: file alpha width height SHA-256 of the upright RGB bytes; alpha is "white" (blended on
white, as img2dataset does) or "drop" (Pillow's convert("RGB")). 16-bit PNGs lose their low byte:
for gray ones Pillow clips instead, so their pixels are computed here.
"""

import hashlib
import io
import pathlib
import struct
import zlib

import numpy
import PIL
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).parent
IMAGES = HERE / "images"
WIDTH, HEIGHT = 45, 31
ADAM7 = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
]


def scene(width=WIDTH, height=HEIGHT, channels=3):
    """Gradients, a disc and some grain, in float so that 16 bits have something to say."""
    y, x = numpy.mgrid[0:height, 0:width].astype(float)
    planes = []
    for channel in range(channels):
        disc = (x - width * 0.4) ** 2 + (y - height * 0.5) ** 2 < (height * 0.3) ** 2
        plane = 0.5 + 0.45 * numpy.sin(x / (5 + channel) + y / (9 - channel) + channel)
        plane = numpy.where(disc, 1 - plane, plane)
        grain = ((x * 73 + y * 151 + channel * 29) * 2654435761 % 4294967296) / 4294967296
        planes.append(numpy.clip(plane + 0.06 * (grain - 0.5), 0, 1))
    return numpy.stack(planes, axis=2)


def as_8(data):
    return (data * 255 + 0.5).astype(numpy.uint8)


def as_16(data):
    return (data * 65535 + 0.5).astype(numpy.uint16)


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(samples, colour, depth, interlaced=False, extra=()):
    """A PNG of height x width x channels samples, with filter 0 throughout; Pillow writes no
    interlaced and few 16-bit ones."""
    height, width, _ = samples.shape

    def rows(part):
        body = b""
        for row in part:
            flat = row.reshape(-1)
            if depth == 16:
                packed = flat.astype(">u2").tobytes()
            elif depth == 8:
                packed = flat.astype(numpy.uint8).tobytes()
            else:
                bits = "".join(format(int(value), f"0{depth}b") for value in flat)
                bits += "0" * (-len(bits) % 8)
                packed = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
            body += b"\0" + packed
        return body

    if interlaced:
        data = b"".join(
            rows(samples[y0::dy, x0::dx])
            for x0, y0, dx, dy in ADAM7
            if samples[y0::dy, x0::dx].size
        )
    else:
        data = rows(samples)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    body = b"".join(chunk(name, text) for name, text in extra)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + body
        + chunk(b"IDAT", zlib.compress(data, 9))
        + chunk(b"IEND", b"")
    )


def saved(image, form, **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def without_segment(data, marker):
    at = 2
    while data[at + 1] != 0xDA:
        length = struct.unpack(">H", data[at + 2 : at + 4])[0]
        if data[at + 1] == marker:
            return data[:at] + data[at + 2 + length :]
        at += 2 + length
    raise ValueError("no such segment")


def jpegs():
    rgb = Image.fromarray(as_8(scene()))
    cmyk = Image.fromarray(as_8(scene(channels=4)), "CMYK")
    cmyk_file = saved(cmyk, "JPEG", quality=90)
    adobe = cmyk_file.index(b"Adobe")
    yield "gray.jpg", saved(rgb.convert("L"), "JPEG", quality=90)
    yield "444.jpg", saved(rgb, "JPEG", quality=92, subsampling=0)
    yield "422.jpg", saved(rgb, "JPEG", quality=85, subsampling=1)
    yield "420.jpg", saved(rgb, "JPEG", quality=75)
    yield "420_even.jpg", saved(rgb.crop((0, 0, 32, 16)), "JPEG", quality=95)
    yield "progressive.jpg", saved(rgb, "JPEG", quality=80, progressive=True)
    yield "progressive_gray.jpg", saved(rgb.convert("L"), "JPEG", quality=60, progressive=True)
    yield "restarts.jpg", saved(rgb, "JPEG", quality=80, restart_marker_blocks=2)
    yield "rgb.jpg", saved(rgb, "JPEG", quality=90, keep_rgb=True)
    yield "cmyk.jpg", cmyk_file
    yield "cmyk_plain.jpg", without_segment(cmyk_file, 0xEE)
    yield "ycck.jpg", cmyk_file[: adobe + 11] + b"\2" + cmyk_file[adobe + 12 :]
    small = rgb.resize((19, 12))
    for orientation in range(1, 9):
        yield f"exif_{orientation}.jpg", saved(small, "JPEG", exif=exif(orientation))


def pngs():
    rgb = Image.fromarray(as_8(scene()))
    rgba = scene(channels=4)
    palette = rgb.quantize(13)
    yield "rgb.png", saved(rgb, "PNG")
    yield "rgba.png", saved(Image.fromarray(as_8(rgba)), "PNG")
    yield "gray_alpha.png", saved(Image.fromarray(as_8(scene(channels=2)), "LA"), "PNG")
    yield "palette.png", saved(palette, "PNG")
    yield "palette_alpha.png", saved(palette, "PNG", transparency=bytes(range(0, 250, 25)))
    yield "rgb_key.png", saved(rgb, "PNG", transparency=rgb.getpixel((7, 9)))
    yield "gray_key.png", saved(
        rgb.convert("L"), "PNG", transparency=rgb.convert("L").getpixel((3, 3))
    )
    for depth in (1, 2, 4):
        samples = (scene(channels=1) * ((1 << depth) - 1) + 0.5).astype(int)
        yield f"gray{depth}.png", png(samples, 0, depth, interlaced=depth == 2)
    yield "gray16.png", png(as_16(scene(channels=1)), 0, 16)
    yield "rgb16.png", png(as_16(scene()), 2, 16)
    yield "gray_alpha16.png", png(as_16(scene(channels=2)), 4, 16)
    yield "rgba16_interlaced.png", png(as_16(rgba), 6, 16, interlaced=True)
    yield "rgb_interlaced.png", png(as_8(scene()), 2, 8, interlaced=True)
    yield "exif_6.png", saved(rgb, "PNG", exif=exif(6))


def webps():
    rgb = Image.fromarray(as_8(scene()))
    rgba = Image.fromarray(as_8(scene(channels=4)))
    yield "lossy.webp", saved(rgb, "WEBP", quality=80)
    yield "lossless.webp", saved(rgb, "WEBP", lossless=True)
    yield "lossy_alpha.webp", saved(rgba, "WEBP", quality=85)
    yield "lossless_alpha.webp", saved(rgba, "WEBP", lossless=True, exact=True)


def moved(data, screen, left, top):
    """A GIF whose one frame stands elsewhere on a screen of another size."""
    colours = 3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0
    at = 13 + colours
    while data[at] == 0x21:
        at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
    assert data[at] == 0x2C
    place = struct.pack("<HH", left, top)
    return data[:6] + struct.pack("<HH", *screen) + data[10 : at + 1] + place + data[at + 5 :]


def gifs():
    rgb = Image.fromarray(as_8(scene()))
    palette = rgb.quantize(13)
    plain = saved(palette, "GIF", interlace=0)
    keyed = saved(palette, "GIF", interlace=0, transparency=5)
    # The table of colours of the screen, handed to the frame instead.
    colours = 3 << (plain[10] & 7) + 1
    frame = plain.index(b",", 13 + colours)
    flags = plain[10] & 7 | 0x80
    local = plain[:10] + b"\0" + plain[11:13] + plain[13 + colours : frame + 9]
    local += bytes([flags]) + plain[13 : 13 + colours] + plain[frame + 10 :]
    none = plain[:10] + b"\0" + plain[11:13] + plain[13 + colours :]
    yield "palette.gif", plain
    yield "interlaced.gif", saved(palette, "GIF", interlace=1)
    yield "gray.gif", saved(rgb.convert("L"), "GIF", interlace=0)
    yield "key.gif", keyed
    yield "local.gif", local
    yield "no_colours.gif", none
    yield "inside.gif", moved(plain, (60, 40), 7, 4)
    yield "inside_key.gif", moved(keyed, (60, 40), 7, 4)
    yield "outside.gif", moved(keyed, (20, 40), 7, 4)
    others = [rgb.rotate(turn).quantize(7) for turn in (90, 180)]
    yield "animated.gif", saved(palette, "GIF", save_all=True, append_images=others, loop=0)


def on_white(rgba):
    """img2dataset's formula in floating point, and ours in integers, which must agree."""
    pixels = rgba.astype(int)
    alpha = pixels[:, :, 3:]
    blended = numpy.rint((alpha / 255 * pixels[:, :, :3] + 255 - alpha).clip(0, 255))
    assert (blended == (alpha * pixels[:, :, :3] + (255 - alpha) * 255 + 127) // 255).all()
    return blended.astype(numpy.uint8)


def expected(name, data):
    """Yields (alpha policy, upright RGB array)."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if name == "gray16.png":
        high = (numpy.asarray(image) >> 8).astype(numpy.uint8)
        yield "white", numpy.stack([high] * 3, axis=2)
        return
    if image.has_transparency_data:
        rgba = numpy.asarray(image.convert("RGBA"))
        yield "white", on_white(rgba)
        yield "drop", rgba[:, :, :3]
        return
    yield "white", numpy.asarray(image.convert("RGB"))


def main():
    IMAGES.mkdir(exist_ok=True)
    lines = [
        f"# Made by make_decode.py with Pillow {PIL.__version__}: file alpha width height sha256"
    ]
    for source in (jpegs, pngs, webps, gifs):
        for name, data in source():
            (IMAGES / name).write_bytes(data)
            for alpha, pixels in expected(name, data):
                digest = hashlib.sha256(numpy.ascontiguousarray(pixels).tobytes()).hexdigest()
                lines.append(f"{name} {alpha} {pixels.shape[1]} {pixels.shape[0]} {digest}")
    (HERE / "decode.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
