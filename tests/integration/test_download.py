"""The download kind from list to shards, over a real web server: every row accounted for, shards
that webdataset reads, the same bytes whoever made them."""

import gzip
import hashlib
import io
import json
import pathlib
import signal
import subprocess
import sys
import tarfile

import pytest
from PIL import Image

from fleet import ROOT, attempt_leftovers, digest_tree

PICTURES = ROOT / "deploy" / "sample" / "pictures"


@pytest.fixture
def web(folder):
    """tests/support/web_server.py on a port of its own, serving the sample pictures."""
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "tests/support/web_server.py"), str(PICTURES)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    server.base = "http://127.0.0.1:" + server.stdout.readline().split()[-1]
    server.names = sorted(
        p.name for p in PICTURES.iterdir() if p.suffix in (".jpg", ".png", ".webp")
    )
    yield server
    server.send_signal(signal.SIGCONT)
    server.kill()
    server.wait()


def make_list(web, rows, bad=True):
    """rows of (url, caption); every 13th is bad in one of several ways."""
    out = []
    for i in range(rows):
        url = f"{web.base}/files/{web.names[i % len(web.names)]}?row={i}"
        if bad and i % 13 == 7:
            url = [
                f"{web.base}/status/404?row={i}",
                f"http://127.0.0.1:1/{i}",
                "not a url",
                "",
                f"{web.base}/status/500?row={i}",
            ][i // 13 % 5]
        out.append(
            (
                url,
                f'caption {i}, with "quotes"\nand a second line' if i % 5 == 0 else f"caption {i}",
            )
        )
    return out


def write_csv(path, rows):
    import csv

    with (
        gzip.open(path, "wt", newline="")
        if str(path).endswith(".gz")
        else open(path, "w", newline="")
    ) as f:
        writer = csv.writer(f)
        writer.writerow(["uid", "url", "caption"])
        for i, (url, caption) in enumerate(rows):
            writer.writerow([f"u{i}", url, caption])


def options(*more):
    return [
        "--caption-column",
        "caption",
        "--extra-columns",
        "uid",
        "--allow-private",
        "--retries",
        1,
        "--connect-timeout-ms",
        2000,
        "--timeout-ms",
        15000,
        "--image-size",
        96,
        *more,
    ]


def rows_of(output):
    return [
        json.loads(line)
        for path in sorted(pathlib.Path(output).glob("*.rows.jsonl"))
        for line in path.read_text().splitlines()
    ]


def deterministic(output):
    return digest_tree(output, "*.tar", "*.idx", "*.rows.jsonl")


def check_index(path, members):
    """As DALI's wds2idx writes it: a sample in a line, four words for each of its members."""
    lines = {}
    for member in members:
        key, extension = member.name.split(".", 1)
        words = [extension, str(member.offset_data), str(member.size), member.name]
        lines[key] = lines.get(key, []) + words
    expected = [f"v1.2 {len(lines)}"] + [" ".join(words) for words in lines.values()]
    assert path.read_text() == "\n".join(expected) + "\n"


def check_output(output, rows, shard_rows):
    """Every row once, counters right, successes in key order in the tars, no private file left."""
    written = rows_of(output)
    assert [r["url"] for r in written] == [url for url, _ in rows]
    assert [r["caption"] for r in written] == [caption for _, caption in rows]
    assert [r["uid"] for r in written] == [f"u{i}" for i in range(len(rows))]
    assert len({r["key"] for r in written}) == len(rows)
    good = {r["key"] for r in written if r["status"] == "success"}
    assert len(good) == sum("/files/" in url for url, _ in rows)
    shards = (len(rows) + shard_rows - 1) // shard_rows
    tars = sorted(pathlib.Path(output).glob("*.tar"))
    assert [t.name for t in tars] == [f"{i:05}.tar" for i in range(shards)]
    members = []
    for tar_path in tars:
        with tarfile.open(tar_path) as tar:
            members += [m.name for m in tar.getmembers()]
            check_index(tar_path.with_suffix(".idx"), tar.getmembers())
    assert members == [f"{key}.{ext}" for key in sorted(good) for ext in ("jpg", "json", "txt")]
    totals = {"count": 0, "successes": 0, "failed_to_download": 0, "failed_to_resize": 0}
    for path in sorted(pathlib.Path(output).glob("*_stats.json")):
        stats = json.loads(path.read_text())
        for name in totals:
            totals[name] += stats[name]
    assert totals["count"] == len(rows) and totals["successes"] == len(good)
    assert sum(totals.values()) - totals["count"] == len(rows)
    assert attempt_leftovers(output) == []
    manifest = json.loads((pathlib.Path(output) / "manifest.json").read_text())
    assert manifest
    return written


def test_csv_to_shards_read_by_webdataset(fleet, folder, web):
    fleet.start()
    rows = make_list(web, 100)
    write_csv(folder / "list.csv", rows)
    result = fleet.vlmq(
        "run",
        "download",
        folder / "list.csv",
        "--output",
        folder / "out",
        "--shard-rows",
        30,
        *options(),
        "--json",
    )
    job = result.lines()[-1]["job"]
    assert job["state"] == "done" and job["progress"]["items"] == 100
    written = check_output(folder / "out", rows, 30)
    counters = {c["name"]: c["value"] for c in fleet.job(job["id"])["counters"]}
    assert counters["status.success"] == sum(r["status"] == "success" for r in written)
    missing = [r for r in written if "/status/404" in r["url"]]
    assert missing and all(r["http_status"] == 404 and r["status"] != "success" for r in missing)
    assert {r["status"] for r in written if r["url"] in ("", "not a url")} == {"bad_url"}

    import webdataset

    samples = list(
        webdataset.WebDataset(
            [str(p) for p in sorted((folder / "out").glob("*.tar"))], shardshuffle=False
        )
        .decode("pil")
        .to_tuple("jpg", "txt", "json")
    )
    good = [r for r in written if r["status"] == "success"]
    assert len(samples) == len(good)
    for (picture, text, meta), row in zip(samples, good):
        assert picture.size == (96, 96) and text == row["caption"]
        assert (
            meta["url"] == row["url"] and meta["key"] == row["key"] and meta["status"] == "success"
        )
        assert meta["sha256"] == row["sha256"] and meta["uid"] == row["uid"]
        source = PICTURES / row["url"].split("/files/")[1].split("?")[0]
        assert row["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
        assert (meta["original_width"], meta["original_height"]) == Image.open(source).size

    report = (folder / "out" / "report.html").read_text()
    assert (
        "http://"
        not in report.replace("http://www.w3.org", "").replace(web.base, "").split("<body")[0]
    )
    assert "<svg" in report and "data:image/jpeg;base64," in report and "http_status" in report
    text = fleet.vlmq("errors", job["id"])
    assert "http_status" in text.out and "connect_failed" in text.out
    failed = fleet.vlmq("errors", job["id"], "--rows", 100, "--json").out
    assert "/status/404" in failed
    assert str(folder / "out" / "report.html") in fleet.vlmq("report", job["id"]).out


@pytest.mark.parametrize("kind", ["tsv", "txt", "jsonl", "json", "csv.gz", "jsonl.gz", "json.gz"])
def test_input_formats(fleet, folder, web, kind):
    fleet.start()
    rows = [(f"{web.base}/files/{web.names[i % 4]}?row={i}", f"caption {i}") for i in range(25)]
    path = folder / f"list.{kind}"
    if kind.startswith("csv"):
        write_csv(path, rows)
    else:
        items = [{"uid": f"u{i}", "url": u, "caption": c} for i, (u, c) in enumerate(rows)]
        lines = {
            "tsv": ["uid\turl\tcaption"] + [f"u{i}\t{u}\t{c}" for i, (u, c) in enumerate(rows)],
            "txt": [u for u, _ in rows],
            "jsonl": [json.dumps(item) for item in items],
            "json": [json.dumps(items, indent=2)],
        }[kind.split(".")[0]]
        data = "\n".join(lines).encode() + b"\n"
        path.write_bytes(gzip.compress(data) if kind.endswith(".gz") else data)
    more = options() if not kind.startswith("txt") else ["--allow-private", "--image-size", 96]
    fleet.vlmq("run", "download", path, "--output", folder / "out", "--shard-rows", 10, *more)
    written = rows_of(folder / "out")
    assert [r["url"] for r in written] == [u for u, _ in rows]
    assert all(r["status"] == "success" for r in written)
    if not kind.startswith("txt"):
        assert [r["caption"] for r in written] == [c for _, c in rows]


def test_many_files_are_one_list(fleet, folder, web):
    fleet.start()
    rows = [(f"{web.base}/files/{web.names[i % 4]}?row={i}", f"caption {i}") for i in range(25)]
    (folder / "lists").mkdir()
    write_csv(folder / "lists" / "a.csv", rows[:7])
    write_csv(folder / "lists" / "b.csv.gz", rows[7:16])
    write_csv(folder / "lists" / "c.csv", rows[16:])
    (folder / "lists" / "_SUCCESS").touch()
    for path in (folder / "lists", folder / "lists" / "*.csv*"):
        out = ("run", "download", path, "--output", folder / "out", "--shard-rows", 10)
        fleet.vlmq(*out, *options())
        written = rows_of(folder / "out")
        assert [r["url"] for r in written] == [u for u, _ in rows]
        assert all(r["status"] == "success" for r in written)
        assert len(list((folder / "out").glob("*.tar"))) == 3
    assert not (folder / "out" / "_vlmq" / "rows").exists()


def test_resize_modes(fleet, folder, web):
    fleet.start()
    rows = [(f"{web.base}/files/{name}", "x") for name in web.names]
    write_csv(folder / "list.csv", rows)
    modes = ("no", "border", "keep_ratio", "keep_ratio_largest", "center_crop", "adaptive")
    for mode in modes:
        out = folder / mode
        fleet.vlmq(
            "run",
            "download",
            folder / "list.csv",
            "--output",
            out,
            "--allow-private",
            "--image-size",
            64,
            "--resize-mode",
            mode,
        )
        sizes = {}
        with tarfile.open(out / "00000.tar") as tar:
            for member in tar:
                if member.name.endswith(".jpg"):
                    sizes[member.name] = Image.open(io.BytesIO(tar.extractfile(member).read())).size
        for row in rows_of(out):
            assert row["status"] == "success", row
            width, height = sizes[row["key"] + ".jpg"]
            original = (row["original_width"], row["original_height"])
            if mode == "no":
                assert (width, height) == original
            elif mode == "keep_ratio":
                assert min(width, height) == 64
            elif mode == "keep_ratio_largest":
                assert max(width, height) == 64
            else:
                assert (width, height) == (64, 64)


def test_pictures_are_made_as_the_options_say(fleet, folder, web):
    fleet.start()
    rows = [(f"{web.base}/files/{name}", "x") for name in web.names]
    write_csv(folder / "list.csv", rows)
    common = ["run", "download", folder / "list.csv", "--allow-private", "--output"]
    sizes = ["--image-size", 32, "--resize-mode", "keep-ratio-largest", "--filter", "area"]
    webp = ["--encode-format", "webp", "--lossless", "--fast", "--min-image-size", 210]
    fleet.vlmq(*common, folder / "webp", *sizes, *webp, "--max-aspect-ratio", 2.4)
    written = rows_of(folder / "webp")
    assert {row["status"] for row in written} == {"success", "too_small", "too_large_aspect"}
    with tarfile.open(folder / "webp" / "00000.tar") as tar:
        pictures = {m.name: tar.extractfile(m).read() for m in tar if m.name.endswith(".webp")}
    assert len(pictures) == sum(row["status"] == "success" for row in written)
    assert all(max(Image.open(io.BytesIO(data)).size) == 32 for data in pictures.values())
    fleet.vlmq(*common, folder / "raw", "--no-reencode")
    with tarfile.open(folder / "raw" / "00000.tar") as tar:
        raw = {m.name: tar.extractfile(m).read() for m in tar if not m.name.endswith(".json")}
    assert sorted(raw.values()) == sorted((PICTURES / name).read_bytes() for name in web.names)
    assert {pathlib.Path(name).suffix for name in raw} == {".jpg", ".png", ".webp"}


def test_same_job_again_adopts_even_with_an_empty_redis(fleet, folder, web):
    fleet.start()
    rows = make_list(web, 60)
    write_csv(folder / "list.csv", rows)
    argv = [
        "run",
        "download",
        folder / "list.csv",
        "--output",
        folder / "out",
        "--shard-rows",
        20,
        *options(),
    ]
    fleet.vlmq(*argv)
    before = deterministic(folder / "out")
    inodes = {p.name: p.stat().st_ino for p in (folder / "out").glob("*.tar")}
    fleet.cli("flushall")
    fleet.redis.kill()
    for path in folder.glob("appendonlydir/*"):
        path.unlink()
    fleet.restart_redis()
    # One shard is missing as if it had never been made: only that one is done again.
    for path in [
        folder / "out" / "00001.tar",
        folder / "out" / "00001.idx",
        folder / "out" / "00001.rows.jsonl",
        folder / "out" / "00001_stats.json",
        folder / "out" / "_vlmq" / "manifest" / "00001.json",
    ]:
        path.unlink()
    fleet.vlmq(*argv)
    assert deterministic(folder / "out") == before
    kept = {p.name: p.stat().st_ino for p in (folder / "out").glob("*.tar")}
    assert kept["00000.tar"] == inodes["00000.tar"] and kept["00002.tar"] == inodes["00002.tar"]
    check_output(folder / "out", rows, 20)


def check_late(output, rows, slow):
    """The shard has all rows but the slow ones, its late shard has those; each counts once."""
    first, late = (
        [json.loads(line) for line in (output / f"{name}.rows.jsonl").read_text().splitlines()]
        for name in ("00000", "00000_late")
    )
    assert [row["url"] for row in first] == [url for url, _ in rows]
    carried = [row for row in first if row["class"] == row["status"] == "carried_over"]
    assert [row["url"] for row in carried] == [url for url, _ in slow]
    assert [row["key"] for row in late] == [row["key"] for row in carried]
    assert {row["status"] for row in late} == {"success"}
    good = [row["key"] for row in first if row["status"] == "success"]
    seen = {}
    for tar_path in sorted(output.glob("*.tar")):
        with tarfile.open(tar_path) as tar:
            check_index(tar_path.with_suffix(".idx"), tar.getmembers())
            seen[tar_path.name] = [m.name[:-4] for m in tar if m.name.endswith(".jpg")]
    assert seen == {"00000.tar": good, "00000_late.tar": [row["key"] for row in late]}
    stats = [json.loads(path.read_text()) for path in output.glob("*_stats.json")]
    assert sum(one["count"] for one in stats) == len(rows)
    assert sum(one["successes"] for one in stats) == len(good) + len(late)
    totals = json.loads((output / "manifest.json").read_text())["totals"]
    assert (totals["shards"], totals["late"], totals["rows"]) == (1, 1, len(rows))
    assert totals["success"] == len(good) + len(late)
    assert attempt_leftovers(output) == []


def test_rows_that_hang_are_carried_over_to_a_late_shard(fleet, folder, web):
    fleet.start()
    rows = make_list(web, 60)
    slow = [(f"{web.base}/awhile/1/{i}/{web.names[0]}", f"slow {i}") for i in range(3)]
    rows[10:10] = slow
    write_csv(folder / "list.csv", rows)
    argv = ["run", "download", folder / "list.csv", "--output", folder / "out", *options()]
    argv += ["--tail-timeout-ms", 2000, "--timeout-ms", 600000, "--json"]
    jobs = [fleet.vlmq(*argv).lines()[-1]["job"]]
    check_late(folder / "out", rows, slow)
    before = deterministic(folder / "out")
    inodes = {p.name: p.stat().st_ino for p in (folder / "out").glob("*.tar")}
    # Again, over the same output: both shards are adopted.
    jobs.append(fleet.vlmq(*argv).lines()[-1]["job"])
    assert deterministic(folder / "out") == before
    assert {p.name: p.stat().st_ino for p in (folder / "out").glob("*.tar")} == inodes
    # Again, when the late shard was never made.
    for pattern in ("00000_late*", "_vlmq/manifest/*_late.json"):
        for path in (folder / "out").glob(pattern):
            path.unlink()
    jobs.append(fleet.vlmq(*argv).lines()[-1]["job"])
    assert deterministic(folder / "out") == before
    check_late(folder / "out", rows, slow)
    for job in jobs:
        assert (job["state"], job["tasks_total"], job["tasks_done"]) == ("done", 4, 4)
        assert job["items_total"] == job["progress"]["items"] == len(rows)
        counters = {c["name"]: c["value"] for c in job["counters"]}
        assert (counters["rows"], counters["carried_over"]) == (len(rows), len(slow))
    told = fleet.vlmq("errors", jobs[0]["id"], "--rows", 100, "--json").out
    assert "http_status" in told and "carried_over" not in told


def test_other_list_or_spec_over_the_same_output_is_refused(fleet, folder, web):
    fleet.start()
    rows = make_list(web, 10, bad=False)
    write_csv(folder / "list.csv", rows)
    argv = ["run", "download", folder / "list.csv", "--output", folder / "out", *options()]
    fleet.vlmq(*argv)
    before = deterministic(folder / "out")
    other = fleet.vlmq(*argv, "--quality", 50, check=False)
    assert other.status == 1 and "output" in other.out + other.err
    write_csv(folder / "list.csv", rows[:5])
    other = fleet.vlmq(*argv, check=False)
    assert other.status == 1 and "output" in other.out + other.err
    assert deterministic(folder / "out") == before


@pytest.mark.parametrize(
    "text, column, word",
    [("", "url", "empty"), ("a,b\n1,2\n", "url", "column"), (None, "url", "list.csv")],
)
def test_unusable_lists_fail_at_once_with_a_sentence(fleet, folder, text, column, word):
    fleet.start()
    if text is not None:
        (folder / "list.csv").write_text(text)
    done = fleet.vlmq(
        "run",
        "download",
        folder / "list.csv",
        "--output",
        folder / "out",
        "--url-column",
        column,
        check=False,
    )
    assert done.status == 1 and word in (done.out + done.err), done


def test_private_addresses_are_refused_by_default(fleet, folder, web):
    fleet.start()
    write_csv(
        folder / "list.csv",
        [
            (f"{web.base}/files/{web.names[0]}", "x"),
            ("file:///etc/hostname", "y"),
            (f"{web.base.replace('127.0.0.1', '[::ffff:127.0.0.1]')}/x", "z"),
        ],
    )
    fleet.vlmq("run", "download", folder / "list.csv", "--output", folder / "out", "--no-retries")
    status = [r["status"] for r in rows_of(folder / "out")]
    assert status[0] == status[2] == "refused_address" and status[1] == "bad_url"
