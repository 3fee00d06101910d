#!/usr/bin/env python3
"""Writes tests/golden/img2dataset.json: what img2dataset makes of a short list, for
tests/integration/test_img2dataset.py, which has vlmq work on the same one.

Pictures are the committed ones of tests/golden, served by tests/support/web_server.py; the list has
bad rows, too. Kept are names, fields, types, sizes and counts; no pixels and no times. In an
environment outside of the repository:
    pip install img2dataset==1.47.0 && python tests/golden/make_img2dataset.py
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXPECTED = ROOT / "tests" / "golden" / "img2dataset.json"
SHARD_ROWS = 20
TIMES = "duration", "start_time", "end_time"
# Each with what img2dataset is told beside what all are told.
RUNS = {
    "webdataset": {
        "resize_mode": "center_crop",
        "save_additional_columns": ["uid", "score", "flag", "words"],
        "caption_col": "text",
        "compute_hash": "sha256",
        "extract_exif": True,
    },
    "webdataset_least": {
        "resize_mode": "border",
        "caption_col": None,
        "compute_hash": None,
        "extract_exif": False,
        "encode_format": "png",
        "encode_quality": 6,
    },
    "files": {
        "output_format": "files",
        "resize_mode": "keep_ratio_largest",
        "resize_only_if_bigger": True,
        "image_size": 17,
        "caption_col": "text",
        "compute_hash": "md5",
        "extract_exif": False,
        "skip_reencode": True,
        "min_image_size": 10,
        "max_aspect_ratio": 1.5,
    },
}
ALL = {
    "input_format": "jsonl",
    "url_col": "link",
    "output_format": "webdataset",
    "number_sample_per_shard": SHARD_ROWS,
    "image_size": 24,
    "processes_count": 1,
    "thread_count": 1,  # then the rows come in the list's order
    "timeout": 5,
    "retries": 0,
}
GOOD = """
images/420.jpg images/422.jpg images/444.jpg images/progressive.jpg images/gray.jpg images/cmyk.jpg
images/restarts.jpg images/exif_6.jpg images/rgb.png images/rgba.png images/palette.png
images/gray16.png images/gray_alpha.png images/rgb_interlaced.png images/lossy.webp
images/lossless_alpha.webp exif/camera.jpeg exif/camera.png exif/camera.webp""".split()


class Site:
    """The pictures, and one that is cut off, behind a server's address."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder) / "site"
        for part in "images", "exif":
            shutil.copytree(ROOT / "tests" / "golden" / part, self.folder / part)
        whole = (self.folder / "images" / "444.jpg").read_bytes()
        (self.folder / "images" / "half.jpg").write_bytes(whole[: len(whole) // 3])
        (self.folder / "page.html").write_text("<html>no picture</html>")
        self.server = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/support/web_server.py"), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.base = "http://127.0.0.1:" + self.server.stdout.readline().split()[-1]

    def stop(self):
        self.server.kill()
        self.server.wait()
        self.server.stdin.close()
        self.server.stdout.close()

    def rows(self):
        """Of the list; those that end well, in every format, between those that do not."""
        bad = [
            "BASE/status/404",
            "BASE/status/410",
            "BASE/status/500",
            "BASE/files/page.html",
            "BASE/files/images/half.jpg",
            "BASE/files/images/none.jpg",
            "BASE/empty",
            "BASE/drop",
            "BASE/short",
            "BASE/robots-tag/noai",
            "BASE/redirect/60",
            "http://127.0.0.1:1/refused.jpg",
            "not a url",
            "",
            "file:///etc/hostname",
            "ftp://127.0.0.1:1/a.jpg",
        ]
        urls = [f"BASE/files/{name}" for name in GOOD]
        urls += ["BASE/redirect/2?to=/files/images/444.jpg", "BASE/files/images/420.jpg"]
        for i, url in enumerate(bad):
            urls.insert(2 * i + 1, url)
        captions = ["a caption", "\u00e9t\u00e9 \U0001f6a4", 'two\nlines, "quoted"', "", None]
        return [
            {
                "uid": f"u{i}",
                "score": i / 8,
                "link": url.replace("BASE", self.base),
                "text": captions[i % len(captions)],
                "flag": i % 3 == 0,
                "words": [i, i + 1],
            }
            for i, url in enumerate(urls)
        ]

    def write_list(self, path):
        with open(path, "w", encoding="utf-8") as file:
            for row in self.rows():
                print(json.dumps(row), file=file)

    def hide(self, text):
        """Without this run's address, so that it can be compared."""
        return text.replace(self.base, "BASE")


def samples_of(output, names):
    """{key: its JSON}, {key: its caption}, and the members' names in their order."""
    members = []
    for path in sorted(output.glob("*.tar")):
        with tarfile.open(path) as tar:
            members += [(m.name, tar.extractfile(m).read()) for m in tar]
    for path in sorted(p for p in output.glob("*/*") if p.parent.name in names):
        members.append((f"{path.parent.name}/{path.name}", path.read_bytes()))
    texts = [(pathlib.Path(name), data) for name, data in members]
    samples = {path.stem: json.loads(data) for path, data in texts if path.suffix == ".json"}
    captions = {path.stem: data.decode() for path, data in texts if path.suffix == ".txt"}
    return samples, captions, [name for name, _ in members]


def stats_of(output):
    stats = {p.name: json.loads(p.read_text()) for p in sorted(output.glob("*_stats.json"))}
    for one in stats.values():
        one["times"] = {name: type(one.pop(name)).__name__ for name in TIMES}
    return stats


def run(site, folder, name):
    import pyarrow.parquet
    from img2dataset import download

    output = folder / name
    site.write_list(folder / "list.jsonl")
    download(url_list=str(folder / "list.jsonl"), output_folder=str(output), **ALL | RUNS[name])
    tables = [pyarrow.parquet.read_table(path) for path in sorted(output.glob("*.parquet"))]
    shards = [path.stem for path in sorted(output.glob("*.parquet"))]
    samples, captions, members = samples_of(output, shards)
    return {
        "columns": {field.name: str(field.type) for field in tables[0].schema},
        "rows": [row for table in tables for row in table.to_pylist()],
        "members": members,
        "samples": samples,
        "captions": captions,
        "stats": stats_of(output),
    }


def main():
    import importlib.metadata

    versions = {name: importlib.metadata.version(name) for name in ("img2dataset", "webdataset")}
    with tempfile.TemporaryDirectory() as folder:
        site = Site(folder)
        try:
            made = {name: run(site, pathlib.Path(folder), name) for name in RUNS}
            text = site.hide(json.dumps({"versions": versions, **made}, indent=1))
        finally:
            site.stop()
    EXPECTED.write_text(text + "\n")


if __name__ == "__main__":
    main()
