"""Feature files as users' own tools read them: the example program, numpy, embedding-reader."""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/golden/features"
EXAMPLE = ROOT / "deploy/examples/read_features.py"

numpy = pytest.importorskip("numpy")
pytest.importorskip("safetensors")


def make(folder):
    """Two shards of the same rows: keys a0 to a6 and b0 to b6; in both a line without features."""
    for shard, letter in (("00000", "a"), ("00001", "b")):
        shutil.copy(GOLDEN / "f32.safetensors", folder / f"{shard}.safetensors")
        with open(folder / f"{shard}.jsonl", "w", encoding="utf-8") as file:
            for i in range(8):
                line = {"index": i, "key": f"{letter}{i}", "status": "success", "row": i - (i > 3)}
                if i == 3:
                    line = {"index": i, "key": f"{letter}x", "status": "not_an_image"}
                elif i == 2:
                    line["labels"] = [{"label": "fox", "category": "animals", "confidence": 0.5}]
                    line["caption"] = "größer"
                file.write(json.dumps(line) + "\n")


def example(*args, status=0):
    done = subprocess.run(
        [sys.executable, EXAMPLE, *map(str, args)], capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def test_the_example_joins_rows_and_searches(folder):
    make(folder)
    text = example(folder)
    assert 'model: tiny "clip"' in text
    assert "00001: 7 images; cls float32[7, 5], embedding float32[7, 4], tokens" in text
    embedding = numpy.load(GOLDEN / "f32.npy")
    keys = [f"{letter}{i}" for letter in "ab" for i in range(8) if i != 3]
    for key in ("a2", "b7"):
        row = keys.index(key) % 7
        cosine = numpy.concatenate([embedding, embedding]) @ embedding[row]
        expected = [keys[i] for i in numpy.argsort(-cosine, kind="stable")[:5]]
        found = example(folder, "--like", key, "--top", 5)
        lines = [line.split("\t") for line in found.splitlines()]
        assert [line[2] for line in lines] == expected
        assert float(lines[0][0]) == pytest.approx(cosine.max(), abs=1e-4)
    found = [line for line in example(folder, "--like", "a2").splitlines() if "\ta2\t" in line]
    assert found[0].endswith("00000\ta2\tfox\tgrößer")


def test_the_example_says_what_is_wrong(folder):
    make(folder)
    assert "the key nowhere" in example(folder, "--like", "nowhere", status=1)
    assert "--text needs --model" in example(folder, "--text", "a fox", status=2)
    with open(folder / "00001.jsonl", "a", encoding="utf-8") as file:
        file.write('{"index": 8, "key": "b8", "status": "success", "row": 7}\n')
    assert "has 7 rows, and 8 lines name one" in example(folder, status=1)


def test_npy_headers_are_what_embedding_reader_looks_for():
    """Its reader takes the first line of a file apart with these two expressions."""
    for name, shape, dtype in (("f16.npy", (7, 4), "<f2"), ("f32.npy", (7, 4), "<f4"),
                               ("empty.npy", (0, 4), "<f2")):  # fmt: skip
        content = (GOLDEN / name).read_bytes()
        line = content[:300].split(b"\n")[0]
        found = re.search(r"'shape': \(([0-9]+), ([0-9]+)\)", str(line))
        assert tuple(map(int, found.groups())) == shape
        assert re.search(r"'descr': '([<f0-9]+)'", str(line)).group(1) == dtype
        rows = numpy.frombuffer(content[len(line) + 1 :], dtype).reshape(shape)
        assert numpy.array_equal(rows, numpy.load(GOLDEN / name))
