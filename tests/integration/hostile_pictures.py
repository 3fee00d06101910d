"""Pictures that real lists hold, and pictures made to harm: bodies for the hostile web server.

    for name, data, status in pictures(): ...

status is what a row with it must end as; each is made here, by Pillow or by hand.
"""

import functools
import io
import pathlib
import struct
import zlib

from PIL import Image

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden" / "images"
SIDES = 40, 30


def golden(name):
    return (GOLDEN / name).read_bytes()


def saved(form, *more, **options):
    """A small picture; with more of them, frames."""
    frames = [Image.new("RGB", SIDES, colour) for colour in ("red", *more)]
    out = io.BytesIO()
    if more:
        options |= {"save_all": True, "append_images": frames[1:]}
    frames[0].save(out, form, **options)
    return out.getvalue()


# JPEG


def segment(marker, body):
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def with_segments(data, *segments):
    """Behind the first mark."""
    return data[:2] + b"".join(segments) + data[2:]


def frame_at(data):
    """Where the frame header's marker stands."""
    return next(i for i in range(len(data)) if data[i] == 0xFF and data[i + 1] in (0xC0, 0xC2))


def with_size(data, width, height):
    at = frame_at(data)
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def with_frame(data, marker, bits=8):
    """The header of another kind of JPEG."""
    at = frame_at(data)
    return data[: at + 1] + bytes([marker]) + data[at + 2 : at + 4] + bytes([bits]) + data[at + 5 :]


def exif(*entries, following=0):
    """A little-endian block with one directory of (tag, type, count, value)."""
    body = struct.pack("<H", len(entries))
    body += b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + body + struct.pack("<I", following)


def jpegs():
    plain, flat = golden("rgb.jpg"), golden("progressive_gray.jpg")
    scan = bytes([0xFF, 0xDA, 0, 8, 1, 1, 0, 1, 5, 0, 0x3F, 0x80])
    yield "garbage behind", plain + b"garbage" * 1000, "success"
    yield "no end mark", plain[:-2], "success"
    yield "a zip behind", plain + b"PK\x03\x04" + bytes(5000), "success"
    yield "many scans", flat[:-2] + scan * 1000 + b"\xff\xd9", "too_many_scans"
    yield "mpo", saved("MPO", "blue"), "success"
    yield "jps", with_segments(plain, segment(0xE3, b"_JPSJPS_" + bytes(12))), "success"
    yield "lossless", with_frame(golden("420.jpg"), 0xC3), "unsupported_format"
    yield "twelve bits", with_frame(golden("420.jpg"), 0xC1, 12), "unsupported_format"
    yield "differential", with_frame(golden("420.jpg"), 0xC5), "unsupported_format"
    yield "large header", with_size(plain, 65000, 65000), "too_many_pixels"
    yield "too wide", with_size(plain, 65535, 1), "too_large_side"
    yield "no height", with_size(plain, 40, 0), "zero_size"
    yield "cmyk", golden("cmyk.jpg"), "success"
    yield "ycck", golden("ycck.jpg"), "success"
    profile = [b"ICC_PROFILE\0" + bytes([i + 1, 40]) + bytes(65000) for i in range(40)]
    yield "profile", with_segments(plain, *[segment(0xE2, body) for body in profile]), "success"
    torn = bytearray(golden("restarts.jpg"))
    marks = (i for i in range(700, len(torn)) if torn[i] == 255)
    mark = next(i for i in marks if 208 <= torn[i + 1] < 216)
    torn[mark + 1] ^= 1
    yield "restart lost", bytes(torn), "success"
    loop = exif((0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0x112, 3, 1, 99), following=8)
    yield "exif loop", with_segments(plain, segment(0xE1, loop)), "success"
    far = exif((0x10F, 2, 0xFFFFFFFF, 0xFFFFFFF0), (0x8769, 4, 1, 0xFFFFFFFF))
    yield "exif far away", with_segments(plain, segment(0xE1, far)), "success"
    yield "only a beginning", b"\xff\xd8\xff\xe0", "truncated"


# PNG


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, bits, colour, data, *before):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    body = chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(before[:1]) + head + b"".join(before[1:]) + body


