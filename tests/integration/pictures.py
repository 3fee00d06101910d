"""A download job for the tests that harm a fleet: many rows, tiny pictures, a web server whose pace
a test sets, and what must be true of the job and its output when all is over.

    download = Download(folder, site, rows=2000, shard_rows=20)
    fleet.submit(*download.argv(folder / "out"))
    check_all(fleet, job, folder / "out", calm_job, folder / "calm", download)
"""

import collections
import csv
import hashlib
import io
import json
import pathlib
import random
import signal
import subprocess
import sys
import tarfile

import pytest
from PIL import Image

from fleet import ROOT

PICTURES = 5
# What differs from run to run in a shard's statistics.
TIMES = ("duration", "start_time", "end_time", "fetch_tries", "fetch_ms", "cpu_ms", "hosts")


class Site:
    """tests/support/web_server.py over a few small pictures, on a port of its own."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder) / "site"
        self.folder.mkdir()
        self.pace(0)
        chance = random.Random(1)
        self.names = [f"{i}.jpg" for i in range(PICTURES)]
        for i, name in enumerate(self.names):
            picture = Image.frombytes("RGB", (6, 5), chance.randbytes(90)).resize((60 + i, 50))
            picture.save(self.folder / name, quality=80)
        (self.folder / "page.html").write_text("<html>no picture</html>")
        self.server = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/support/web_server.py"), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.base = "http://127.0.0.1:" + self.server.stdout.readline().split()[-1]

    def pace(self, ms):
        """From now on, each picture that is asked for takes so long."""
        fresh = self.folder / "pace.new"
        fresh.write_text(str(ms))
        fresh.rename(self.folder / "pace")

    def rows(self, count):
        """(url, caption) of each row; every 13th is bad, in one of several ways."""
        rows = []
        for i in range(count):
            url = f"{self.base}/files/{self.names[i % PICTURES]}?row={i}&paced=1"
            if i % 13 == 7:
                url = (
                    f"{self.base}/status/404?row={i}",
                    f"{self.base}/files/page.html?row={i}",
                    f"http://127.0.0.1:1/{i}",
                    "not a url",
                )[i // 13 % 4]
            rows.append((url, f"caption {i}, in two\nlines" if i % 5 == 0 else f"caption {i}"))
        return rows

    def stop(self):
        self.server.send_signal(signal.SIGCONT)
        self.server.kill()
        self.server.wait()
        self.server.stdin.close()
        self.server.stdout.close()


@pytest.fixture
def site(folder):
    site = Site(folder)
    yield site
    site.stop()


def write_list(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["uid", "url", "caption"])
        writer.writerows((f"u{i}", url, caption) for i, (url, caption) in enumerate(rows))


class Download:
    """What is submitted: the same for the calm run and for the one that is disturbed."""

    def __init__(self, folder, site, rows, shard_rows):
        self.shard_rows = shard_rows
        self.rows = site.rows(rows)
        self.shards = (rows + shard_rows - 1) // shard_rows
        self.list = pathlib.Path(folder) / "list.csv"
        write_list(self.list, self.rows)

    def argv(self, output, *more):
        # A row's outcome must not hang on how slow a test's machine is.
        bounds = "--retries 2 --connect-timeout-ms 10000 --timeout-ms 60000"
        bounds += " --tail-timeout-ms 600000"
        fixed = "--caption-column caption --extra-columns uid --image-size 32 --allow-private"
        shard_rows = ["--shard-rows", self.shard_rows]
        places = [self.list, "--output", output]
        return ["download", *places, *shard_rows, *fixed.split(), *bounds.split(), *more]

    @property
    def good(self):
        return [url for url, _ in self.rows if "paced=1" in url]

    @staticmethod
    def committed(output):
        """How many shards have a manifest; seen in the store, which needs no fleet."""
        return len(list((pathlib.Path(output) / "_vlmq" / "manifest").glob("*.json")))


def rows_of(output):
    return [
        json.loads(line)
        for path in sorted(pathlib.Path(output).glob("*.rows.jsonl"))
        for line in path.read_text().splitlines()
    ]


def samples_of(output):
    """{key: url} of the samples in the tars; each key once, in its shard, with all of its files."""
    found, files = {}, collections.Counter()
    for path in sorted(pathlib.Path(output).glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, extension = member.name.split(".", 1)
                assert key.startswith(path.stem) and len(key) > len(path.stem), (path, key)
                files[key, extension] += 1
                if extension == "json":
                    found[key] = json.load(tar.extractfile(member))["url"]
                elif extension == "jpg":
                    Image.open(io.BytesIO(tar.extractfile(member).read())).load()
    assert files == {(key, end): 1 for key in found for end in ("jpg", "json", "txt")}
    return found


def check_rows(output, download):
    """Every row of the list stands exactly once in the published shards, by key and by url."""
    written = rows_of(output)
    assert [row["url"] for row in written] == [url for url, _ in download.rows]
    assert [row["caption"] for row in written] == [caption for _, caption in download.rows]
    assert [row["uid"] for row in written] == [f"u{i}" for i in range(len(download.rows))]
    assert len({row["key"] for row in written}) == len(written)
    good = {row["key"]: row["url"] for row in written if row["status"] == "success"}
    assert list(good.values()) == download.good
    assert samples_of(output) == good


def check_times(output):
    """Each row's time and tries, once, in the order of the rows."""
    for path in sorted(pathlib.Path(output).glob("*.rows.jsonl")):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        text = path.with_name(path.name.replace(".rows.", ".times.")).read_text()
        times = [json.loads(line) for line in text.splitlines()]
        assert [row["key"] for row in rows] == [row["key"] for row in times]
        for row, cost in zip(rows, times):
            assert sorted(cost) == ["key", "ms", "tries"] and cost["ms"] >= 0, cost
            assert cost["tries"] >= (row["http_status"] is not None), (row, cost)


