"""The options of the download kind about pictures, from the command line to the shard."""

import hashlib
import io
import json
import tarfile

from PIL import Image, ImageChops, ImageStat
from test_download import PICTURES, rows_of, web  # noqa: F401 (a fixture)


def picture(output, key):
    with tarfile.open(output / "00000.tar") as tar:
        return Image.open(io.BytesIO(tar.extractfile(key + ".jpg").read())).convert("RGB")


def test_hashes_boxes_and_metadata(fleet, folder, web):  # noqa: F811
    fleet.start()
    with open(folder / "list.jsonl", "w", encoding="utf-8") as out:
        for name in web.names:
            digest = hashlib.md5((PICTURES / name).read_bytes()).hexdigest()
            row = {"url": f"{web.base}/files/{name}", "sum": digest, "faces": [[0, 0, 1, 1]]}
            print(json.dumps(row), file=out)
        row["sum"] = "00" * 16
        print(json.dumps(row), file=out)
        row |= {"sum": digest, "faces": [[10, 10, 300, 300]]}
        print(json.dumps(row), file=out)
    argv = ["run", "download", folder / "list.jsonl", "--allow-private", "--image-size", 128]
    fleet.vlmq(*argv, "--output", folder / "plain")
    more = ["--compute-hash", "md5", "--verify-hash-column", "sum", "--bbox-column", "faces"]
    flags = ["--phash", "--no-exif", "--ignore-orientation", "--background", "#102030"]
    fleet.vlmq(*argv, "--output", folder / "out", *more, *flags)
    rows = rows_of(folder / "out")
    # The first of them is not wanted again; the path is one of the client's.
    (folder / "unwanted").write_text(rows[0]["md5"] + "  placeholder\n")
    blocked = ["--blocked-hashes", "unwanted", "--compute-hash", "md5"]
    fleet.vlmq(*argv, "--output", folder / "less", *blocked)
    ends = [row["status"] for row in rows_of(folder / "less")]
    assert [end == "blocked" for end in ends] == [row["md5"] == rows[0]["md5"] for row in rows]
    assert [row["status"] for row in rows[-2:]] == ["hash_mismatch", "bad_boxes"]
    for row, name in zip(rows, web.names):
        assert row["status"] == "success"
        assert row["md5"] == hashlib.md5((PICTURES / name).read_bytes()).hexdigest()
        assert len(row["phash"]) == 16 and "sha256" not in row and "faces" not in row
        difference = ImageChops.difference(
            picture(folder / "plain", row["key"]), picture(folder / "out", row["key"])
        )
        assert sum(ImageStat.Stat(difference).mean) > 3
    with tarfile.open(folder / "out" / "00000.tar") as tar:
        sample = json.load(tar.extractfile(rows[0]["key"] + ".json"))
    assert "exif" not in sample and sample["phash"] == rows[0]["phash"]
