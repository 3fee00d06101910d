#!/usr/bin/env python3
"""Writes tests/golden/nn/*.safetensors with the safetensors library, and what it reads in them.

Needs safetensors and numpy (made with safetensors 0.8.0 and numpy 2.4.6):
    python3 tests/golden/make_safetensors.py
python.safetensors has every type that the reader knows, sizes of 0 and names of all kinds;
plain.safetensors neither metadata nor padding of its own; unaligned.safetensors a header whose
length is no multiple of 8, as the library wrote before its version 0.3. sharded/ is a model in two
files. Each line of expected.txt: file, name as JSON, type, shape, SHA-256 of the bytes. The same
files are seeds of load_fuzz (tests/fuzz/make_seeds.py).
"""

import hashlib
import json
import pathlib
import struct

import numpy
import safetensors

FOLDER = pathlib.Path(__file__).parent / "nn"
BYTES = {
    "bool": 1, "uint8": 1, "int8": 1, "float8_e5m2": 1, "float8_e4m3fn": 1, "float8_e8m0fnu": 1,
    "int16": 2, "uint16": 2, "float16": 2, "bfloat16": 2, "int32": 4, "uint32": 4, "float32": 4,
    "complex64": 8, "float64": 8, "int64": 8, "uint64": 8,
}  # fmt: skip


def data(seed, size):
    return bytes((seed * 7 + i * 13) % 251 for i in range(size))


def tensor(dtype, shape, seed=1):
    size = int(numpy.prod(shape, dtype=int)) * BYTES[dtype]
    return {"dtype": dtype, "shape": shape, "data": numpy.frombuffer(data(seed, size), "u1")}


def write(name, tensors, metadata=None):
    (FOLDER / name).parent.mkdir(exist_ok=True)
    specs = {
        key: safetensors.TensorSpec(
            dtype=one["dtype"],
            shape=one["shape"],
            data_ptr=one["data"].ctypes.data,
            data_len=one["data"].nbytes,
        )
        for key, one in tensors.items()
    }
    ordered = json.dumps(metadata, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    while True:  # the library has metadata in any order; ours is by key
        content = bytes(safetensors.serialize(specs, metadata))
        if metadata is None or ordered.encode() in content:
            break
    (FOLDER / name).write_bytes(content)


def every_type():
    tensors = {f"type.{name}": tensor(name, [3, i % 3 + 1], i) for i, name in enumerate(BYTES)}
    tensors["scalar"] = tensor("float32", [], 30)
    tensors["empty"] = tensor("float32", [0], 31)
    tensors["empty.rows"] = tensor("int64", [4, 0, 5], 32)
    tensors["conv.weight"] = tensor("bfloat16", [4, 3, 2, 2], 33)
    tensors["wide"] = tensor("uint8", [1, 2, 1, 2, 1, 2, 1, 2], 34)
    for i, name in enumerate(("", "\u00e9\u6f22\U0001f600", 'a"b\\c/d', "tab\tline\n\x01", " ")):
        tensors[name] = tensor("float16", [i + 1], 40 + i)
    return tensors


def unaligned():
    """A header of 4k + 1 bytes, and types in the order of their names."""
    header, parts, at = {}, [], 0
    kinds = ("a", "U8", "uint8"), ("b", "F32", "float32"), ("c", "F16", "float16")
    for name, kind, dtype in kinds:
        one = tensor(dtype, [5], ord(name))
        header[name] = {"dtype": kind, "shape": [5], "data_offsets": [at, at + len(one["data"])]}
        at += len(one["data"])
        parts.append(bytes(one["data"]))
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) - 1) % 4)
    assert len(text) % 4 == 1
    content = struct.pack("<Q", len(text)) + text + b"".join(parts)
    (FOLDER / "unaligned.safetensors").write_bytes(content)


def sharded():
    halves = [
        {"b.weight": tensor("float32", [2, 3], 1), "a.weight": tensor("float32", [3], 2)},
        {"c.weight": tensor("bfloat16", [4], 3), "b.bias": tensor("float32", [2], 4)},
    ]
    weight_map = {}
    for i, half in enumerate(halves):
        name = f"model-{i + 1:05}-of-00002.safetensors"
        write(f"sharded/{name}", half, {"format": "pt"})
        weight_map |= dict.fromkeys(half, name)
    index = {"metadata": {"total_size": 52}, "weight_map": dict(sorted(weight_map.items()))}
    path = FOLDER / "sharded" / "model.safetensors.index.json"
    path.write_text(json.dumps(index, indent=2) + "\n")


def expect(name):
    """What the library reads, in the order of the data."""
    content = (FOLDER / name).read_bytes()
    end = 8 + struct.unpack("<Q", content[:8])[0]
    offsets = {
        key: value["data_offsets"] + [value["dtype"]]
        for key, value in json.loads(content[8:end]).items()
        if key != "__metadata__"
    }
    for key, value in sorted(
        safetensors.deserialize(content), key=lambda item: (offsets[item[0]], item[0])
    ):
        digest = hashlib.sha256(bytes(value["data"])).hexdigest()
        shape = ",".join(map(str, value["shape"])) or "-"
        yield f"{name}\t{json.dumps(key)}\t{offsets[key][2]}\t{shape}\t{digest}\n"


def main():
    FOLDER.mkdir(exist_ok=True)
    metadata = {"format": "pt", "z": "", "a\"key": "\u00e9\n", "made by": "the library"}
    write("python.safetensors", every_type(), metadata)
    write("plain.safetensors", {"x": tensor("float32", [2, 2])})
    unaligned()
    sharded()
    names = ["python.safetensors", "plain.safetensors", "unaligned.safetensors"]
    names += [f"sharded/model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    (FOLDER / "expected.txt").write_text("".join(line for name in names for line in expect(name)))


main()
