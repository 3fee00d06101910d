#!/usr/bin/env python3
"""Writes tests/golden/exif/*: pictures with EXIF, and what the package exifread finds in them.

img2dataset writes what exifread finds, as texts; here its raw values become the JSON that exif.h
promises. Needs Pillow, exifread >= 3, and Debian's libavif-bin (Pillow changes the tags
of an AVIF):
    python3 tests/golden/make_exif.py
"""

import io
import json
import pathlib
import struct
import subprocess
import tempfile

import exifread
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

HERE = pathlib.Path(__file__).parent / "exif"
NOT_KEPT = "Interoperability", "Thumbnail", "MakerNote", "EXIF MakerNote", "JPEGThumbnail"
POINTERS = "Image ExifOffset", "Image GPSInfo"


def camera():
    """What a camera writes, more or less."""
    exif = Image.Exif()
    exif[0x010E] = "  a boat, \u00e9t\u00e9  ".encode()  # ImageDescription
    exif[0x010F], exif[0x0110] = "Maker", "Model X"
    exif[0x0112] = 6
    exif[0x011A], exif[0x011B] = IFDRational(72, 1), IFDRational(300, 7)
    exif[0x0132] = "2026:11:22 10:00:00"
    exif[0x9C9B] = "T\u00eftle \U0001f6a4".encode("utf-16-le") + b"\0\0"
    exif[0xC4A6] = 77  # unknown to all
    camera = exif.get_ifd(0x8769)
    camera[0x829A] = IFDRational(10, 600)
    camera[0x829D] = IFDRational(28, 10)
    camera[0x8827] = 400
    camera[0x9000] = b"0232"
    camera[0x9101] = b"\1\2\3\0"
    camera[0x9204] = IFDRational(-1, 3)
    camera[0x9286] = b"ASCII\0\0\0hello there"
    camera[0xA432] = (IFDRational(24), IFDRational(70), IFDRational(28, 10), IFDRational(28, 10))
    gps = exif.get_ifd(0x8825)
    gps[0] = b"\2\3\0\0"
    gps[1], gps[2] = "N", (IFDRational(40), IFDRational(26), IFDRational(46302, 1000))
    gps[3], gps[4] = "W", (IFDRational(79), IFDRational(58), IFDRational(56))
    gps[5], gps[6] = b"\0", IFDRational(1234, 10)
    return exif.tobytes()


def big_endian():
    """A block by hand, in the other byte order, with a signed number and a text in place."""
    entries = [
        (0x0100, 4, 1, struct.pack(">I", 640)),
        (0x0102, 3, 2, struct.pack(">HH", 8, 16)),
        (0x010F, 2, 3, b"ab\0\0"),
        (0x9999, 8, 1, struct.pack(">hH", -5, 0)),
    ]
    body = b"".join(struct.pack(">HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"MM\0*\0\0\0\x08" + struct.pack(">H", len(entries)) + body + bytes(4)


def as_json(key, tag):
    text = tag.printable.strip()
    if isinstance(tag.values, str):
        return tag.values.strip()
    if tag.field_type.name == "UNDEFINED" or key.startswith("Image XP"):
        raw = bytes(tag.values)
        if key.startswith("Image XP"):
            return raw.decode("utf-16-le").rstrip("\0")
        if key == "EXIF UserComment":
            return raw[8:].decode()
        if raw.isascii() and raw.decode().isprintable():
            return raw.decode()
    values = []
    for value in tag.values:
        if isinstance(value, int):
            values.append(value)
        elif value.denominator == 1:
            values.append(int(value))
        else:
            values.append(f"{value.numerator}/{value.denominator}")
    assert text or not values
    return values[0] if len(values) == 1 else values


def wanted(data):
    found = exifread.process_file(io.BytesIO(data), details=True)
    kept = {key: tag for key, tag in found.items() if not key.startswith(NOT_KEPT)}
    return {key: as_json(key, tag) for key, tag in kept.items() if key not in POINTERS}


def saved(picture, form, block):
    out = io.BytesIO()
    if form != "AVIF":
        picture.save(out, form, exif=block)
        return out.getvalue()
    picture.save(out, "PNG")
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder)
        (file / "in.png").write_bytes(out.getvalue())
        (file / "exif").write_bytes(block.removeprefix(b"Exif\0\0"))
        tool = ["avifenc", "--jobs", "1", "--exif", file / "exif", file / "in.png"]
        subprocess.run([*tool, file / "out.avif"], check=True, stdout=-3)
        return (file / "out.avif").read_bytes()


def main():
    HERE.mkdir(exist_ok=True)
    picture = Image.new("RGB", (8, 8), "teal")
    blocks = {"camera": camera(), "big_endian": b"Exif\0\0" + big_endian()}
    forms = [("camera", form) for form in ("JPEG", "PNG", "WEBP", "AVIF")]
    forms += [("big_endian", "JPEG"), ("big_endian", "AVIF")]
    for name, form in forms:
        file = f"{name}.{form.lower()}"
        (HERE / file).write_bytes(saved(picture, form, blocks[name]))
        jpeg = io.BytesIO()  # exifread does not read every container
        picture.save(jpeg, "JPEG", exif=blocks[name])
        tags = wanted(jpeg.getvalue())
        assert len(tags) > 3
        (HERE / f"{file}.json").write_text(json.dumps(tags, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
