"""The same short list through vlmq and through img2dataset: names, fields, types, sizes and counts
agree, but for what DIFFERENCES names. tests/golden/make_img2dataset.py wrote down what img2dataset
makes of it."""

import json
import sys

import pytest
from fleet import ROOT
from test_download import rows_of

sys.path.insert(0, str(ROOT / "tests" / "golden"))

from make_img2dataset import EXPECTED, SHARD_ROWS, TIMES, Site, samples_of, stats_of  # noqa: E402

# What vlmq is told, each the same as in RUNS there.
OPTIONS = {
    "webdataset": """--resize-mode center_crop --extra-columns uid,score,flag,words
        --caption-column text --compute-hash sha256 --image-size 24""",
    "webdataset_least": """--resize-mode border --compute-hash none --no-exif --encode-format png
        --quality 6 --image-size 24""",
    "files": """--resize-mode keep_ratio_largest --resize-only-if-bigger --image-size 17
        --caption-column text --compute-hash md5 --no-exif --skip-reencode --min-image-size 10
        --max-aspect-ratio 1.5 --output-format files""",
}
# Where vlmq differs, and means to; docs/download.md tells users of each.
DIFFERENCES = {
    "class": {  # of these URLs: a row that brings no picture fails at the download
        "BASE/empty": "a body without a byte is the server's failure: its class is a download's",
        "file:///etc/hostname": "a list from the web reads no files of the worker",
    },
    "sizes": "sides are truncated, as Pillow does, not rounded: they may have a pixel less",
    "rows.jsonl": {  # its fields against the parquet's
        "status": "is the name of how the row ended; img2dataset's status is `class`",
        "original_width": "of a failed row, too, where its header could be read",
        "original_height": "of a failed row, too, where its header could be read",
        "sha256": "of a failed row, too, where there was a body",
        "md5": "of a failed row, too, where there was a body",
        "exif": "only in the samples",
    },
    "exif": {  # tags
        "Image ExifOffset": "points into the file it came from",
        "Image GPSInfo": "points into the file it came from",
    },
    "error_message": "is a sentence for its status, the same for every host and version",
    "tar": "plain ustar without times; img2dataset's have PAX headers",
    "json": "without spaces and line ends",
}


@pytest.fixture
def site(folder):
    site = Site(folder)
    yield site
    site.stop()


def run(fleet, folder, site, name):
    """What make_img2dataset.py's run() gives, of vlmq's output."""
    site.write_list(folder / "list.jsonl")
    argv = ["run", "download", folder / "list.jsonl", "--output", folder / name]
    fixed = f"--url-column link --shard-rows {SHARD_ROWS} --no-retries --timeout-ms 5000"
    fleet.vlmq(*argv, "--allow-private", *fixed.split(), *OPTIONS[name].split())
    shards = [path.name.split(".")[0] for path in sorted((folder / name).glob("*.rows.jsonl"))]
    samples, captions, members = samples_of(folder / name, shards)
    made = {
        "rows": rows_of(folder / name),
        "members": members,
        "samples": samples,
        "captions": captions,
        "stats": stats_of(folder / name),
    }
    return json.loads(site.hide(json.dumps(made)))


def class_of(row):
    return DIFFERENCES["class"].get(row["url"]) and "failed_to_download" or row["status"]


def check_size(made, expected):
    for side in "width", "height":
        assert made[side] in (expected[side], expected[side] - 1), (made, expected)


def check_samples(made, expected):
    assert list(made["samples"]) == list(expected["samples"])
    assert made["captions"] == expected["captions"]
    # Files lie in a folder per shard; in a tar they are the same without it.
    bare = [name.split("/")[-1] for name in expected["members"]]
    assert made["members"] in (expected["members"], bare)
    for key, sample in made["samples"].items():
        theirs = expected["samples"][key]
        assert list(sample) == list(theirs)
        check_size(sample, theirs)
        for name in set(sample) - {"width", "height", "exif"}:
            assert sample[name] == theirs[name], (name, sample, theirs)
            assert type(sample[name]) is type(theirs[name]), (name, sample, theirs)
        if "exif" in sample:
            assert isinstance(sample["exif"], str)
            tags = set(json.loads(theirs["exif"])) - set(DIFFERENCES["exif"])
            assert tags <= set(json.loads(sample["exif"]))


def check_rows(made, expected):
    more = DIFFERENCES["rows.jsonl"]
    assert len(made["rows"]) == len(expected["rows"])
    for row, theirs in zip(made["rows"], expected["rows"]):
        assert row["class"] == class_of(theirs)
        assert set(theirs) - {"exif"} <= set(row)
        assert (row["error_message"] is None) == (theirs["error_message"] is None)
        if row["class"] == "success":
            check_size(row, theirs)
        for name in set(theirs) - {"status", "error_message", "width", "height", "exif"}:
            assert row[name] == theirs[name] or (name in more and theirs[name] is None), name
    # The fields stand in the same order.
    shared = [name for name in made["rows"][0] if name in expected["columns"]]
    assert shared == [name for name in expected["columns"] if name in shared]


def check_stats(made, expected):
    assert list(made["stats"]) == list(expected["stats"])
    for at, (name, stats) in enumerate(made["stats"].items()):
        theirs = expected["stats"][name]
        assert set(theirs) <= set(stats) and len(theirs["times"]) == len(TIMES)
        assert stats["times"] == theirs["times"]
        rows = expected["rows"][at * SHARD_ROWS : (at + 1) * SHARD_ROWS]
        classes = [class_of(row) for row in rows]
        assert stats["count"] == theirs["count"] == len(rows)
        assert stats["successes"] == theirs["successes"] == classes.count("success")
        assert stats["failed_to_download"] == classes.count("failed_to_download")
        assert stats["failed_to_resize"] == classes.count("failed_to_resize")
        assert stats["status_dict"]["success"] == theirs["status_dict"]["success"]
        assert sum(stats["status_dict"].values()) == sum(theirs["status_dict"].values())


@pytest.mark.parametrize("name", OPTIONS)
def test_as_img2dataset_does(fleet, folder, site, name):
    fleet.start()
    expected = json.loads(EXPECTED.read_text())[name]
    made = run(fleet, folder, site, name)
    check_samples(made, expected)
    check_rows(made, expected)
    check_stats(made, expected)
