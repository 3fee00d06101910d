"""The encode kind from a URL list: the features of the download of the same list, every row with
its end, the same bytes whatever was killed, and no picture stored."""

import json
import pathlib
import shutil
import time
import urllib.request

from fleet import attempt_leftovers, wait_for
from test_download import make_list, web, write_csv  # noqa: F401
from test_encode import MODEL, PICTURES, deterministic, lines, quick, run, tensors  # noqa: F401

LIST = ["--caption-column", "caption", "--extra-columns", "uid"]
NET = ["--allow-private", "--retries", 1, "--connect-timeout-ms", 2000, "--timeout-ms", 15000]
WANTED = ["--cls", "--embedding", "--captions"]


def hard_list(web, rows):  # noqa: F811
    """Dead URLs and rows without one, as make_list has them, bodies that are no picture, and URLs
    that come again and again."""
    out = make_list(web, rows)
    for i, (url, caption) in enumerate(out):
        if i % 10 == 4:
            out[i] = f"{web.base}/big/2000?row={i}", caption
        elif i % 4 == 2:
            out[i] = f"{web.base}/files/{web.names[0]}?again={i // 20}", caption
    return out


def counts(web):  # noqa: F811
    """How often the server was asked for each path."""
    return json.load(urllib.request.urlopen(f"{web.base}/counts"))


def features(output):
    return {p.name: p.read_bytes() for p in pathlib.Path(output).glob("*.safetensors")}


def test_a_list_gives_the_features_of_its_download(quick, web, folder):  # noqa: F811
    rows = hard_list(web, 40)
    write_csv(folder / "list.csv", rows)
    run(quick, "list.csv", "out", "--shard-rows", 16, *WANTED, *LIST, *NET)
    asked = counts(web)
    once = {(i // 16, url) for i, (url, _) in enumerate(rows) if "/files/" in url}  # by each shard
    assert sum(n for path, n in asked.items() if path.startswith("/files/")) == len(once)
    assert len(once) < sum("/files/" in url for url, _ in rows)
    quick.vlmq(
        "run", "download", "list.csv", "--output", "shards", "--shard-rows", 16, "--no-reencode",
        *LIST, *NET
    )  # fmt: skip
    run(quick, "shards", "of-tars", *WANTED)
    assert features(folder / "out") == features(folder / "of-tars")
    assert len(features(folder / "out")) == 3

    got = lines(folder / "out")
    there = {
        row["key"]: row
        for path in sorted((folder / "shards").glob("*.rows.jsonl"))
        for row in map(json.loads, path.read_text().splitlines())
    }
    assert [r["key"] for r in got] == sorted(there)
    assert [r["caption"] for r in got] == [caption for _, caption in rows]
    for i, (row, (url, _)) in enumerate(zip(got, rows)):
        assert row["meta"]["uid"] == f"u{i}"
        assert row["meta"]["url"] == url
        assert row["status"] == there[row["key"]]["status"]
        assert ("row" in row) == ("/files/" in url)
        if "/files/" in url:
            assert row["meta"]["sha256"] == there[row["key"]]["sha256"]
            assert row["meta"]["http_status"] == 200
    assert {r["status"] for r in got} == {
        "success", "http_status", "connect_failed", "bad_url", "unknown_format"
    }  # fmt: skip
    assert attempt_leftovers(folder / "out") == []
    suffixes = {p.suffix for p in (folder / "out").rglob("*") if p.is_file()}
    assert suffixes <= {".safetensors", ".jsonl", ".json", ".html"}


def test_a_compressed_list_gives_the_same_and_keeps_no_rows(quick, web, folder):  # noqa: F811
    rows = make_list(web, 30)
    write_csv(folder / "list.csv", rows)
    write_csv(folder / "list.csv.gz", rows)
    run(quick, "list.csv", "plain", "--shard-rows", 8, *LIST, *NET)
    run(quick, "list.csv.gz", "gzip", "--shard-rows", 8, *LIST, *NET, "--transfers", 3)
    assert deterministic(folder / "gzip") == deterministic(folder / "plain")
    assert len(deterministic(folder / "gzip")) == 2 * 4
    assert not (folder / "gzip" / "_vlmq" / "rows").exists()


def test_what_a_killed_worker_leaves_is_fetched_again(quick, web, folder):  # noqa: F811
    rows = [(f"{url}&delay_ms=60" if "/files/" in url else url, c) for url, c in hard_list(web, 60)]
    write_csv(folder / "list.csv", rows)
    more = ["--shard-rows", 20, *WANTED, *LIST, *NET, "--transfers", 2]
    run(quick, "list.csv", "calm", *more)
    job = quick.submit("encode", "list.csv", "--output", "out", "--model", MODEL, *more)
    for kill in range(3):
        # Somewhere within a shard: never twice at the same place.
        wait_for(
            lambda: list((folder / "out" / "_vlmq").glob("attempt/*/*.jsonl"))
            or quick.job(job)["state"] == "done",
            "a shard is being made",
        )
        time.sleep(0.1 * kill)
        quick.workers[-1].kill()
        quick.start_worker()
    quick.wait_job(job, "done")
    assert deterministic(folder / "out") == deterministic(folder / "calm")
    assert attempt_leftovers(folder / "out") == []


def test_a_server_that_hangs_does_not_hold_a_cancelled_job(quick, web, folder):  # noqa: F811
    rows = [(f"{web.base}/hang?row={i}", "a") for i in range(50)]
    write_csv(folder / "list.csv", rows)
    job = quick.submit(
        "encode", "list.csv", "--output", "out", "--model", MODEL, *LIST, "--allow-private",
        "--timeout-ms", 600000
    )  # fmt: skip
    wait_for(lambda: counts(web), "the server is asked")
    quick.vlmq("cancel", job)
    quick.wait_job(job, "cancelled")
    assert not list((folder / "out").glob("*.jsonl"))


def test_private_hosts_are_refused_and_options_belong_to_lists(quick, web, folder):  # noqa: F811
    write_csv(folder / "list.csv", make_list(web, 6, bad=False))
    run(quick, "list.csv", "out", *LIST)
    assert {r["status"] for r in lines(folder / "out")} == {"refused_address"}
    (file,) = (folder / "out").glob("*.safetensors")
    assert all(shape[0] == 0 for _, shape in tensors(file).values())
    (folder / "pictures").mkdir()
    shutil.copy(PICTURES / web.names[0], folder / "pictures" / web.names[0])
    result = run(quick, "pictures", "none", "--robots", check=False)
    assert result.status != 0
    assert "--robots is for URL lists" in result.out + result.err