def check_files(output, download):
    """Nothing but what belongs there: no attempt's file, no temporary, no staged rows."""
    output = pathlib.Path(output)
    expected = ["_vlmq/job.json", "manifest.json", "report.html"]
    for i in range(download.shards):
        expected += [f"{i:05}.tar", f"{i:05}.idx", f"{i:05}_stats.json", f"{i:05}.rows.jsonl"]
        expected.append(f"{i:05}.times.jsonl")
        expected.append(f"_vlmq/manifest/{i:05}.json")
    found = [str(p.relative_to(output)) for p in output.rglob("*") if p.is_file()]
    assert sorted(found) == sorted(expected)
    attempts = output / "_vlmq" / "attempt"
    assert not attempts.exists() or list(attempts.iterdir()) == []


def stats_of(output):
    """Of each shard, without the times."""
    found = {}
    for path in sorted(pathlib.Path(output).glob("*_stats.json")):
        stats = json.loads(path.read_text())
        found[path.name] = {name: value for name, value in stats.items() if name not in TIMES}
        assert len(found[path.name]) == len(stats) - len(TIMES)
    return found


def manifest_of(output):
    """manifest.json, each of its hashes compared with the file it names. Two files hold times,
    so their size and hash are taken out, and the sum of all sizes with them."""
    output = pathlib.Path(output)
    manifest, sizes = json.loads((output / "manifest.json").read_text()), 0
    for shard in manifest["shards"]:
        for file in shard["files"]:
            data = (output / file["name"]).read_bytes()
            assert file["bytes"] == len(data), file
            assert file["sha256"] == hashlib.sha256(data).hexdigest(), file
            sizes += len(data)
            if file["name"].endswith(("_stats.json", ".times.jsonl")):
                del file["bytes"], file["sha256"]
    assert manifest["totals"].pop("file_bytes") == sizes
    del manifest["times"]
    return manifest


def bytes_of(output):
    output = pathlib.Path(output)
    ends = ("tar", "idx", "rows.jsonl")
    return {p.name: p.read_bytes() for end in ends for p in output.glob(f"*.{end}")}


def check_same(output, calm):
    """Byte for byte what an undisturbed run of the same list has made, but for the times."""
    made, expected = bytes_of(output), bytes_of(calm)
    assert sorted(made) == sorted(expected)
    assert [name for name in made if made[name] != expected[name]] == []
    assert stats_of(output) == stats_of(calm)
    assert manifest_of(output) == manifest_of(calm)


def sums_of(job):
    """What the job counted; the same however it went."""
    names = "state tasks_total tasks_done tasks_dead items_total".split()
    sums = {name: job.get(name, 0) for name in names}
    sums.update({name: job["progress"][name] for name in ("items", "items_ok", "bytes")})
    sums["counters"] = {c["name"]: c["value"] for c in job["counters"]}
    return sums


def check_sums(job, calm_job, download):
    sums = sums_of(job)
    assert sums == sums_of(calm_job)
    assert sums["state"] == "done" and sums["tasks_dead"] == 0
    # A planning and a closing task stand around the shards.
    assert sums["tasks_total"] == sums["tasks_done"] == download.shards + 2
    assert sums["items_total"] == sums["items"] == len(download.rows)
    assert sums["items_ok"] == sums["counters"]["success"] == len(download.good)
    assert sums["bytes"] == sums["counters"]["bytes.samples"] > 0
    for name in ("tasks_ready", "tasks_leased", "tasks_waiting", "tasks_cancelled"):
        assert job.get(name, 0) == 0, (name, job)


def check_told(fleet, job_id, output, download):
    """What the client tells of the job afterwards."""
    results = fleet.vlmq("results", job_id, "--all", "--json").lines()
    assert [shard["task"] for shard in results] == [f"{i:05}" for i in range(download.shards)]
    assert sum(shard["items"] for shard in results) == len(download.rows)
    tasks = fleet.vlmq("show", job_id, "--tasks", "--json").lines()
    assert len(tasks) == download.shards + 2
    assert {task["state"] for task in tasks} == {"done"}
    bad = fleet.vlmq("errors", job_id, "--rows", len(download.rows), "--json").out
    failed = [row["key"] for row in rows_of(output) if row["status"] != "success"]
    assert failed and [key for key in failed if key not in bad] == []
    assert "http_status" in fleet.vlmq("errors", job_id).out


def check_all(fleet, job, output, calm_job, calm, download):
    check_sums(job, calm_job, download)
    check_rows(output, download)
    check_files(output, download)
    check_times(output)
    check_same(output, calm)
    check_told(fleet, job["id"], output, download)