@functools.cache
def zeros(count):
    """So many zero bytes, packed."""
    packer = zlib.compressobj(9)
    block, out = bytes(1 << 20), b""
    while count > 0:
        out += packer.compress(block[:count])
        count -= len(block)
    return out + packer.flush()


def pngs():
    rows = zlib.compress(bytes((1 + 30) * 20))
    yield "png bomb", png(30000, 30000, 1, 0, zeros(30000 * 3751)), "too_many_pixels"
    bombs = chunk(b"zTXt", b"k\0\0" + zeros(1 << 30)), chunk(b"iCCP", b"p\0\0" + zeros(1 << 30))
    for kind, bomb in zip(("text", "profile"), bombs):
        yield f"{kind} bomb", png(30, 20, 8, 0, rows, b"", bomb), "success"
    yield "too many rows", png(30, 20, 8, 0, zeros(1 << 30)), "success"
    yield "too few rows", png(30, 20, 8, 0, zeros(50)), "corrupt"
    yield "a thin line", png(4000, 2, 8, 0, zlib.compress(bytes(2 * 4001))), "success"
    yield "giant sides", png(0x7FFFFFFF, 0x7FFFFFFF, 8, 2, rows), "too_large_side"
    yield "no sides", png(0, 20, 8, 0, rows), "zero_size"
    yield "no such depth", png(30, 20, 3, 0, rows), "corrupt"
    yield "cgbi", png(30, 20, 8, 2, rows, chunk(b"CgBI", bytes(4))), "unsupported_format"
    good = golden("rgb.png")
    at = good.index(b"IDAT") + 20
    yield "wrong sum", good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :], "corrupt"
    yield "apng", saved("PNG", "blue", "green"), "success"
    for name in ("gray16", "rgba16_interlaced", "palette_alpha", "gray_alpha", "rgb_key"):
        yield name, golden(name + ".png"), "success"


# The others


def gif(*blocks, sides=SIDES):
    return b"GIF89a" + struct.pack("<HHBBB", *sides, 0, 0, 0) + b"".join(blocks) + b";"


def gif_frame(*sides):
    return b"," + struct.pack("<HHHHB", 0, 0, *sides, 0) + b"\x08\x02\x00\x01\x00"


def riff(kind, body):
    return b"RIFF" + struct.pack("<I", len(body) + 12) + b"WEBP" + kind + struct.pack(
        "<I", len(body)
    ) + body


def others():
    yield "animated gif", golden("animated.gif"), "success"
    yield "gif without a frame", gif(), "corrupt"
    yield "gif frame of nothing", gif(gif_frame(0, 0)), "zero_size"
    yield "gif with a large screen", gif(gif_frame(1, 1), sides=(65535, 65535)), "too_many_pixels"
    yield "gif with a large frame", gif(gif_frame(65535, 65535)), "too_many_pixels"
    yield "gif cut short", golden("animated.gif")[:100], "truncated"
    yield "animated webp", saved("WEBP", "blue", "green"), "unsupported_format"
    yield "large webp", riff(b"VP8L", b"\x2f" + b"\xff\xff\xff\x0f" + bytes(20)), "too_many_pixels"
    yield "webp cut short", golden("lossy.webp")[:200], "truncated"
    size = bytearray(golden("lossy_alpha.webp"))
    size[24] ^= 1  # VP8X's width
    yield "webp of two sizes", bytes(size), "corrupt"
    yield "avif", golden("420.avif"), "success"
    yield "avif cut short", golden("420.avif")[:400], "truncated"
    yield "heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "unsupported_format"
    yield "jxl", b"\xff\x0a" + bytes(40), "unsupported_format"
    yield "bmp", saved("BMP"), "unsupported_format"
    yield "tiff", saved("TIFF"), "unsupported_format"
    yield "ico", saved("ICO"), "unsupported_format"
    svg = b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg/>'
    yield "svg", svg, "unsupported_format"
    yield "json", b'{"error": "not found"}', "unknown_format"
    yield "nothing but zeros", bytes(5000), "unknown_format"
    yield "one pixel", saved_pixel(), "too_small"


def saved_pixel():
    out = io.BytesIO()
    Image.new("RGB", (1, 1)).save(out, "GIF")
    return out.getvalue()


def pictures():
    yield from jpegs()
    yield from pngs()
    yield from others()
