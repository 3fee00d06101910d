"""What a job's report and manifest tell about time, processors and hosts, of a real run."""

import json
import pathlib

from pictures import Download, site  # noqa: F401 (a fixture)


def test_times_and_hosts(fleet, folder, site):  # noqa: F811
    fleet.start()
    download = Download(folder, site, rows=120, shard_rows=40)
    job = fleet.submit(*download.argv(folder / "out"))
    fleet.wait_job(job, "done")
    paths = fleet.vlmq("report", job, "--json").json()
    assert paths["report"] == str(folder / "out" / "report.html")
    manifest = json.loads(pathlib.Path(paths["manifest"]).read_text())
    times, totals = manifest["times"], manifest["totals"]
    # As in the statistics of the shards.
    stats = [json.loads(p.read_text()) for p in sorted((folder / "out").glob("*_stats.json"))]
    assert times["start_time"] == min(s["start_time"] for s in stats)
    assert times["end_time"] == max(s["end_time"] for s in stats)
    for part in "fetch", "decode", "resize", "encode", "write":
        assert times["cpu_ms"][part] == sum(s["cpu_ms"][part] for s in stats)
    assert times["cpu_ms"]["decode"] > 0 and times["cpu_ms"]["fetch"] > 0
    rate = times["rate"]
    assert len(rate["rows"]) == len(rate["success"]) <= 96
    assert abs(sum(rate["rows"]) - totals["rows"]) < 0.1 * len(rate["rows"])
    assert abs(sum(rate["success"]) - totals["success"]) < 0.1 * len(rate["rows"])
    own, refused = site.base.split("/")[-1], "127.0.0.1:1"
    hosts = {host["host"]: host for host in times["hosts"]}
    assert set(hosts) == {own, refused}
    good, bad = len(download.good), [url for url, _ in download.rows if "127.0.0.1:1/" in url]
    assert hosts[own]["rows"] - hosts[own]["failed"] == good
    assert hosts[refused]["failed"] == hosts[refused]["status_rows"] == len(bad) > 0
    assert hosts[refused]["status"] in ("connect_failed", "host_down")
    page = pathlib.Path(paths["report"]).read_text()
    for title in "Rate over time", "Slowest hosts", "Hosts with the most failed rows":
        assert title in page
    assert "Where processor time went" in page and refused in page


def stages_of(fleet, job):
    """fetch, decode and write of each update, until the job is over."""
    updates = fleet.vlmq("watch", job, "--json").lines()
    told = [task["progress"] for update in updates for task in update["tasks"]]
    stages = [one["stages"] for one in told if one and len(one["stages"]) == 3]
    for three in stages:
        assert [stage["name"] for stage in three] == ["fetch", "decode", "write"]
        assert sum(stage["full"] for stage in three) <= 1
    return stages


def test_fetching_is_the_bottleneck(fleet, folder, site):  # noqa: F811
    fleet.start()
    site.pace(400)  # far longer than what lies between two transfers, when fewer run
    download = Download(folder, site, rows=80, shard_rows=40)
    stages = stages_of(fleet, fleet.submit(*download.argv(folder / "out", "--transfers", 2)))
    for three in stages:
        assert three[0]["full"] == (three[0]["running"] == 2)
        assert not three[1]["full"] and not three[2]["full"]
    assert any(three[0]["full"] and three[0]["queued"] > 0 for three in stages)


def test_decoding_is_the_bottleneck(fleet, folder, site):  # noqa: F811
    fleet.start()
    download = Download(folder, site, rows=400, shard_rows=400)
    slow = "--encode-format png --resize-mode keep_ratio --decode-threads 1"
    few = ["--image-size", 250, "--transfers", 2, *slow.split()]
    job = fleet.submit(*download.argv(folder / "out", *few))
    stages = stages_of(fleet, job)
    assert any(three[1]["full"] and three[1]["running"] == 1 for three in stages)
    assert max(three[1]["queued"] for three in stages) >= 10
