#!/usr/bin/env python3
"""Writes tests/golden/nn/narrow.txt: what numpy (f16) and ml_dtypes (bf16) make of f32 numbers.

Needs numpy and ml_dtypes (made with numpy 2.4.6 and ml_dtypes 0.6.0):
    python3 tests/golden/make_nn_dtype.py
Each line: the bits of the f32, of its f16 and of its bf16, in hexadecimal. The numbers: every tie
between neighbours around the corners of both formats, one bit to each side of it, and some at
random. NaN is left out: the libraries differ in its payload, the test says what ours is.
"""

import pathlib

import ml_dtypes
import numpy

OUT = pathlib.Path(__file__).parent / "nn" / "narrow.txt"


def corners():
    """Bits of f32 around the numbers where a format changes its ways."""
    f16 = [0, 1, 2, 3, 0x1FF, 0x200, 0x3FE, 0x3FF, 0x400, 0x401, 0x7FF, 0x800, 0x3BFF, 0x3C00]
    f16 += [0x3C01, 0x7BFE, 0x7BFF]
    for low in f16:
        here, there = (numpy.uint16(x).view(numpy.float16).astype("f8") for x in (low, low + 1))
        if not numpy.isfinite(there):
            there = numpy.float64(65536)
        yield numpy.float32(here).view("u4")
        yield numpy.float32((here + there) / 2).view("u4")
    for low in [0, 1, 2, 0x7E, 0x7F, 0x80, 0x81, 0x3F7F, 0x3F80, 0x3F81, 0x7F7E, 0x7F7F]:
        yield numpy.uint32(low << 16)
        yield numpy.uint32((low << 16) + 0x8000)


def main():
    bits = set()
    for corner in corners():
        for step in (-1, 0, 1):
            value = int(corner) + step
            if 0 <= value <= 0x7F800000:
                bits |= {value, value | 0x80000000}
    random = numpy.random.default_rng(5)
    bits |= {int(x) for x in random.integers(0, 2**32, 100) if x & 0x7FFFFFFF <= 0x7F800000}
    # Within the range of f16, where most of the others are not.
    bits |= {int(x) for x in random.integers(0x33000000, 0x47800000, 150)}
    numbers = numpy.array(sorted(bits), "u4")
    with numpy.errstate(over="ignore"):
        f16 = numbers.view("f4").astype("f2").view("u2")
    bf16 = numbers.view("f4").astype(ml_dtypes.bfloat16).view("u2")
    OUT.parent.mkdir(exist_ok=True)
    rows = zip(numbers, f16, bf16)
    OUT.write_text("".join(f"{a:08x} {b:04x} {c:04x}\n" for a, b, c in rows))


main()
