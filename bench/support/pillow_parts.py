"""Pillow's decoding and bicubic resizing of the JPEG files of a folder: FOLDER SIDE.

The shorter side becomes SIDE. Prints one line of JSON with CPU microseconds over all files.
"""

import io
import json
import pathlib
import sys
import time

import PIL
from PIL import Image


def main(folder, side):
    files = [path.read_bytes() for path in sorted(pathlib.Path(folder).glob("*.jpg"))]
    from_s = time.thread_time()
    for data in files:
        image = Image.open(io.BytesIO(data)).convert("RGB")
        scale = side / min(image.size)
        size = tuple(max(1, int(length * scale)) for length in image.size)
        image.resize(size, Image.Resampling.BICUBIC)
    used_us = round((time.thread_time() - from_s) * 1e6)
    print(json.dumps({"files": len(files), "whole_us": used_us, "version": PIL.__version__}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
