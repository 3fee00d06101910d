"""Where seeds are, and how one is written; for make_seeds.py and what it imports."""

import pathlib

SEEDS = pathlib.Path(__file__).parent / "seeds"


def put(target, name, data):
    folder = SEEDS / f"{target}_fuzz"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
