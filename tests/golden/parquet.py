#!/usr/bin/env python3
"""Writes tests/golden/parquet/*.parquet and expected.txt: files of pyarrow and DuckDB.

Needs pyarrow and duckdb (made with 26.0.1 and 2.0.0):
    python3 tests/golden/parquet.py
Each line of expected.txt: file, rows, columns that can be read, SHA-256 of the rows as text. A row
is its columns separated by "|" and ended by a line feed: null is "-", a boolean "true" or "false",
an integer its digits, a floating-point number the sixteen hexadecimal digits of its double, a text
its length in bytes, ":" and its bytes. The same files are the seeds of parquet_fuzz. Also writes
tests/golden/lists/*: one list in four formats.
"""

import csv
import datetime
import decimal
import hashlib
import json
import pathlib
import shutil
import struct

import duckdb
import pyarrow
import pyarrow.parquet

FOLDER = pathlib.Path(__file__).parent / "parquet"
LISTS = pathlib.Path(__file__).parent / "lists"
ROWS = 90
SCHEMA = pyarrow.schema(
    [
        pyarrow.field("url", pyarrow.string(), nullable=False),
        ("caption", pyarrow.string()),
        ("word", pyarrow.string()),
        ("raw", pyarrow.binary()),
        ("fixed", pyarrow.binary(5)),
        ("flag", pyarrow.bool_()),
        pyarrow.field("sure", pyarrow.bool_(), nullable=False),
        ("int8", pyarrow.int8()),
        ("uint8", pyarrow.uint8()),
        ("int32", pyarrow.int32()),
        ("uint32", pyarrow.uint32()),
        pyarrow.field("int64", pyarrow.int64(), nullable=False),
        ("uint64", pyarrow.uint64()),
        ("float", pyarrow.float32()),
        ("double", pyarrow.float64()),
    ]
)


def value(name, i):
    """Row i of a column: no randomness, and every corner of each type."""
    if name == "url":
        return f"https://h{i % 7}.example/{'a' * (i % 5)}/{i:03}.jpg"
    if name == "sure":
        return i % 11 > 4
    if name == "int64":
        return [0, -1, 2**63 - 1, -(2**63), i * 1000003][i % 5]
    if (i * 7 + len(name)) % 9 == 0 or 40 <= i < 48:
        return None
    return {
        "caption": ["", 'a cat, a "dog"\n|', "Gr\u00fc\u00dfe \U0001f408", f"row {i}"][i % 4],
        "word": ["photo", "drawing", "", "map"][i * i % 4],
        "raw": bytes([i % 256, 0, 255, 128]) * (i % 3),
        "fixed": f"{i:05}".encode(),
        "flag": i % 3 == 0,
        "int8": i % 256 - 128,
        "uint8": i * 29 % 256,
        "int32": [0, -1, 2**31 - 1, -(2**31), i * 977][i % 5],
        "uint32": [0, 1, 2**31, 2**32 - 1, i * 977][i % 5],
        "uint64": [0, 1, 2**63, 2**64 - 1, i * 977][i % 5],
        "float": [0.0, -1.5, 0.1, 3.4e38, float("inf")][i % 5],
        "double": [0.0, -1.5, 0.1, 1e308, float("nan")][i % 5],
    }[name]


def table(rows=ROWS, schema=SCHEMA):
    columns = [[value(field.name, i) for i in range(rows)] for field in schema]
    return pyarrow.table(columns, schema=schema)


def text(item):
    if item is None:
        return b"-"
    if isinstance(item, bool):
        return str(item).lower().encode()
    if isinstance(item, int):
        return str(item).encode()
    if isinstance(item, float):
        return struct.pack(">d", item).hex().encode()
    data = item.encode() if isinstance(item, str) else item
    return str(len(data)).encode() + b":" + data


def line(name, rows):
    """rows: lists of values, one for each column that can be read."""
    data = b"".join(b"|".join(text(item) for item in row) + b"\n" for row in rows)
    count = len(rows[0]) if rows else len(SCHEMA)
    return f"{name} {len(rows)} {count} {hashlib.sha256(data).hexdigest()}\n"


def rows_of(data):
    return [list(row) for row in zip(*(column.to_pylist() for column in data.columns))]


def store(name, data, **options):
    options = {"write_statistics": False, "store_schema": False, **options}
    pyarrow.parquet.write_table(data, FOLDER / name, **options)


def write(name, data, **options):
    store(name, data, **options)
    return line(name, rows_of(data))


def grid():
    """Codecs x dictionaries x page versions."""
    for codec in ["none", "snappy", "gzip", "zstd"]:
        for version in ["1.0", "2.0"]:
            for dictionary in [True, False]:
                kind = "dictionary" if dictionary else "plain"
                name = f"{codec}_v{version[0]}_{kind}.parquet"
                options = {"compression": codec, "data_page_version": version}
                yield write(name, table(), use_dictionary=dictionary, **options)


