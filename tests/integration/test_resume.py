"""A worker dies, or leaves, in the middle of a shard: the next one goes on behind the rows that are
written, asks for none of them again, and the shard is the one of an undisturbed run."""

import json
import re
import signal
import urllib.request

import pytest

from fleet import Fleet, wait_for
from pictures import Download, Site, check_all, write_list

ROWS, TRANSFERS = 400, 4
PACE_MS = 100


class Slow(Download):
    """One shard of rows with paths of their own, by which the server counts."""

    def __init__(self, folder, site):
        super().__init__(folder, site, ROWS, ROWS)
        self.rows = [
            (url.replace("/files/", f"/flaky/0/row-{i}/") if "paced=1" in url else url, caption)
            for i, (url, caption) in enumerate(self.rows)
        ]
        write_list(self.list, self.rows)

    def argv(self, output, *more):
        return super().argv(output, "--transfers", TRANSFERS, *more)


def asked(site):
    """{row: how often it was asked for}."""
    with urllib.request.urlopen(site.base + "/counts") as answer:
        counts = json.load(answer)
    found = {}
    for path, count in counts.items():
        row = re.match("/flaky/0/row-([0-9]+)/", path)
        if row:
            found[int(row[1])] = count
    return found


def kill(worker):
    worker.kill()


def drain(worker):
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0, worker.text()[-2000:]


@pytest.mark.parametrize("end", [kill, drain])
def test_a_shard_is_gone_on_with(folder, end):
    site, fleet = Site(folder), Fleet(folder)
    try:
        go_on(fleet, site, folder, end)
    finally:
        fleet.stop()
        site.stop()


def go_on(fleet, site, folder, end):
    fleet.start(1, "--drain-s", "6s")
    download = Slow(folder, site)
    calm = fleet.vlmq("run", *download.argv(folder / "calm"), "--json").lines()[-1]["job"]["id"]
    once = asked(site)
    assert sorted(once) == [i for i, (url, _) in enumerate(download.rows) if "paced=1" in url]
    assert set(once.values()) == {1}

    site.pace(PACE_MS)
    job = fleet.submit(*download.argv(folder / "out"))
    stored = lambda: "cursor" in fleet.cli("--raw", "keys", f"*{job}*cursor*")  # noqa: E731
    wait_for(stored, "a cursor is stored", 60)
    worker = fleet.workers.pop()
    end(worker)
    assert download.committed(folder / "out") == 0
    left = list((folder / "out" / "_vlmq" / "attempt").iterdir())
    assert len(left) == 1

    site.pace(0)
    fleet.start_worker()
    fleet.wait_job(job)
    resumed = re.search("shard.resumed .*rows=([0-9]+)", fleet.workers[0].text())
    assert resumed, fleet.workers[0].text()[-3000:]
    rows = int(resumed[1])
    assert 0 < rows < ROWS
    twice = [row for row, count in asked(site).items() if count > 2]
    assert [row for row in twice if row < rows] == []
    # A drained worker lets come to an end what runs; a few answers may be lost all the same.
    assert end is kill or len(twice) <= TRANSFERS, (rows, twice)
    check_all(fleet, fleet.job(job), folder / "out", fleet.job(calm), folder / "calm", download)
