#!/usr/bin/env python3
"""Writes tests/golden/features/: the files that numpy and safetensors make of known rows.

Needs numpy, safetensors and ml_dtypes (made with numpy 2.4.6, safetensors 0.8.0, ml_dtypes 0.6.0):
    python3 tests/golden/make_features.py
The rows: number i of tensor t is ((i * 37 + t) % 101 - 50) / 64 + i / 65536, which no half-width
type holds exactly, so that rounding shows. Tensors: tokens [rows, 2, 3], cls [rows, 5] and
embedding [rows, 4]; 7 rows, or none. tests/unit/jobs/encode_features_test.c writes the same.
"""

import json
import pathlib

import ml_dtypes
import numpy
import safetensors

FOLDER = pathlib.Path(__file__).parent / "features"
SHAPES = {"tokens": (2, 3), "cls": (5,), "embedding": (4,)}
DTYPES = {"f32": (numpy.float32, "float32"), "f16": (numpy.float16, "float16"),
          "bf16": (ml_dtypes.bfloat16, "bfloat16")}  # fmt: skip
METADATA = {"dtype": "test", "model": "tiny \"clip\""}


def values(number, rows, shape):
    i = numpy.arange(rows * int(numpy.prod(shape)), dtype=numpy.float32)
    all_of = ((i * 37 + number) % 101 - 50) / numpy.float32(64) + i / numpy.float32(65536)
    return all_of.astype(numpy.float32).reshape(rows, *shape)


def write(name, dtype, rows):
    kind, label = DTYPES[dtype]
    arrays = {key: numpy.ascontiguousarray(values(t, rows, shape).astype(kind))
              for t, (key, shape) in enumerate(SHAPES.items())}  # fmt: skip
    specs = {key: safetensors.TensorSpec(dtype=label, shape=list(one.shape),
                                         data_ptr=one.ctypes.data, data_len=one.nbytes)
             for key, one in arrays.items()}  # fmt: skip
    ordered = json.dumps(METADATA, separators=(",", ":"), sort_keys=True)
    while True:  # the library has metadata in any order; ours is by key
        content = bytes(safetensors.serialize(specs, METADATA))
        if ordered.encode() in content:
            break
    (FOLDER / name).write_bytes(content)


def main():
    FOLDER.mkdir(exist_ok=True)
    for dtype in DTYPES:
        write(f"{dtype}.safetensors", dtype, 7)
    write("empty.safetensors", "f16", 0)
    for dtype in ("f32", "f16"):
        numpy.save(FOLDER / f"{dtype}.npy", values(2, 7, (4,)).astype(DTYPES[dtype][0]))
    bf16 = values(2, 7, (4,)).astype(ml_dtypes.bfloat16)
    numpy.save(FOLDER / "bf16_to_f16.npy", bf16.astype(numpy.float32).astype(numpy.float16))
    numpy.save(FOLDER / "tokens.npy", values(0, 7, (2, 3)).astype(numpy.float16))
    numpy.save(FOLDER / "empty.npy", values(2, 0, (4,)).astype(numpy.float16))


if __name__ == "__main__":
    main()