def encodings():
    """Each encoding for the types that it is made for; the other columns are plain."""
    kinds = {
        "delta": {
            **dict.fromkeys(["url", "raw"], "DELTA_LENGTH_BYTE_ARRAY"),
            **dict.fromkeys(["caption", "word", "fixed"], "DELTA_BYTE_ARRAY"),
            **dict.fromkeys(["int8", "uint8", "int32", "uint32"], "DELTA_BINARY_PACKED"),
            **dict.fromkeys(["int64", "uint64"], "DELTA_BINARY_PACKED"),
            **dict.fromkeys(["flag", "sure"], "RLE"),
        },
        "split": dict.fromkeys(["float", "double", "int32", "int64"], "BYTE_STREAM_SPLIT"),
    }
    for kind, columns in kinds.items():
        for version in ["1.0", "2.0"]:
            yield write(
                f"{kind}_v{version[0]}.parquet",
                table(),
                use_dictionary=False,
                column_encoding=columns,
                data_page_version=version,
                compression="zstd",
            )


def shapes():
    """Row groups, pages, dictionaries that grow too large, checksums, nothing at all."""
    yield write("groups.parquet", table(), row_group_size=37, compression="zstd")
    pages = {"data_page_size": 200, "write_batch_size": 16, "write_page_checksum": True}
    yield write("pages_v1.parquet", table(), **pages)
    yield write("pages_v2.parquet", table(), data_page_version="2.0", **pages)
    yield write("fallback.parquet", table(), dictionary_pagesize_limit=100, **pages)
    yield write("statistics.parquet", table(), write_statistics=True, write_page_index=True)
    yield write("empty.parquet", table(0))
    nothing = pyarrow.table([[None] * 20], schema=pyarrow.schema([("url", pyarrow.string())]))
    yield write("nulls_v1.parquet", nothing)
    yield write("nulls_v2.parquet", nothing, data_page_version="2.0", use_dictionary=False)


def types():
    """Columns that cannot be read stand between others that can."""
    pair = pyarrow.struct([("a", pyarrow.int32()), ("b", pyarrow.list_(pyarrow.string()))])
    columns = {
        "first": pyarrow.array([1, 2, None], pyarrow.int16()),
        "list": pyarrow.array([["a", "b"], [], None]),
        "struct": pyarrow.array([{"a": 1, "b": ["x"]}, None, {"a": 3, "b": None}], pair),
        "map": pyarrow.array([[("k", 1)], [], None], pyarrow.map_(pyarrow.string(), "int32")),
        "decimal": pyarrow.array([decimal.Decimal("1.5")] * 3),
        "float16": pyarrow.array([1.5, 2.5, None], pyarrow.float16()),
        "uuid": pyarrow.array([b"0123456789abcdef"] * 3, pyarrow.uuid()),
        "date": pyarrow.array([datetime.date(2026, 11, 22)] * 3),
        "time": pyarrow.array([datetime.datetime(2026, 11, 22, 14)] * 3, pyarrow.timestamp("ms")),
        "last": pyarrow.array(["x", None, "z"]),
    }
    store("types.parquet", pyarrow.table(columns))
    day = (datetime.date(2026, 11, 22) - datetime.date(1970, 1, 1)).days
    hour = (day * 24 + 14) * 3600 * 1000
    ends = [(1, "x"), (2, None), (None, "z")]
    yield line("types.parquet", [[first, day, hour, last] for first, last in ends])
    old = pyarrow.table({"time": columns["time"], "last": columns["last"]})
    store("int96.parquet", old, use_deprecated_int96_timestamps=True)
    yield line("int96.parquet", [[last] for _, last in ends])


def unsupported():
    """Files that are fine, but for other readers: not in expected.txt."""
    for codec in ["lz4", "brotli"]:
        store(f"refused_{codec}.parquet", table(3).select(["url"]), compression=codec)


def duck():
    data = table(rows=ROWS)
    connection = duckdb.connect()
    connection.register("data", data)
    for name, options in {
        "duckdb_v1.parquet": "CODEC snappy, PARQUET_VERSION v1",
        "duckdb_v2.parquet": "CODEC zstd, PARQUET_VERSION v2",
        "duckdb_gzip.parquet": "CODEC gzip, DICTIONARY_SIZE_LIMIT 1",
    }.items():
        path = FOLDER / name
        connection.execute(f"COPY data TO '{path}' (FORMAT parquet, {options})")
        yield line(name, rows_of(data))


def lists():
    """The same list in four formats, for the planner; the csv has texts where the others do not."""
    names = ["url", "caption", "tag", "size", "score", "safe"]
    rows = [
        (f"https://h{i % 3}.example/{i}.jpg", f'row {i}, "quoted"\nGr\u00fc\u00dfe', f"tag{i % 4}")
        + (i * 100, i / 8, i % 2 == 0)
        for i in range(45)
    ]
    objects = [dict(zip(names, row)) for row in rows]
    with open(LISTS / "list.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([names, *rows])
    (LISTS / "list.json").write_text(json.dumps(objects, indent=1))
    lines = [json.dumps(item, ensure_ascii=False) + "\n" for item in objects]
    (LISTS / "list.jsonl").write_text("".join(lines))
    data = pyarrow.Table.from_pylist(objects)
    pyarrow.parquet.write_table(data, LISTS / "list.parquet", row_group_size=19)


def main():
    lists()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    expected = [*grid(), *encodings(), *shapes(), *types(), *duck()]
    unsupported()
    (FOLDER / "expected.txt").write_text("".join(expected))


if __name__ == "__main__":
    main()
