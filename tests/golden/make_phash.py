#!/usr/bin/env python3
"""Writes tests/golden/phash.txt: what ImageHash says about the golden and the sample pictures.

Needs Pillow >= 13 and ImageHash >= 4.3:
    python3 tests/golden/make_phash.py
Each line: file, from the root of the repository, and str(imagehash.phash(...)) of its upright RGB
pixels, blended on white.
"""

import imagehash
from make_decode import HERE, IMAGES, expected
from PIL import Image

ROOT = HERE.parent.parent


def main():
    folders = IMAGES, ROOT / "deploy" / "sample" / "pictures"
    files = [path for folder in folders for path in sorted(folder.iterdir())]
    lines = [f"# Made by make_phash.py with ImageHash {imagehash.__version__}: file hash"]
    for path in files:
        if path.suffix in (".avif", ".txt"):
            continue
        _, pixels = next(iter(expected(path.name, path.read_bytes())))
        found = imagehash.phash(Image.fromarray(pixels))
        lines.append(f"{path.relative_to(ROOT)} {found}")
    (HERE / "phash.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
