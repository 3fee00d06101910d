"""A downloader as one writes it in Python, after img2dataset's way: URLS FOLDER THREADS SIDE.

A pool of threads fetches with urllib and one TLS context for all (img2dataset makes one for each
URL); the main thread decodes, resizes, encodes and hashes, and writes a tar. Fails unless every URL
gave a picture. Prints one line of JSON.
"""

import concurrent.futures
import hashlib
import io
import json
import pathlib
import ssl
import sys
import tarfile
import threading
import time
import urllib.request

import cv2
import numpy


def fetch(url, context, room):
    room.acquire()  # finished bodies that wait have a bound
    with urllib.request.urlopen(url, timeout=10, context=context) as answer:
        return answer.read()


def fit(image, side):
    """The longer side to `side`, white bars: img2dataset's border."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    filter_ = cv2.INTER_AREA if scale < 1 else cv2.INTER_LANCZOS4
    image = cv2.resize(image, size, interpolation=filter_)
    right, down = side - size[0], side - size[1]
    edges = (down // 2, down - down // 2, right // 2, right - right // 2)
    return cv2.copyMakeBorder(image, *edges, cv2.BORDER_CONSTANT, value=[255, 255, 255])


def add(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def keep(tar, key, url, body, side):
    image = cv2.imdecode(numpy.frombuffer(body, numpy.uint8), cv2.IMREAD_COLOR)
    height, width = image.shape[:2]
    good, encoded = cv2.imencode(".jpg", fit(image, side), [cv2.IMWRITE_JPEG_QUALITY, 95])
    if not good:
        raise ValueError(url)
    row = {"url": url, "key": key, "original_width": width, "original_height": height}
    row["sha256"] = hashlib.sha256(body).hexdigest()
    add(tar, f"{key}.jpg", encoded.tobytes())
    add(tar, f"{key}.json", json.dumps(row).encode())


def main(urls, folder, threads, side):
    cv2.setNumThreads(1)
    context = ssl.create_default_context()
    room = threading.Semaphore(2 * threads)
    list_ = pathlib.Path(urls).read_text().split()
    start, cpu = time.monotonic(), time.process_time()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        with tarfile.open(pathlib.Path(folder) / "00000.tar", "w") as tar:
            waiting = {pool.submit(fetch, url, context, room): url for url in list_}
            for index, done in enumerate(concurrent.futures.as_completed(waiting)):
                keep(tar, f"{index:09d}", waiting.pop(done), done.result(), side)
                room.release()
    wall_s, cpu_s = time.monotonic() - start, time.process_time() - cpu
    print(json.dumps({"rows": len(list_), "wall_s": wall_s, "cpu_s": cpu_s}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
